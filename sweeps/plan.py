"""What a sweep has to do: its lines read and checked, what each run waits for, how long it should take.

What can be known to be wrong from the lines alone is known here, before any work: a line that is no
command, a flag, a class or a checkpoint that does not exist, two runs that would keep their
networks in one file. Such a line is a Job with a `mistake`.
"""

import contextlib
import functools
import importlib
import inspect
import io
import os
import re
import shlex
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import splits
from common.console import progress
from common.errors import UserError
from runs import checkpoints
from sweeps.worker import SCRIPTS, Outcome, begin, run, seconds_of

LONGEST = 100_000  # bytes of a line


MOST_SAID = 20  # kinds of mistakes that are listed
# What a run shares with its retrain.
GOAL = (
    "net",
    "dataset",
    "protocol",
    "numerics",
    "validation",
    "duplicates",
    "forget_perc",
    "corruption",
    "corrupt_count",
    "known_share",
    "seed",
    "b",
)
# What I_D depends on, with places.
READS = ("method", "net", "dataset", "duplicates", "numerics", "b", "importance", "gpu")


class Line(NamedTuple):
    """A line of what a sweep is given. number: where it stands there, from 1; 0 for none."""

    script: str
    argv: list
    number: int = 0
    text: str = ""
    mistake: str = ""  # why it is no command line


@dataclass(eq=False)
class Job:
    """A command line of a sweep."""

    script: str
    argv: list
    number: int = 0  # of its line; 0: the sweep itself has added it
    text: str = ""  # its line, where that is no command
    mistake: str = ""  # why it cannot run
    makes: object = None  # what others of the sweep may wait for: a checkpoint's path, or which run retrain is the goal of
    saves: str | None = None  # the file in which it keeps the unlearned network
    flags: tuple | None = None  # all of its flags, where it keeps a network
    needs: tuple = ()  # such things; a run waits while one of them is still to be made
    checkpoint: str = ""  # the path of the network that it trains or starts from
    starts_from: str | None = (
        None  # the same as the line names it; None where it is still to be trained
    )
    named: bool = False  # whether the line names it
    network: dict | None = None  # what the checkpoint's metadata must say: net, dataset
    training: list | None = None  # flags of the pre-training that it needs, where that is missing
    kind: tuple | None = None  # runs of one kind take about the same time
    seconds: float | None = None  # what past runs of its kind took
    recorded: bool = False  # whether a record says that this very command was run
    results: str | None = None  # where its record goes
    forgotten: str | None = None  # the class, where it is one
    reads_full: tuple | None = (
        None  # runs by the same, of other classes, can take their I_Ds in one pass with it
    )
    together: tuple = ()  # flags that say which classes these are
    gives: tuple | None = (
        None  # the trained network's logits, a by-product of I_D's pass, for which baselines wait
    )
    tries: int = 0
    waits_until: float = 0.0  # time.monotonic() before which it is not tried again

    def __str__(self):
        return self.text or f"{self.script}.py {shlex.join(self.argv)}"

    @property
    def products(self):
        """All that others of the sweep may wait for."""
        saved = ("saved", self.saves) if self.saves else None
        return [product for product in (self.makes, saved) if product]


# ---- the lines ----


def read_lines(stream):
    """The Lines of a text stream, as sys.stdin is one; comments and empty lines are left out.

    UserError where there is no such stream, where a terminal stands in its place, or no line.
    """
    how = "pipe a grid into it (./my_grid.sh | python sweep.py) or give it a file (python sweep.py < lines)"
    if stream is None:
        raise UserError(f"sweep.py reads its lines from standard input, which is closed; {how}")
    if stream.isatty():
        raise UserError(
            f"sweep.py reads its lines from standard input, which is the terminal; {how}"
        )
    lines, number = [], 0
    try:
        while data := stream.buffer.readline(LONGEST + 1):
            number += 1
            if len(data) > LONGEST:
                raise UserError(
                    f"line {number} has more than {LONGEST} bytes; is this a list of command lines?"
                )
            if line := _line(number, data):
                lines.append(line)
    except OSError as error:
        raise UserError(
            f"standard input cannot be read ({error.strerror or error}); {how}"
        ) from error
    if not lines:
        raise UserError(f"standard input holds no command line; {how}")
    return lines


def _line(number, data):
    """A Line; None for a comment or an empty line."""
    try:
        text = data.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError:
        return Line("", [], number, _shortened(repr(data)), "this is no text in UTF-8")
    if not text or text.startswith("#"):
        return None
    text_shown = _shortened(text if text.isprintable() else repr(text))
    if "\0" in text:
        return Line("", [], number, text_shown, "a command line holds no NUL character")
    try:
        words = shlex.split(text)
    except ValueError as error:
        return Line("", [], number, text_shown, f"this is no command line ({error})")
    if words and re.fullmatch(r"python[\d.]*(\.exe)?", Path(words[0]).name):
        words = words[1:]
    script, mistake = _script(words)
    if mistake:
        return Line("", [], number, text_shown, mistake)
    return Line(script, words[1:], number)


