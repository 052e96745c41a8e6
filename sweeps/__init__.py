"""Many runs: what there is to do, who does it, and on which machine.

These files call the scripts by name. Only `sweep.py` and `tune.py` import them.
"""
