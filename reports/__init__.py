"""Records into tables, figures and a page.

These files read records and compute no score. Only `report.py` imports them.
"""