def _script(words):
    """(the script's name, why it is none)."""
    path = Path(words[0]) if words else Path("")
    if path.stem not in SCRIPTS or path.suffix not in ("", ".py"):
        return "", f"a line starts with one of {', '.join(SCRIPTS)}"
    root = Path(__file__).parent.parent
    names_folder = len(path.parts) > 1
    if (
        names_folder
        and os.path.exists(path)
        and not os.path.samefile(path, root / f"{path.stem}.py")
    ):
        return "", f"the script is not the one of {root}, which this sweep runs"
    return path.stem, ""


def _shortened(text):
    return text if len(text) <= 300 else f"{text[:300]}..."


def mistakes_in_words(jobs):
    """A text for each distinct mistake: which lines make it, what it is, and the first of these lines."""
    by_mistake = {}
    for job in jobs:
        if job.mistake:
            by_mistake.setdefault(job.mistake, []).append(job)
    texts = []
    for mistake, same in by_mistake.items():
        where = f"line {same[0].number}" if same[0].number else "a pre-training"
        others = f" and {len(same) - 1} more" if len(same) > 1 else ""
        texts.append(f"{where}{others}: {' '.join(mistake.split())}: {_shortened(str(same[0]))}")
    left_out = len(texts) - MOST_SAID
    if left_out > 0:
        texts[MOST_SAID:] = [f"and {left_out} other mistakes"]
    return texts


def refuse_if_all_wrong(jobs):
    """UserError where no line can run: it names the first mistake."""
    if not jobs or not all(job.mistake for job in jobs):
        return
    texts = mistakes_in_words(jobs)
    others = f"; and {len(texts) - 1} other mistakes" if len(texts) > 1 else ""
    raise UserError(f"no line can run: {texts[0]}{others}")


# ---- the jobs ----


def plan(lines, stop=(), gpu_mistake=None):
    """Lines as Jobs, each once, before them the pre-training that they need and nobody has done.

    lines: Lines, or (script, argv). stop: holds something once Ctrl-C was pressed;
    KeyboardInterrupt then. gpu_mistake(): why lines with -gpu cannot run where the sweep runs; ""
    where they can.
    """
    once = {}
    for line in lines:
        line = Line(*line)
        once.setdefault((line.script, tuple(line.argv), line.text), line)
    jobs = []
    for line in progress(once.values(), "planning"):
        if stop:
            raise KeyboardInterrupt
        jobs.append(_job(line))
    _refuse_missing_gpu(jobs, gpu_mistake)
    _refuse_lost_networks(jobs)
    jobs += _trainings(jobs)
    _refuse_missing_networks(jobs)
    _estimate(jobs)
    _take_together(jobs)
    first = {job.gives: job for job in reversed(jobs) if job.gives}
    for job in first.values():
        job.makes = job.gives
    return sorted(jobs, key=lambda job: (job.script != "pretrain_model", job not in first.values()))


def _job(line):
    """The Job of a Line, with a mistake where its flags are wrong."""
    job = Job(line.script, line.argv, line.number, line.text, line.mistake)
    if job.mistake:
        return job
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            if job.script == "pretrain_model":
                _read_training(job)
            else:
                _read_forgetting(job)
    except (
        ValueError,
        OverflowError,
        OSError,
    ) as error:  # UserErrors, and paths that no system takes
        job.mistake = str(error)
    except SystemExit:  # -h
        pass
    return job


def _read_training(job):
    pretrain_model = importlib.import_module("pretrain_model")
    args = pretrain_model.arguments(job.argv)
    epochs = pretrain_model.chosen_recipe(args)["epochs"]
    job.makes = job.checkpoint = os.path.abspath(args.out)
    job.kind = _kind_of_training(args.net, args.dataset, epochs, args.gpu, args.out)
    if getattr(args, "weight_path", None):
        job.starts_from, job.named = args.weight_path, True
        job.network = {"net": args.net, "dataset": args.dataset}
        job.needs = (os.path.abspath(args.weight_path),)


def task_of(script):
    return script[len("forget_") : -len("_main")]


