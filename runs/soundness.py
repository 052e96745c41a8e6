"""Whether a record is one that readers can use: every field of its kind and in its range.

A record is what `json.loads` gave of one JSON file. Records of older versions lack some fields;
a field that is there must be right.
"""

import math
import re
import shlex
import sys
from collections.abc import Callable
from typing import NamedTuple

BINS = 20  # of the histogram of entropies


WORD_SETTINGS = ("denominator", "study")  # of a method's own settings those whose value is a word


MOST_BYTES = 160  # of network, data set and protocol together, since they name files


ROUNDING = 1e-9


class Unsound(ValueError):
    """A field of a record is missing, of another kind, or out of its range; one line names it."""


class Kind(NamedTuple):
    """What a field may hold: in words, and as a test of the value."""

    wanted: str
    fits: Callable


def is_number(value, low, high):
    """Whether a value is a number (no truth value) from low to high; NaN is not."""
    return type(value) in (int, float) and low <= value <= high


def number_between(low, high):
    """The kind of numbers from low to high."""
    return Kind(f"a number from {low:g} to {high:g}", lambda value: is_number(value, low, high))


def whole_between(low, high):
    """The kind of whole numbers from low to high."""
    return Kind(
        f"a whole number from {low:g} to {high:g}",
        lambda value: type(value) is int and low <= value <= high,
    )


def or_null(kind):
    """The kind, or null."""
    return Kind(f"{kind.wanted}, or null", lambda value: value is None or kind.fits(value))


def list_of(kind):
    """The kind of lists whose items are all of `kind`."""
    wanted = f"a list of {kind.wanted}"
    return Kind(wanted, lambda value: type(value) is list and all(map(kind.fits, value)))


def dict_of(kind):
    """The kind of dictionaries whose values are all of `kind`."""
    return Kind(
        f"names with {kind.wanted} each",
        lambda value: type(value) is dict and all(map(kind.fits, value.values())),
    )


def _is_command(value):
    if type(value) is not str:
        return False
    try:
        shlex.split(value)
    except ValueError:
        return False
    return True


def _is_plain_value(value):
    """Whether a value is a hyper-parameter: a text, a finite number, or lists and dictionaries of these."""
    if type(value) is list:
        return all(map(_is_plain_value, value))
    if type(value) is dict:
        return all(map(_is_plain_value, value.values()))
    return value is None or type(value) in (str, bool) or FINITE.fits(value)


LARGEST = sys.float_info.max


FINITE = Kind("a finite number", lambda value: is_number(value, -LARGEST, LARGEST))


NOT_NEGATIVE = Kind("a finite number of at least 0", lambda value: is_number(value, 0, LARGEST))


PERCENT = number_between(0, 100 + ROUNDING)


SHARE = number_between(0, 1 + ROUNDING)


SECONDS = number_between(0, 1e9)


COUNT = whole_between(1, 10**12)


SEED = whole_between(0, 2**63 - 1)


TRUTH = Kind("true or false", lambda value: type(value) is bool)


TEXT = Kind("a text", lambda value: type(value) is str)


NAME = Kind("a text that is not empty", lambda value: type(value) is str and value != "")


WORD = Kind("a word", lambda value: type(value) is str and re.fullmatch(r"\w+", value) is not None)


DAY = Kind(
    "a day as 2026-11-26",
    lambda value: type(value) is str and re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None,
)


COMMAND = Kind("a command line", _is_command)


SETTINGS = Kind("names with values", lambda value: type(value) is dict and _is_plain_value(value))


EARLIER = Kind(
    "what was forgotten before",
    lambda value: type(value) is dict and NAME.fits(value.get("forget")),
)


NEEDED = {
    "task": WORD,
    "config.net": WORD,
    "config.dataset": WORD,
    "config.protocol": WORD,
    "config.method": WORD,
    "config.numerics": WORD,
    "config.forget": NAME,
    "config.train_seed": SEED,
    "config.seed": SEED,
    "config.b": COUNT,
    "config.alpha": or_null(NOT_NEGATIVE),
    "config.lambda": or_null(NOT_NEGATIVE),
    "config.importance": or_null(WORD),
    "config.set": SETTINGS,
    "scores.TestAcc": PERCENT,
    "scores.RetainTestAcc": PERCENT,
    "scores.Df": PERCENT,
    "scores.MIA": PERCENT,
    "scores.ZRF": FINITE,
    "seconds.method": SECONDS,
    "seconds.evaluation": SECONDS,
    "seconds.full_importance": or_null(SECONDS),
    "selected": or_null(SHARE),
    "entropy_histogram": list_of(whole_between(0, 10**12)),
    "collapse": list_of(TEXT),
    "weights_hash": NAME,
    "data_hash": NAME,
    "device": TEXT,
    "commit": or_null(TEXT),
}


