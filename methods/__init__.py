"""The unlearning methods: one file each, unlearn(model, split, *, hyperparameters) -> model, listed in METHODS.

A method changes the model it is given or makes a new one; it does not evaluate, log, time, seed or parse. What its
signature names the run gives it (experiment.py: alpha, lam, recipe, untrained, ...; batch_size, where it has no default,
is the task's); what has a default there can be set with -set. What a run should record beside the scores it writes
into `notes`, a dict, where it takes one.
"""

from methods import amnesiac, bad_teacher, baseline, finetune, fisher, lfssd, ntk, retrain, ssd, unsir

METHODS = {
    "baseline": baseline.unlearn,
    "retrain": retrain.unlearn,
    "finetune": finetune.unlearn,
    "bad_teacher": bad_teacher.unlearn,
    "amnesiac": amnesiac.unlearn,
    "unsir": unsir.unlearn,
    "fisher": fisher.unlearn,
    "ntk": ntk.unlearn,
    "ssd": ssd.unlearn,
    "lfssd": lfssd.unlearn,
}
# names in the released scripts
SPELLINGS = {"ssd_tuning": "ssd", "blindspot": "bad_teacher", "UNSIR": "unsir", "FisherForgetting": "fisher", "NTK": "ntk"}
