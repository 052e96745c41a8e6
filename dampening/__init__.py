"""What ssd.py is made of: batches, measures, gradients, processes, percentiles, refusals.

Needs only torch and per_sample_gradients.py. Only ssd.py imports from here.
"""
