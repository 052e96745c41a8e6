"""What the processes of a sweep do: stay, and call the scripts' main() for one run after another.

Data, trained network and I_D are loaded once per process. sweep.py decides who does what.
"""

import contextlib
import importlib
import inspect
import io
import multiprocessing
import os
import shlex
import signal
import statistics
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path

from common import OUT_OF_MEMORY, CannotWrite, Claimed, UserError, is_full, is_out_of_memory, keep_memory, persist, plain_warnings

GOAL = ("net", "dataset", "protocol", "numerics", "validation", "forget_perc", "corruption", "corrupt_count", "known_share",
        "seed", "b")  # what a run shares with its retrain  # fmt: skip
READS = ("method", "net", "dataset", "numerics", "b", "importance", "gpu")  # what I_D depends on, with places
SCRIPTS = ("pretrain_model", "forget_full_class_main", "forget_sub_class_main", "forget_random_main", "forget_corrupted_main")


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


@dataclass
class Outcome:
    """How a run ended: "done"; "failed", and would again; "broken" by an error of ours or the machine's; "claimed" by
    another process; "unwritable", as the next run would be; "to do", where it was only looked at."""

    state: str
    printed: str = ""
    error: str = ""
    seconds: float | None = None


# ---- in the worker ----


def begin(folder, captured, gpu=False):
    """Make this process a worker in `folder`: the imports are paid, nothing outlives the sweep that has started it.

    gpu: RuntimeError where there is none that can be used, so that a broken node takes no runs.
    """
    os.chdir(folder)
    persist()
    plain_warnings()
    keep_memory()
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    if captured:
        os.environ["TQDM_DISABLE"] = "1"  # several bars would overwrite each other
    else:
        sys.stdout.reconfigure(line_buffering=True)
    for script in SCRIPTS:
        importlib.import_module(script)
    if gpu and not importlib.import_module("torch").cuda.is_available():
        raise RuntimeError("CUDA finds no GPU that can be used")
    importlib.import_module("records").commit()  # of the code that this process runs, whatever the folder holds later


def _end_with(parent):
    parent.join()
    os._exit(1)


def run(job, captured=True, look=False):
    """Call the job's script; `look`: only to see whether it is done. Returns an Outcome, whatever happens."""
    printed, outcome = io.StringIO(), Outcome("done")
    with contextlib.ExitStack() as stack:
        if captured:
            stack.enter_context(contextlib.redirect_stdout(printed))
            stack.enter_context(contextlib.redirect_stderr(printed))
        try:
            result = importlib.import_module(job.script).main([*job.argv, *job.together, *["-dry_run"] * look])
            outcome = Outcome("done", seconds=_seconds(result)) if result else Outcome("to do")
        except SystemExit as error:  # 0: -h
            outcome = Outcome("failed", error=f"it ended with {error.code}") if error.code else outcome
        except Claimed as error:
            outcome = Outcome("claimed", error=str(error))
        except CannotWrite as error:
            outcome = Outcome("unwritable", error=str(error))
        except UserError as error:
            outcome = Outcome("failed", error=str(error))
        except OSError as error:
            outcome = Outcome("unwritable" if is_full(error) else "broken", error=str(error))
            if outcome.state == "broken":
                traceback.print_exc()
        except Exception as error:  # one broken run must not take the others with it
            if is_out_of_memory(error):
                outcome = Outcome("broken", error=OUT_OF_MEMORY)
            else:
                traceback.print_exc()
                outcome = Outcome("broken", error=f"{type(error).__name__}: {error}")
    outcome.printed = printed.getvalue()
    return outcome


def _seconds(result):
    """What a record, or a checkpoint's metadata, says that its run took; I_D aside, which is paid once per network."""
    if "seconds" in result:
        return result["seconds"]["method"] + result["seconds"]["evaluation"]
    return result.get("seconds_per_epoch", 0) * result["epochs"]


# ---- before the sweep ----


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
                found.setdefault((config["method"], *_where(config, config.get("gpu"))), []).append(_seconds(record))
    for folder in {Path(job.makes).parent for job in jobs if job.script == "pretrain_model" and job.makes}:
        for path in folder.glob("[!.]*.safetensors"):
            with contextlib.suppress(UserError, KeyError):
                metadata = models.read_metadata(path)
                found.setdefault(("training", *_where(metadata, metadata["device"] == "cuda")), []).append(_seconds(metadata))
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
