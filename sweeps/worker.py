"""What the processes of a sweep do: stay, and call the scripts' main() for one run after another.

Imports, data, trained networks and I_D are paid once for a process.
"""

import contextlib
import importlib
import io
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch

from common.console import plain_warnings
from common.errors import (
    OUT_OF_MEMORY,
    CannotWrite,
    Claimed,
    UserError,
    is_full,
    is_out_of_memory,
)
from runs import environment
from runs.cache import WORKERS_CACHE, Cache
from sweeps.estimate import seconds_of
from sweeps.lines import SCRIPTS


class State(Enum):
    """How a run has ended."""

    DONE = "done"
    TO_DO = "to do"  # it was only looked at
    CLAIMED = "claimed"  # another process is at it
    FAILED = "failed"  # and it would again
    BROKEN = "broken"  # by an error of ours or of the machine
    UNWRITABLE = "unwritable"  # as the next run would be


@dataclass(frozen=True)
class Outcome:
    """How a run has ended, and what it has printed."""

    state: State
    error: str = ""
    printed: str = ""
    seconds: float = 0.0  # that it took, by its record
    collapse: tuple[str, ...] = ()  # in which ways it has collapsed, a sentence each


# What this process keeps from run to run. A pool sends it functions and no object, so it is here.
CACHE = Cache(WORKERS_CACHE)


def begin(folder: str, gpu: bool = False):
    """Make this process a worker in `folder`: the imports are paid, and it ends with its sweep.

    gpu: RuntimeError where there is none that can be used, so that a broken node takes no runs.
    """
    sweep = multiprocessing.parent_process()
    if sweep is not None:
        threading.Thread(target=_end_with, args=(sweep,), daemon=True).start()
        _end_at_interrupt()
    os.chdir(folder)
    plain_warnings()
    os.environ["TQDM_DISABLE"] = "1"  # the sweep has a bar of its own
    for script in SCRIPTS:
        importlib.import_module(script)
    if gpu and not torch.cuda.is_available():
        raise RuntimeError("CUDA finds no GPU that can be used")
    environment.commit()  # of the code that this process runs, whatever the folder holds later


def _end_at_interrupt():
    """Let Ctrl-C end this process at once and silently, also one that came before.

    local.interrupts_held has held it until now.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_with(sweep):
    sweep.join()
    os._exit(1)


def work(script: str, argv: Sequence[str]) -> Outcome:
    """Do a run in this process, which stays."""
    return call(script, argv, CACHE)


def call(script: str, argv: Sequence[str], cache: Cache) -> Outcome:
    """Call a script's main(). Whatever it raises becomes an Outcome: a run takes no other along."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            result = importlib.import_module(script).main(list(argv), cache)
            outcome = _success(result) if result else Outcome(State.TO_DO)
        except Exception as error:
            outcome = _failure(error)
    return replace(outcome, printed=printed.getvalue())


def _success(result):
    """The Outcome of a run that has left this record, or this checkpoint's metadata."""
    collapse = tuple(result.get("collapse", ()))
    return Outcome(State.DONE, seconds=seconds_of(result), collapse=collapse)


def _failure(error):
    """The Outcome of a run that has raised this error. Where it is ours, prints the traceback."""
    if isinstance(error, Claimed):
        return Outcome(State.CLAIMED, str(error))
    if isinstance(error, CannotWrite):
        return Outcome(State.UNWRITABLE, str(error))
    if isinstance(error, UserError):
        return Outcome(State.FAILED, str(error))
    if isinstance(error, OSError) and is_full(error):
        return Outcome(State.UNWRITABLE, str(error))
    if is_out_of_memory(error):
        return Outcome(State.BROKEN, OUT_OF_MEMORY)
    traceback.print_exception(error)
    return Outcome(State.BROKEN, f"{type(error).__name__}: {error}")