def _read_forgetting(job):
    from runs import flags

    task = task_of(job.script)
    args = flags.arguments("", task, job.argv)
    takes = _parameters(args.method)
    _check_dials(job.script, args, takes)
    job.results, job.kind = args.results, _kind(task, vars(args))
    job.network = {"net": args.net, "dataset": args.dataset}
    job.named = any(word.split("=")[0] == "-weight_path" for word in job.argv)
    usual = flags.default_checkpoint(args, args.train_seed, args.protocol)
    job.checkpoint = os.path.abspath(args.weight_path if job.named else usual)
    if job.named or os.path.exists(
        args.weight_path
    ):  # under the released protocol perhaps the paper's
        job.starts_from = args.weight_path
    else:
        job.training = _training_flags(args)
    if args.save:
        job.saves = os.path.abspath(args.save)
        given = {name: value for name, value in vars(args).items() if name != "command"}
        job.flags = (job.script, repr(sorted(given.items())))
    # A run says whether it collapsed against retrain, so that one goes first: records do not depend
    # on who was faster.
    places = [os.path.abspath(getattr(args, name)) for name in ("data", "weight_path", "results")]
    forgotten = getattr(args, "forget_class", None)
    forgotten = splits.SPELLINGS.get(forgotten, forgotten)
    goal = (job.script, forgotten, *places, *(getattr(args, name, None) for name in GOAL))
    job.needs = (job.checkpoint,)
    if args.method == "retrain":
        job.makes = goal
    else:
        job.needs = (*job.needs, goal)
    logits = ("logits", *places[:2], args.duplicates, args.numerics, args.gpu)
    if args.method == "baseline":
        job.needs = (*job.needs, logits)
    takes_full = "full_importance" in takes
    if takes_full and args.importance != "sample":
        job.gives = logits
    if takes_full and args.protocol == "released" and forgotten:
        job.forgotten = forgotten
        job.reads_full = (job.script, *places[:2], *(getattr(args, name) for name in READS))


@functools.cache
def _parameters(method):
    from methods import METHODS

    return METHODS[method].parameters


def _check_dials(script, args, takes):
    """UserError where a method's alpha or lambda is wrong, or neither given nor published."""
    from runs import run as experiment

    tables = importlib.import_module(script)
    if "alpha" in takes:
        experiment.dial(args, "alpha", tables.ALPHA)
    if "lam" in takes:
        experiment.dial(args, "lambda", tables.LAMBDA)


def _training_flags(args):
    """The flags of the pre-training that a forgetting run needs."""
    flags = ["-net", args.net, "-dataset", args.dataset, "-data", args.data]
    flags += ["-seed", str(args.train_seed), "-protocol", args.protocol]
    if args.gpu:
        flags.append("-gpu")
    if args.validation:
        flags.append("-validation")
    if (
        args.duplicates == "drop_train"
    ):  # what else is done about duplicates does not change the training images
        flags += ["-duplicates", args.duplicates]
    if args.corruption:
        flags += ["-corruption", args.corruption, "-corrupt_count", str(args.corrupt_count)]
    return flags


def _refuse_missing_gpu(jobs, gpu_mistake):
    asking = [job for job in jobs if "-gpu" in job.argv and not job.mistake]
    mistake = gpu_mistake() if asking and gpu_mistake else ""
    for job in asking:
        job.mistake = mistake


def _refuse_lost_networks(jobs):
    """A mistake for -save where it would write over the network of another line; and who waits for whose network."""
    sound = [job for job in jobs if not job.mistake]
    used = {job.checkpoint for job in sound if job.script == "pretrain_model" or not job.named}
    savers = {}
    for job in sound:
        start = os.path.abspath(job.starts_from) if job.named else job.checkpoint
        if start in savers:
            job.needs = (*job.needs, ("saved", start))
        used.add(start)
        if job.saves is None:
            continue
        if job.saves in used:
            job.mistake = f"-save {job.saves} would write over the network that another line makes or starts from"
        else:
            savers.setdefault(job.saves, []).append(job)
    for path, same in savers.items():
        if len({job.flags for job in same}) > 1:
            for job in same:
                job.mistake = f"-save {path}: several runs would write it; name a file of its own for each run"


def _trainings(jobs):
    """Jobs of the pre-training that the others need and none of them is."""
    made, trainings = {job.makes for job in jobs}, []
    for job in jobs:
        if job.training and not job.mistake and job.checkpoint not in made:
            trainings.append(_job(Line("pretrain_model", job.training)))
            made.add(job.checkpoint)
    return trainings


def _refuse_missing_networks(jobs):
    """A mistake where what a line starts from is no checkpoint of its kind, and no other line makes it."""

    to_come = networks_to_come(jobs)
    read = functools.cache(checkpoints.read_metadata)
    for job in jobs:
        if not job.starts_from or job.mistake or os.path.abspath(job.starts_from) in to_come:
            continue
        try:
            checkpoints.check_metadata(job.starts_from, read(job.starts_from), job.network)
        except UserError as error:
            job.mistake = str(error)


def networks_to_come(jobs):
    """The paths of the networks that the jobs make."""
    trained = {job.makes for job in jobs if job.script == "pretrain_model" and not job.mistake}
    unlearned = {job.saves for job in jobs if job.saves and not job.mistake}
    return trained | unlearned