IF_THERE = {  # not every run has them, or older versions lacked them
    "command": COMMAND,
    "date": DAY,
    "test_hash": TEXT,
    "unchanged": list_of(TEXT),
    "forgotten_before": list_of(EARLIER),
    "duplicates": SETTINGS,
    "class_accuracy": dict_of(or_null(PERCENT)),
    "adaptive_alpha": NOT_NEGATIVE,
    "selected_by_name": dict_of(SHARE),
    "sizes.D": COUNT,
    "sizes.D_f": COUNT,
    "subsample.retain": whole_between(0, 10**12),
    "subsample.forget": whole_between(0, 10**12),
    "scores.AttackSuccess": PERCENT,
    "config.data": TEXT,
    "config.validation": TRUTH,
    "config.hyperparameters": SETTINGS,
    "config.recipe": or_null(SETTINGS),
    "config.departures": list_of(WORD),
    "config.duplicates": WORD,
    "config.mia": dict_of(NOT_NEGATIVE),
}


CORRUPTED = {"config.corruption": WORD, "config.corrupt_count": COUNT, "config.known_share": SHARE}


def check(record):
    """Raise Unsound where a reader could not use the record."""
    for field, kind in NEEDED.items():
        _check_kind(record, field, kind)
    for field, kind in IF_THERE.items():
        if _is_there(record, field):
            _check_kind(record, field, kind)
    _check_other_scores(record)
    _check_zrf(record)
    _check_histogram(record)
    _check_dials(record)
    _check_settings(record)
    _check_counts(record)
    _check_corruption(record)
    _check_places(record)


def _check_other_scores(record):
    for name in record["scores"]:
        _check_kind(record, f"scores.{name}", FINITE)


def _check_zrf(record):
    """By the paper ZRF lies in [1 - ln 2, 1]; nothing bounds the released form below."""
    config, value = record["config"], record["scores"]["ZRF"]
    departures = config.get("departures", [])
    as_released = config["protocol"] != "paper" or "zrf_by_elementwise_kl" in departures
    lowest = -LARGEST if as_released else 1 - math.log(2) - ROUNDING
    if not lowest <= value <= 1 + ROUNDING:
        raise Unsound(f"scores.ZRF is {value:g}; it must lie between 1 - ln 2 (by the paper) and 1")


def _check_histogram(record):
    counts = record["entropy_histogram"]
    if len(counts) != BINS or sum(counts) == 0:
        raise Unsound(f"entropy_histogram must have {BINS} counts of images, not all of them 0")


def _check_dials(record):
    """Who dampens by alpha dampens by lambda too."""
    if record["config"]["alpha"] is not None:
        _check_kind(record, "config.lambda", NOT_NEGATIVE)


def _check_settings(record):
    """What was given with -set are numbers; a word only where the method takes one."""
    for name, value in record["config"]["set"].items():
        if name in WORD_SETTINGS and WORD.fits(value):
            continue
        if not FINITE.fits(value):
            raise Unsound(f"config.set.{name} is {_brief(value)}; it must be {FINITE.wanted}")


def _check_counts(record):
    """Numbers of images come in pairs, and D_f is a part of D."""
    for part, names in (("sizes", ("D", "D_f")), ("subsample", ("retain", "forget"))):
        if part in record:
            for name in names:
                _check_kind(record, f"{part}.{name}", IF_THERE[f"{part}.{name}"])
    if "sizes" in record and record["sizes"]["D_f"] > record["sizes"]["D"]:
        raise Unsound("sizes.D_f is larger than sizes.D")


def _check_corruption(record):
    """A run that heals says what; no other run does."""
    if record["task"] == "corrupted":
        for field, kind in CORRUPTED.items():
            _check_kind(record, field, kind)
        if record["config"]["known_share"] == 0:
            raise Unsound("config.known_share is 0; it must be above")
    elif "corruption" in record["config"]:
        raise Unsound(f"config.corruption is there though the task is {record['task']}")


def _check_places(record):
    """What names files must not be too long; a folder of images must be named."""
    config = record["config"]
    words = "".join((record["task"], config["net"], config["dataset"], config["protocol"]))
    if len(words.encode(errors="replace")) > MOST_BYTES:
        raise Unsound(f"task, net, dataset and protocol have more than {MOST_BYTES} bytes")
    if config["dataset"] == "Folder":
        _check_kind(record, "config.data", TEXT)


def _check_kind(record, field, kind):
    value = _value(record, field)
    if not kind.fits(value):
        raise Unsound(f"{field} is {_brief(value)}; it must be {kind.wanted}")


def _value(record, field):
    """The value at a field as "config.seed"; Unsound where it is missing."""
    value = record
    for name in field.split(".", 1):
        if type(value) is not dict or name not in value:
            raise Unsound(f"{field} is missing")
        value = value[name]
    return value


def _is_there(record, field):
    """Whether an optional field is there; of a part that is there at all, it need not be."""
    part, _, name = field.partition(".")
    if part not in record:
        return False
    if name and type(record[part]) is not dict:
        raise Unsound(f"{part} is {_brief(record[part])}; it must be names with values")
    return not name or name in record[part]


def _brief(value):
    """A value in one short line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:40]}..."
