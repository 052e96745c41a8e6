"""The unlearning methods: one file each, listed in METHODS.

A file ends with `METHOD = Method(...)`: its function, and what the harness must know of it
(_method.py). To add a method, write its file and add its name to NAMES (docs/extending.md).

Files that start with an underscore are not methods. These files may import everything above them:
`learning`, `datasets`, `splits`, `models`, `metrics`, `ssd`.
"""

import importlib

from common.errors import UserError
from common.references import Table
from methods._method import Method, kind_of
from methods._outside import from_outside

# The files of this folder, in the order of the reports' rows.
NAMES = (
    "baseline",
    "retrain",
    "finetune",
    "bad_teacher",
    "amnesiac",
    "unsir",
    "fisher",
    "ntk",
    "ssd",
    "lfssd",
    "assd",
    "alfssd",
    "potion",
    "jit",
    "scrub",
    "salun",
    "neggrad_plus",
    "ascent",
    "npo",
    "l1_sparse",
    "head_distill",
)
METHODS: dict[str, Method] = Table(
    {name: importlib.import_module(f"methods.{name}").METHOD for name in NAMES}, from_outside
)
# {a released script's name of a method: ours}
ALIASES: dict[str, str] = {}
for _name, _method in METHODS.items():
    ALIASES |= dict.fromkeys(_method.aliases, _name)
# The methods that stand for the original network and for the goal.
[ORIGINAL] = [name for name, method in METHODS.items() if method.is_original]
[GOAL] = [name for name, method in METHODS.items() if method.is_goal]


def settings(name: str, texts: list[str]) -> dict:
    """{hyper-parameter: value} of the NAME=VALUE texts of -set, sorted by name.

    name: the method. UserError where a text does not fit the method's signature.
    """
    settable = METHODS[name].settable
    chosen: dict[str, int | float | str] = {}
    for text in texts:
        parameter, _, value = text.partition("=")
        if parameter not in settable:
            defaults = ", ".join(f"{key}={p.default}" for key, p in settable.items())
            raise UserError(f"-set {text}: {name} has {defaults or 'nothing to set'}")
        if parameter in chosen:
            raise UserError(f"-set {text}: {parameter} is given twice")
        kind = kind_of(settable[parameter])
        assert kind is not None
        if isinstance(kind, tuple):
            chosen[parameter] = _word(text, parameter, value, kind)
        else:
            chosen[parameter] = _number(text, parameter, value, kind)
    return dict(sorted(chosen.items()))


def _word(text: str, parameter: str, value: str, words: tuple[str, ...]) -> str:
    """The value of a NAME=VALUE text that is one of some words."""
    if value not in words:
        raise UserError(f"-set {text}: {parameter} is one of {', '.join(words)}")
    return value


def _number(text: str, parameter: str, value: str, kind: type) -> int | float:
    """The value of a NAME=VALUE text as a number of this kind, int or float."""
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
