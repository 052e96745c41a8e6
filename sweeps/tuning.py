"""The search for a method's hyper-parameters: what is measured, against what, and each trial."""

import contextlib
import importlib
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import TrialState

from common.errors import Claimed, Diverged, UserError
from common.files import sha256
from methods import GOAL
from runs.cache import Cache
from runs.flags import arguments
from sweeps.lines import TASK_OF_SCRIPT, Line
from sweeps.plan import plan
from sweeps.study import suggested

# Hyper-parameters with a flag of their own and a table in the scripts; -set gives the others.
DIALS = {"alpha": ("-alpha", "ALPHA"), "lam": ("-lambda", "LAMBDA")}
# {name in a study: name in a record} of the scores whose distance to retrain counts.
SCORES = {"D_r %": "RetainTestAcc", "D_f %": "Df", "MIA %": "MIA"}
AGAIN = 1  # seconds after which a run that another process is at is looked at again


@dataclass(frozen=True)
class Search:
    """What is to be tuned, and how."""

    script: str  # the name of a forget script, without .py
    net: str
    method: str
    lines: list[list[str]]  # the script's flags, a list for each forget set
    ranges: dict  # {hyper-parameter: (low, high)}
    trials: int
    out: Path  # where study, records and plot go

    def path(self, weights_hash: str) -> Path:
        """The file of the study of this very command and network."""
        commands = [line[2:] for line in self.lines]  # without -results OUT
        key = sha256(repr((commands, sorted(self.ranges.items()))), weights_hash)[:10]
        return self.out.absolute() / f"{self.script}-{self.method}-{key}.db"


def check_forget_set(script: str, line: list[str], cache: Cache):
    """UserError where the data, the forget set in them or a named checkpoint are not there.

    Said before any training. The data stay loaded for the runs.
    """
    planned = plan([_goal_line(script, line)])
    for mistake in planned.mistakes:
        raise UserError(mistake.reason)
    args = arguments("", TASK_OF_SCRIPT[script], line)
    if len(planned.jobs) > 1:  # the network is still to be trained
        args.weight_path = None
    importlib.import_module(script).split_of(args, cache)


def goal(script: str, line: list[str], cache: Cache) -> dict:
    """The record of the network retrained without D_f.

    Of corrupted data: without all that is corrupted. The network that all trials start from is
    pre-trained before it, where it is missing.
    """
    for job in plan([_goal_line(script, line)]).jobs:
        print(job, flush=True)
        record = _run(job.line.script, job.line.argv, cache)
    return record


def _goal_line(script, line):
    """The command line of what all trials of a forget set are measured against."""
    argv = [*line, "-method", GOAL]  # of a flag that is given twice the last one counts
    if TASK_OF_SCRIPT[script].heals:
        argv += ["-known_share", "1"]
    return Line(script, tuple(argv))


def _run(script, argv, cache):
    """The record of one run; waits while another process is at it."""
    while True:
        with contextlib.suppress(Claimed):
            return importlib.import_module(script).main(list(argv), cache)
        time.sleep(AGAIN)


def attempt(search: Search, study: optuna.Study, goals: list[dict], cache: Cache) -> str:
    """One trial: values suggested, every forget set tried, the mean distance told.

    goals: the records of the retrains. Returns what has come of it, in words.
    """
    trial = study.ask()
    values = {}
    for name, ends in search.ranges.items():
        values[name] = suggested(trial, name, *ends)
    distances, scores = [], []
    try:
        for line, goal_record in zip(search.lines, goals, strict=True):
            reached = scores_in(_run(search.script, [*line, *flags_of(values)], cache))
            scores.append(reached)
            distances.append(distance(reached, scores_in(goal_record)))
    except Diverged as error:
        study.tell(trial, state=TrialState.PRUNED)
        return f"{error}   {in_words(values)}"
    mean = statistics.fmean(distances)
    trial.set_user_attr("values", values)
    trial.set_user_attr("scores", scores)
    study.tell(trial, mean)
    return f"distance {mean:.2f}   {in_words(values)}"


def flags_of(values: dict) -> list[str]:
    """The flags that give a run these hyper-parameters."""
    words, settings = [], []
    for name, value in values.items():
        if name in DIALS:
            words += [DIALS[name][0], repr(value)]
        else:
            settings.append(f"{name}={value!r}")
    if settings:
        words += ["-set", *settings]
    return words


def scores_in(record: dict) -> dict:
    """{name in a study: percent} of the scores that count."""
    return {name: record["scores"][score] for name, score in SCORES.items()}


def distance(scores: dict, goal_scores: dict) -> float:
    """The mean of |difference| over the scores, in points."""
    return statistics.fmean(abs(scores[name] - goal_scores[name]) for name in SCORES)


def in_words(values: dict) -> str:
    return " ".join(f"{name}={value!r}" for name, value in values.items())
