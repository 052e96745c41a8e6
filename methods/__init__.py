"""The unlearning methods: one file each, unlearn(model, split, *, hyperparameters) -> model, listed in METHODS.

A method changes the model it is given or makes a new one; it does not evaluate, log, time, seed or parse. What a run
should record beside the scores it writes into `notes`, a dict, where it takes one.
"""

from methods import baseline, finetune, lfssd, retrain, ssd

METHODS = {
    "baseline": baseline.unlearn,
    "retrain": retrain.unlearn,
    "finetune": finetune.unlearn,
    "ssd": ssd.unlearn,
    "lfssd": lfssd.unlearn,
}
SPELLINGS = {"ssd_tuning": "ssd"}  # names in the released scripts
