"""Scores of unlearning that need several trained networks: one file each, listed in AUDITS.

Each has a null: what a network gets that was really retrained (halves.py). A file ends with
`AUDIT = Audit(...)`: its function `measure`, and what the harness must know of it (_audit.py). Its
other functions take plain tensors. To add an audit, write its file and add its name to NAMES.

These files may import everything below the forget scripts, and `reports`.
"""

import importlib

from audits._audit import Audit

# The files of this folder that are audits, in the order of the tables.
NAMES = (
    "u_lira",
    "klom",
    "neurips",
    "within_class",
    "neighbour_trace",
    "tug_of_war",
    "linear_probe",
    "prototype",
    "relearning",
    "similarity",
)
AUDITS: dict[str, Audit] = {name: importlib.import_module(f"audits.{name}").AUDIT for name in NAMES}
