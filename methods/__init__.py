"""The unlearning methods: one file each, unlearn(model, split, *, hyperparameters) -> model, listed in METHODS.

A method changes the model it is given or makes a new one; it does not evaluate, log, time, seed or parse. What its
signature names the run gives it (experiment.py: alpha, lam, recipe, untrained, ...; batch_size, where it has no default,
is the task's); what has a default there can be set with -set. What a run should record beside the scores it writes
into `notes`, a dict, where it takes one. RANGES: within which tune.py searches, hyper-parameter by hyper-parameter.
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
    "assd": assd.unlearn,
    "alfssd": alfssd.unlearn,
    "potion": potion.unlearn,
    "jit": jit.unlearn,
    "scrub": scrub.unlearn,
    "salun": salun.unlearn,
    "neggrad_plus": neggrad_plus.unlearn,
    "l1_sparse": l1_sparse.unlearn,
}
RANGES = {
    "finetune": finetune.RANGES,
    "bad_teacher": bad_teacher.RANGES,
    "amnesiac": amnesiac.RANGES,
    "unsir": unsir.RANGES,
    "fisher": fisher.RANGES,
    "ssd": ssd.RANGES,
    "lfssd": lfssd.RANGES,
    "potion": potion.RANGES,
    "jit": jit.RANGES,
    "scrub": scrub.RANGES,
    "salun": salun.RANGES,
    "neggrad_plus": neggrad_plus.RANGES,
    "l1_sparse": l1_sparse.RANGES,
}
# names in the released scripts
SPELLINGS = {"ssd_tuning": "ssd", "blindspot": "bad_teacher", "UNSIR": "unsir", "FisherForgetting": "fisher", "NTK": "ntk"}
