"""What a sweep has to do: command lines as jobs, what each waits for, and how long it should take."""

import contextlib
import importlib
import inspect
import io
import os
import shlex
import statistics
from dataclasses import dataclass
from pathlib import Path

from common import UserError
from workers import Outcome, begin, run, seconds_of

GOAL = ("net", "dataset", "protocol", "numerics", "validation", "forget_perc", "corruption", "corrupt_count", "known_share",
        "seed", "b")  # what a run shares with its retrain  # fmt: skip
READS = ("method", "net", "dataset", "numerics", "b", "importance", "gpu")  # what I_D depends on, with places


@dataclass(eq=False)
class Job:
    """A command line of a sweep."""

    script: str
    argv: list
    makes: object = None  # what others of the sweep may wait for: a checkpoint's path, or which run retrain is the goal of
    needs: tuple = ()  # such things; a run waits while one of them is still to be made
    checkpoint: str = ""  # the file that it makes or, as things stand, starts from
    training: list | None = None  # flags of the pre-training that it needs, where that is missing
    kind: tuple | None = None  # runs of one kind take about the same time
    seconds: float | None = None  # what past runs of its kind took
    results: str | None = None  # where its record goes
    forgotten: str | None = None  # the class, where it is one
    reads_full: tuple | None = None  # runs by the same, of other classes, can take their I_Ds in one pass with it
    together: tuple = ()  # flags that say which classes these are
    gives: tuple | None = None  # the trained network's logits, a by-product of I_D's pass, for which baselines wait
    tries: int = 0
    waits_until: float = 0.0  # time.monotonic() before which it is not tried again

    def __str__(self):
        return f"{self.script}.py {shlex.join(self.argv)}"


def plan(commands):
    """[(script, argv)] as Jobs, each once, before them the pre-training that they need and nobody has done.

    A command whose flags are wrong is a job like others: it fails when its turn comes.
    """
    once = dict.fromkeys((script, tuple(argv)) for script, argv in commands)
    jobs = [_job(script, list(argv)) for script, argv in once]
    made = {job.makes for job in jobs}
    for job in list(jobs):
        if job.training and job.needs[0] not in made:
            jobs.append(_job("pretrain_model", job.training))
            made.add(job.needs[0])
    past, dampened = _past(jobs), {}
    for job in jobs:
        job.seconds = past.get(job.kind)
        if job.reads_full:
            dampened.setdefault(job.reads_full, []).append(job)
    for same in dampened.values():
        classes = list(dict.fromkeys(job.forgotten for job in same))
        for job in same:
            if len(classes) > 1:
                job.together = tuple(f"-together={name}" for name in classes if name != job.forgotten)
    first = {job.gives: job for job in reversed(jobs) if job.gives}
    for job in first.values():
        job.makes = job.gives
    return sorted(jobs, key=lambda job: (job.script != "pretrain_model", job not in first.values()))


def _job(script, argv):
    with contextlib.suppress(UserError, SystemExit), contextlib.redirect_stdout(io.StringIO()):
        if script == "pretrain_model":
            args = importlib.import_module(script).arguments(argv)
            path, kind = os.path.abspath(args.out), ("training", args.net, args.dataset, args.gpu)
            return Job(script, argv, makes=path, checkpoint=path, kind=kind)
        return _forget_job(script, argv)
    return Job(script, argv)


def task_of(script):
    return script[len("forget_") : -len("_main")]


def _forget_job(script, argv):
    import datasets
    import flags
    import models
    from methods import METHODS

    args = flags.arguments("", task_of(script), argv)
    named = any(word.split("=")[0] == "-weight_path" for word in argv)
    usual = models.checkpoint_path(args.net, args.dataset, args.train_seed, args.protocol, flags.variant(args))
    checkpoint = args.weight_path if named else usual
    training = ["-net", args.net, "-dataset", args.dataset, "-data", args.data, "-seed", str(args.train_seed),
                "-protocol", args.protocol, *["-gpu"] * args.gpu, *["-validation"] * args.validation]  # fmt: skip
    training += ["-corruption", args.corruption, "-corrupt_count", str(args.corrupt_count)] if args.corruption else []
    needs, job = (os.path.abspath(checkpoint),), Job(script, argv, results=args.results, checkpoint=args.weight_path)
    job.kind = args.method, args.net, args.dataset, args.gpu
    job.training = None if named or os.path.exists(args.weight_path) else training
    # A run says whether it collapsed against retrain, so that one goes first: records do not depend on who was faster.
    places = [os.path.abspath(getattr(args, name)) for name in ("data", "weight_path", "results")]
    forgotten = getattr(args, "forget_class", None)
    goal = (script, datasets.SPELLINGS.get(forgotten, forgotten), *places, *(getattr(args, name, None) for name in GOAL))
    job.makes, job.needs = (goal, needs) if args.method == "retrain" else (None, (*needs, goal))
    logits = "logits", *places[:2], args.numerics, args.gpu
    if args.method == "baseline":
        job.needs = (*job.needs, logits)
    takes_full = "full_importance" in inspect.signature(METHODS[args.method]).parameters
    if takes_full and args.importance != "sample":
        job.gives = logits
    if takes_full and args.protocol == "released" and forgotten:
        job.forgotten = datasets.SPELLINGS.get(forgotten, forgotten)
        job.reads_full = (script, *places[:2], *(getattr(args, name) for name in READS))
    return job


def _past(jobs):
    """{kind: median seconds} of what the records and checkpoints there say."""
    import models
    import records

    found = {}
    for folder in {job.results for job in jobs if job.results}:
        with contextlib.suppress(UserError), contextlib.redirect_stderr(io.StringIO()):
            for record in records.read_all(folder):
                config = record["config"]
                found.setdefault((config["method"], *_where(config, config.get("gpu"))), []).append(seconds_of(record))
    for folder in {Path(job.makes).parent for job in jobs if job.script == "pretrain_model" and job.makes}:
        for path in folder.glob("[!.]*.safetensors"):
            with contextlib.suppress(UserError, KeyError):
                metadata = models.read_metadata(path)
                found.setdefault(("training", *_where(metadata, metadata["device"] == "cuda")), []).append(seconds_of(metadata))
    return {kind: statistics.median(values) for kind, values in found.items()}


def _where(config, gpu):
    return config["net"], config["dataset"], gpu


def dry_run(jobs):
    """Print every job, whether it is there already, and how long the others should take."""
    begin(os.getcwd(), captured=True)
    words = {"done": "there", "to do": "to run", "failed": "WRONG"}
    left, there, made = [], 0, {job.makes for job in jobs}
    for job in jobs:
        # Where the network is still to be trained nothing needs to be loaded to know.
        missing = (job.needs or (job.makes,))[0] in made - {None} and not os.path.exists(job.checkpoint)
        outcome = Outcome("to do") if missing else run(job, look=True)
        there += outcome.state == "done"
        if outcome.state == "to do":
            left.append(job)
        took = f"   about {span(job.seconds)}" if outcome.state == "to do" and job.seconds is not None else ""
        print(f"{words.get(outcome.state, 'WRONG'):7} {job}{took}{outcome.error and '   ' + outcome.error}")
    unknown = sum(job.seconds is None for job in left)
    hedge = f", without {unknown} of which no record tells the time" if unknown else ""
    print(f"{len(jobs)} runs: {there} there, {len(left)} to run, {len(jobs) - there - len(left)} wrong; "
          f"about {span(sum(job.seconds or 0 for job in left))} for one process{hedge}")  # fmt: skip


def span(seconds):
    """A duration in words."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s"
