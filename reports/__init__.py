"""Records into tables, figures and a page.

These files read records and compute no score. The way goes from records to a frame with a line per
run (frame.py), to a row for each method (summary.py), to tables of texts (tables.py) and to
Markdown, LaTeX and CSV (formats.py), to figures (figures.py) and to a page (page.py).
`report.py` imports them; `tune.py` takes the figure of a search from here.
"""
