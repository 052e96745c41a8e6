"""The unlearning methods: one file each, unlearn(model, split, *, hyperparameters) -> model, listed in METHODS.

A method changes the model it is given or makes a new one; it does not evaluate, log, time, seed or parse. What its
signature names the run gives it (experiment.py: alpha, lam, recipe, untrained, ...; batch_size, where it has no default,
is the task's); what has a default there can be set with -set. What a run should record beside the scores it writes
into `notes`, a dict, where it takes one. RANGES: within which tune.py searches; empty where nothing is to be tuned.
"""

import importlib
import inspect
import typing

from methods import bad_teacher, jit, neggrad_plus, ntk, potion, salun, scrub, unsir

NAMES = ("baseline", "retrain", "finetune", "bad_teacher", "amnesiac", "unsir", "fisher", "ntk", "ssd", "lfssd", "assd", "alfssd",
         "potion", "jit", "scrub", "salun", "neggrad_plus", "l1_sparse")  # fmt: skip
MODULES = {name: importlib.import_module(f"methods.{name}") for name in NAMES}
METHODS = {name: module.unlearn for name, module in MODULES.items()}
RANGES = {name: module.RANGES for name, module in MODULES.items()}
# names in the released scripts
SPELLINGS = {"ssd_tuning": "ssd", "blindspot": "bad_teacher", "UNSIR": "unsir", "FisherForgetting": "fisher", "NTK": "ntk"}
# where a default depends on the network, the task or another choice: (model, split, batch size, chosen) -> {name: value}
DEFAULTS = {
    "bad_teacher": bad_teacher.defaults,
    "jit": jit.defaults,
    "ntk": ntk.defaults,
    "scrub": scrub.defaults,
    "unsir": unsir.defaults,
}
# where settings or images may not do: (model, split, protocol=..., values in effect) raises UserError
CHECKS = {
    "bad_teacher": bad_teacher.check,
    "jit": jit.check,
    "neggrad_plus": neggrad_plus.check,
    "ntk": ntk.check,
    "potion": potion.check,
    "salun": salun.check,
    "unsir": unsir.check,
}
# where the released code scores a method otherwise: protocol -> keyword arguments of metrics.score
SCORING = {"bad_teacher": bad_teacher.scoring, "unsir": unsir.scoring}
OPTIMIZERS = {name: module.OPTIMIZER for name, module in MODULES.items()}


def settable(method):
    """{name: parameter} of what -set takes for a method."""
    parameters = inspect.signature(METHODS[method]).parameters.values()
    return {parameter.name: parameter for parameter in parameters if kind_of(parameter)}


def kind_of(parameter):
    """What -set takes for a parameter of a method: int, float, or one of some words; None where the run gives it."""
    choices = typing.get_args(parameter.annotation)
    for kind in (float, int):
        if kind in choices:  # float | None: None stands for the method's own table
            return kind
    if choices:
        return choices
    return type(parameter.default) if type(parameter.default) in (int, float) else None


def values_in_effect(method, chosen, model, split, batch_size):
    """{name: value} of a method's hyper-parameters: those chosen with -set, else its defaults.

    Of the method's parameters it holds those that are numbers or words; batch_size is the task's
    where the method has none of its own.
    """
    values = {}
    for parameter in inspect.signature(METHODS[method]).parameters.values():
        if parameter.name == "batch_size" and parameter.default is inspect.Parameter.empty:
            values["batch_size"] = batch_size
        elif kind_of(parameter) or isinstance(parameter.default, str):
            values[parameter.name] = parameter.default
    if method in DEFAULTS:
        values |= DEFAULTS[method](model, split, batch_size, chosen)
    return values | chosen
