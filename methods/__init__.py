"""The unlearning methods: one file each, unlearn(model, split, *, hyperparameters) -> model, listed in METHODS.

A method changes the model it is given or makes a new one; it does not evaluate, log, time, seed or parse. What its
signature names the run gives it (experiment.py: alpha, lam, recipe, untrained, ...; batch_size, where it has no default,
is the task's); what has a default there can be set with -set. What a run should record beside the scores it writes
into `notes`, a dict, where it takes one. RANGES: within which tune.py searches; empty where nothing is to be tuned.
"""

import importlib

NAMES = ("baseline", "retrain", "finetune", "bad_teacher", "amnesiac", "unsir", "fisher", "ntk", "ssd", "lfssd", "assd", "alfssd",
         "potion", "jit", "scrub", "salun", "neggrad_plus", "l1_sparse")  # fmt: skip
MODULES = {name: importlib.import_module(f"methods.{name}") for name in NAMES}
METHODS = {name: module.unlearn for name, module in MODULES.items()}
RANGES = {name: module.RANGES for name, module in MODULES.items()}
# names in the released scripts
SPELLINGS = {"ssd_tuning": "ssd", "blindspot": "bad_teacher", "UNSIR": "unsir", "FisherForgetting": "fisher", "NTK": "ntk"}
