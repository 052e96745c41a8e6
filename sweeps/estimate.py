"""How long jobs take, as records and checkpoints of earlier runs tell."""

import contextlib
import functools
import io
import os
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pretrain_model
from common.errors import UserError
from runs import checkpoints, records
from sweeps.jobs import Job

UNITS = (("h", 3600), ("min", 60))  # a duration in words is 1.5 of its unit, or more
ALIKE = ("method", "net", "dataset", "b", "numerics")  # flags of runs that take the same time


@dataclass(frozen=True)
class Past:
    """What is known of earlier runs."""

    seconds: dict[tuple, list[float]]  # of a kind's runs
    commands: set[tuple[str, str]]  # (folder of results, command) of all records

    def expected(self, kind: tuple) -> float | None:
        """Seconds that a job of this kind should take; None where no run of it tells."""
        values = self.seconds.get(kind)
        return statistics.median(values) if values else None

    def has(self, job: Job) -> bool:
        """Whether this very command was run before, so that it takes no time worth counting."""
        if job.args.force:
            return False
        if job.trains:
            return os.path.exists(job.trains)
        return (job.args.results, job.args.command) in self.commands

    def add(self, job: Job, seconds: float):
        """Note what a job took."""
        self.seconds.setdefault(kind_of(job), []).append(seconds)


def past_of(jobs: list[Job]) -> Past:
    """What the records and checkpoints tell that lie where the jobs' own will lie."""
    past = Past({}, set())
    for folder in {job.args.results for job in jobs if not job.trains}:
        _add_records(past, folder)
    for folder in {Path(job.trains).parent for job in jobs if job.trains}:
        _add_checkpoints(past, folder)
    return past


def _add_records(past, folder):
    with contextlib.suppress(UserError), contextlib.redirect_stderr(io.StringIO()):
        for record in records.read_all(folder):
            past.commands.add((folder, record.get("command", "")))
            # Records of older versions hold less.
            with contextlib.suppress(KeyError, TypeError, AttributeError):
                values = past.seconds.setdefault(_kind(record["task"], record["config"]), [])
                values.append(seconds_of(record))


def _add_checkpoints(past, folder):
    for path in folder.glob("[!.]*.safetensors"):
        with contextlib.suppress(UserError, KeyError):
            metadata = checkpoints.read_metadata(path)
            on_gpu = metadata["device"] == "cuda"
            trained = _kind_of_training(
                metadata["net"], metadata["dataset"], metadata["epochs"], on_gpu, path
            )
            past.seconds.setdefault(trained, []).append(seconds_of(metadata))


def seconds_of(result: dict) -> float:
    """Seconds that a run took, by its record or its checkpoint's metadata.

    I_D is not counted: it is paid once for a network.
    """
    if "seconds" in result:
        return result["seconds"]["method"] + result["seconds"]["evaluation"]
    return result.get("seconds_per_epoch", 0) * result["epochs"]


# ---- kinds: jobs of one kind take about the same time ----


@functools.cache  # the time that is left is asked for after every run
def kind_of(job: Job) -> tuple:
    """What tells apart jobs that take another time."""
    args = job.args
    if not job.trains:
        return _kind(args.task, vars(args))
    epochs = pretrain_model.chosen_recipe(args)["epochs"]
    return _kind_of_training(args.net, args.dataset, epochs, args.gpu, job.trains)


def _kind(task, config):
    """config: a run's flags, or a record's configuration."""
    folder = os.path.abspath(config["data"]) if config["dataset"] == "Folder" else ""
    settings = tuple(sorted(config["set"].items()))
    by_sample = config["importance"] == "sample"
    flags = tuple(config[name] for name in ALIKE)
    return (task, *flags, folder, settings, by_sample, bool(config["gpu"]))


def _kind_of_training(net, dataset, epochs, gpu, path):
    data_set = Path(path).stem.split("-seed")[0]  # a folder of images bears its own name there
    return ("training", net, dataset, epochs, gpu, data_set)


# ---- in words ----


def span(seconds: float) -> str:
    """A duration in words."""
    for unit, size in UNITS:
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(1, round(seconds))} s"


@dataclass(frozen=True)
class Total:
    """How long some jobs take together."""

    seconds: float  # of those whose kind is known
    known: int  # how many these are
    unknown: int  # how many others there are


def total_of(jobs: list[Job], past: Past) -> Total:
    """How long the jobs take, one after the other."""
    seconds, known, unknown = 0.0, 0, 0
    for kind, count in Counter(map(kind_of, jobs)).items():
        expected = past.expected(kind)
        if expected is None:
            unknown += count
        else:
            known += count
            seconds += count * expected
    return Total(seconds, known, unknown)


def time_left(jobs: list[Job], past: Past, at_a_time: int) -> str:
    """How long the jobs take, in words; empty where no run of their kind tells.

    at_a_time: how many of them may run at a time. Jobs that were run before are not counted.
    """
    left = [job for job in jobs if not past.has(job)]
    total = total_of(left, past)
    if not total.known:
        return ""
    at_a_time = max(1, min(len(left), at_a_time))
    duration = span(total.seconds / at_a_time)
    return f"more than {duration} left" if total.unknown else f"about {duration} left"
