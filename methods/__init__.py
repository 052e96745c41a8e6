"""The unlearning methods: one file each, unlearn(model, split, *, hyperparameters) -> model, listed in METHODS.

A method changes the model it is given or makes a new one; it does not evaluate, log, time, seed or parse. What its
signature names the run gives it (experiment.py: alpha, lam, recipe, untrained, ...; batch_size, where it has no default,
is the task's); what has a default there can be set with -set. What a run should record beside the scores it writes
into `notes`, a dict, where it takes one. RANGES: within which tune.py searches; empty where nothing is to be tuned.
"""

from methods import (
    alfssd,
    amnesiac,
    assd,
    bad_teacher,
    baseline,
    finetune,
    fisher,
    jit,
    l1_sparse,
    lfssd,
    neggrad_plus,
    ntk,
    potion,
    retrain,
    salun,
    scrub,
    ssd,
    unsir,
)

MODULES = (
    baseline,
    retrain,
    finetune,
    bad_teacher,
    amnesiac,
    unsir,
    fisher,
    ntk,
    ssd,
    lfssd,
    assd,
    alfssd,
    potion,
    jit,
    scrub,
    salun,
    neggrad_plus,
    l1_sparse,
)
METHODS = {module.__name__.split(".")[-1]: module.unlearn for module in MODULES}
RANGES = {module.__name__.split(".")[-1]: module.RANGES for module in MODULES}
# names in the released scripts
SPELLINGS = {"ssd_tuning": "ssd", "blindspot": "bad_teacher", "UNSIR": "unsir", "FisherForgetting": "fisher", "NTK": "ntk"}
