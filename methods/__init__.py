"""The unlearning methods: one file each, listed in METHODS.

A file ends with `METHOD = Method(...)`: its function, and what the harness must know of it
(_method.py). To add a method, write its file and add its line here.

Files that start with an underscore are not methods. These files may import everything above them:
`learning`, `datasets`, `splits`, `models`, `metrics`, `ssd`.
"""

from common.errors import UserError
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
from methods._method import Method, kind_of

METHODS: dict[str, Method] = {
    "baseline": baseline.METHOD,
    "retrain": retrain.METHOD,
    "finetune": finetune.METHOD,
    "bad_teacher": bad_teacher.METHOD,
    "amnesiac": amnesiac.METHOD,
    "unsir": unsir.METHOD,
    "fisher": fisher.METHOD,
    "ntk": ntk.METHOD,
    "ssd": ssd.METHOD,
    "lfssd": lfssd.METHOD,
    "assd": assd.METHOD,
    "alfssd": alfssd.METHOD,
    "potion": potion.METHOD,
    "jit": jit.METHOD,
    "scrub": scrub.METHOD,
    "salun": salun.METHOD,
    "neggrad_plus": neggrad_plus.METHOD,
    "l1_sparse": l1_sparse.METHOD,
}
ALIASES = {alias: name for name, method in METHODS.items() for alias in method.aliases}
# The methods that stand for the original network and for the goal.
(ORIGINAL,) = (name for name, method in METHODS.items() if method.is_original)
(GOAL,) = (name for name, method in METHODS.items() if method.is_goal)


def settings(name: str, texts: list[str]) -> dict:
    """{hyper-parameter: value} of the NAME=VALUE texts of -set, sorted by name.

    name: the method. UserError where a text does not fit the method's signature.
    """
    settable = METHODS[name].settable
    chosen = {}
    for text in texts:
        parameter, _, value = text.partition("=")
        if parameter not in settable:
            defaults = ", ".join(f"{key}={p.default}" for key, p in settable.items())
            raise UserError(f"-set {text}: {name} has {defaults or 'nothing to set'}")
        if parameter in chosen:
            raise UserError(f"-set {text}: {parameter} is given twice")
        chosen[parameter] = _value(text, parameter, value, kind_of(settable[parameter]))
    return dict(sorted(chosen.items()))


def _value(text, parameter, value, kind):
    """The value of a NAME=VALUE text as `kind` (int, float or a tuple of words) wants it."""
    if isinstance(kind, tuple):
        if value not in kind:
            raise UserError(f"-set {text}: {parameter} is one of {', '.join(kind)}")
        return value
    try:
        number = kind(value)
    except ValueError:
        article = "a whole" if kind is int else "a"
        raise UserError(f"-set {text}: {parameter} takes {article} number") from None
    lowest, highest = (1, 1e9) if kind is int else (0, 1e30)
    if not lowest <= number <= highest:
        raise UserError(
            f"-set {text}: counts lie between 1 and 1e9, other numbers between 0 and 1e30"
        )
    return number
