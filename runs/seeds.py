"""A range of seeds, as in `-seeds 0-31`, stands for one command line a seed.

A script runs them one after the other in one process, a sweep several at a time.
"""

import itertools
import re
import sys
from collections.abc import Callable, Sequence

from common.errors import UserError
from runs.cache import WORKERS_CACHE, Cache

FLAGS = ("-seed", "-seeds", "-train_seed")
ONE_FILE = ("-out", "-save")  # flags that name the file of one run
MOST = 10_000  # command lines that one line may stand for


def for_each_seed(main: Callable) -> Callable[[], None]:
    """A script's main(), called for every seed of the ranges that it is given.

    What one run has read, as its data, is there for the next.
    """

    def run():
        commands = spread(sys.argv[1:])
        cache = Cache(WORKERS_CACHE) if len(commands) > 1 else Cache()
        for argv in commands:
            main(argv, cache)

    return run


def spread(argv: Sequence[str]) -> list[list[str]]:
    """The command lines that `argv` stands for: with one seed in the place of each range.

    The ranges of two flags give every pair. UserError where a range is backwards or too
    long, or where all runs would write one file.
    """
    choices = []
    flag = ""
    for word in argv:
        choices.append(_seeds(flag, word) if flag in FLAGS else [word])
        flag = word
    count = 1
    for words in choices:
        count *= len(words)
    if count > MOST:
        raise UserError(f"these ranges of seeds stand for {count} runs; take at most {MOST}")
    for flag in ONE_FILE:
        if flag in argv and count > 1:
            raise UserError(f"{flag} names one file, and these are {count} runs; omit it")
    return [list(words) for words in itertools.product(*choices)]


def _seeds(flag, text):
    """The seeds of a range FIRST-LAST as texts; the text itself where it is no range."""
    match = re.fullmatch(r"(\d{1,19})-(\d{1,19})", text)
    if not match:
        return [text]
    first, last = int(match[1]), int(match[2])
    if first > last:
        raise UserError(f"{flag} {text}: a range of seeds goes upwards, as in {last}-{first}")
    if last - first >= MOST:
        raise UserError(f"{flag} {text}: take at most {MOST} seeds")
    return [str(seed) for seed in range(first, last + 1)]