def _take_together(jobs):
    """Tell runs of other classes that read all the data in the same way of each other."""
    dampened = {}
    for job in jobs:
        if job.reads_full and not job.mistake:
            dampened.setdefault(job.reads_full, []).append(job)
    for same in dampened.values():
        classes = list(dict.fromkeys(job.forgotten for job in same))
        for job in same:
            if len(classes) > 1:
                job.together = tuple(
                    f"-together={name}" for name in classes if name != job.forgotten
                )


# ---- how long they take ----


def _estimate(jobs):
    """What the records and checkpoints that are there say about the jobs: seconds, and which were run before."""
    past, commands = _past(jobs)
    for job in jobs:
        job.seconds = past.get(job.kind)
        if "-force" in job.argv:
            continue
        if job.script == "pretrain_model":
            job.recorded = os.path.exists(job.checkpoint)
        else:
            command = shlex.join(["python", f"{job.script}.py", *job.argv])
            job.recorded = (job.results, command) in commands


def _past(jobs):
    """({kind: median seconds}, {(results folder, command)}) of what the records and checkpoints there say."""
    from runs import records

    seconds, commands = {}, set()
    for folder in {job.results for job in jobs if job.results}:
        with contextlib.suppress(UserError), contextlib.redirect_stderr(io.StringIO()):
            for record in records.read_all(folder):
                commands.add((folder, _without_together(record.get("command", ""))))
                with contextlib.suppress(
                    KeyError, TypeError, AttributeError
                ):  # older records hold less
                    kind = _kind(record["task"], record["config"])
                    seconds.setdefault(kind, []).append(seconds_of(record))
    for folder in {
        Path(job.makes).parent for job in jobs if job.script == "pretrain_model" and job.makes
    }:
        for path in folder.glob("[!.]*.safetensors"):
            with contextlib.suppress(UserError, KeyError):
                metadata = checkpoints.read_metadata(path)
                on_gpu = metadata["device"] == "cuda"
                kind = _kind_of_training(
                    metadata["net"], metadata["dataset"], metadata["epochs"], on_gpu, path
                )
                seconds.setdefault(kind, []).append(seconds_of(metadata))
    return {kind: statistics.median(values) for kind, values in seconds.items()}, commands


def _without_together(command):
    """A record's command without the flags that a sweep has added."""
    return re.sub(r" (-together=\S*|'-together=[^']*')", "", command)


def _kind(task, config):
    """What tells apart runs that take another time; config: a run's flags, or a record's configuration."""
    folder = os.path.abspath(config["data"]) if config["dataset"] == "Folder" else ""
    settings = tuple(sorted(config["set"].items()))
    names = ("method", "net", "dataset", "b", "numerics")
    by_sample = config["importance"] == "sample"
    return (
        task,
        *(config[name] for name in names),
        folder,
        settings,
        by_sample,
        bool(config["gpu"]),
    )


def _kind_of_training(net, dataset, epochs, gpu, path):
    data_set = Path(path).stem.split("-seed")[0]  # a folder of images bears its own name there
    return ("training", net, dataset, epochs, gpu, data_set)


def dry_run(jobs):
    """Print every job, whether it is there already, and how long the others should take; whether one is wrong."""
    refuse_if_all_wrong(jobs)
    for text in mistakes_in_words(jobs):
        print(f"WRONG   {text}")
    begin(os.getcwd(), captured=True)
    words = {"done": "there", "to do": "to run"}
    to_come = networks_to_come(jobs)
    left, done = [], 0
    for job in jobs:
        if job.mistake:
            continue
        # Where the network is still to be trained nothing needs to be loaded to know.
        missing = job.checkpoint in to_come and not os.path.exists(job.checkpoint)
        outcome = Outcome("to do") if missing else run(job, look=True)
        took, error = "", f"   {outcome.error}" if outcome.error else ""
        if outcome.state == "done":
            done += 1
        if outcome.state == "to do":
            left.append(job)
            took = f"   about {span(job.seconds)}" if job.seconds is not None else ""
        print(f"{words.get(outcome.state, 'WRONG'):7} {job}{took}{error}")
    wrong = len(jobs) - done - len(left)
    print(
        f"{len(jobs)} runs: {done} there, {len(left)} to run, {wrong} wrong{_time_in_words(left)}"
    )
    return wrong > 0


def _time_in_words(left):
    """How long the jobs that are left take, as far as records tell."""
    known = [job.seconds for job in left if job.seconds is not None]
    if not left:
        return ""
    if not known:
        return "; no record tells yet how long that takes"
    total = f"; about {span(sum(known))} in one process"
    if len(known) == len(left):
        return total
    return f"{total} for {len(known)} of them; no record tells yet how long the other {len(left) - len(known)} take"


def span(seconds):
    """A duration in words."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(1, round(seconds))} s"
