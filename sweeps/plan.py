"""What a sweep has to do: its lines as jobs, and what each of them waits for.

What can be known to be wrong from the lines is known here, before any work: a line that is no
command, a flag, a class or a checkpoint that does not exist, two runs that would keep their
networks in one file. Such a line is a Mistake and no Job.
"""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.console import progress
from common.errors import UserError
from runs import checkpoints
from sweeps.jobs import Job, read
from sweeps.lines import TRAINING, Line, Mistake, in_words


@dataclass(frozen=True)
class Plan:
    """What a sweep has to do."""

    jobs: list[Job]  # in the order in which they are to start
    mistakes: list[Mistake]  # the lines that cannot run

    @property
    def total(self) -> int:
        return len(self.jobs) + len(self.mistakes)


def plan(
    lines: Sequence[Line | Mistake],
    stop: Sequence = (),
    gpu_mistake: Callable | None = None,
) -> Plan:
    """The lines as jobs, each once, and the pre-training that they need and nobody has done.

    stop: holds something once Ctrl-C was pressed; KeyboardInterrupt then. gpu_mistake(): why lines
    with -gpu cannot run where the sweep runs; empty where they can.
    """
    jobs, mistakes = _read_all(lines, stop)
    jobs = _without(jobs, _missing_gpu(jobs, gpu_mistake), mistakes)
    jobs = _without(jobs, _lost_networks(jobs), mistakes)
    jobs += _missing_trainings(jobs, mistakes)
    jobs = _without(jobs, _missing_networks(jobs), mistakes)
    jobs.sort(key=lambda job: job.rank)
    mistakes.sort(key=lambda mistake: mistake.number)
    return Plan(jobs, mistakes)


def check_some_can_run(plan: Plan):
    """UserError where no line can run: it names the first mistake."""
    if plan.jobs:
        return
    texts = in_words(plan.mistakes)
    others = f"; and {len(texts) - 1} other mistakes" if len(texts) > 1 else ""
    raise UserError(f"no line can run: {texts[0]}{others}")


def networks_to_come(jobs: list[Job]) -> set[str]:
    """The paths of the networks that the jobs make."""
    paths = set()
    for job in jobs:
        paths.update((job.trains, job.saves))
    return paths - {""}


def _without(jobs, reasons, mistakes):
    """The jobs for which `reasons` has no entry; the others become mistakes."""
    sound = []
    for job in jobs:
        if job in reasons:
            mistakes.append(Mistake(job.line.number, str(job), reasons[job]))
        else:
            sound.append(job)
    return sound


def _read_all(lines, stop):
    """(jobs, mistakes) of the lines; a line that is there twice counts once."""
    distinct = {}
    for line in lines:
        distinct.setdefault(str(line), line)
    jobs, mistakes = [], []
    for line in progress(distinct.values(), "planning"):
        if stop:
            raise KeyboardInterrupt
        entry = line if isinstance(line, Mistake) else read(line)
        if isinstance(entry, Mistake):
            mistakes.append(entry)
        else:
            jobs.append(entry)
    return jobs, mistakes


# ---- what only all lines together tell ----


def _missing_gpu(jobs, gpu_mistake):
    """{job: why it cannot run}, where there is no GPU for a line that asks for one."""
    asking = [job for job in jobs if job.args.gpu]
    reason = gpu_mistake() if asking and gpu_mistake else ""
    return dict.fromkeys(asking, reason) if reason else {}


def _lost_networks(jobs):
    """{job: why not}, where -save would write over the network of another line."""
    used = {job.network for job in jobs if job.trains or not job.start.named}
    reasons, savers = {}, {}
    for job in jobs:
        if job.start:
            used.add(job.start.path)
        if job.saves in used:
            reasons[job] = (
                f"-save {job.saves} would write over the network that another line makes or "
                "starts from"
            )
        elif job.saves:
            savers.setdefault(job.saves, []).append(job)
    for path, alike in savers.items():
        if len({_settings(job) for job in alike}) > 1:
            reason = (
                f"-save {path}: several runs would write it; name a file of its own for each run"
            )
            reasons.update(dict.fromkeys(alike, reason))
    return reasons


def _settings(job):
    """A text that is equal for two jobs that are the same run, however their lines are written."""
    values = {name: value for name, value in vars(job.args).items() if name != "command"}
    return repr(sorted(values.items()))


def _missing_trainings(jobs, mistakes):
    """Jobs of the pre-training that the others need and none of them is."""
    trained = {job.trains for job in jobs}
    trainings = []
    for job in jobs:
        if job.start is None or job.start.source or job.start.path in trained:
            continue
        trained.add(job.start.path)
        training = read(Line(TRAINING, _training_flags(job.args)))
        if isinstance(training, Mistake):
            mistakes.append(training)
        else:
            trainings.append(training)
    return trainings


def _training_flags(args):
    """The flags of the pre-training that a forgetting run needs."""
    words = ["-net", args.net, "-dataset", args.dataset, "-data", args.data]
    words += ["-seed", str(args.train_seed), "-protocol", args.protocol, "-recipe", args.recipe]
    if args.gpu:
        words.append("-gpu")
    if args.validation:
        words.append("-validation")
    if args.normalise != "cifar100":
        words += ["-normalise", args.normalise]
    # What else is done about duplicates does not change the training images.
    if args.duplicates == "drop_train":
        words += ["-duplicates", args.duplicates]
    if args.corruption:
        words += ["-corruption", args.corruption, "-corrupt_count", str(args.corrupt_count)]
    return tuple(words)


def _missing_networks(jobs):
    """{job: why not}, where it starts from no checkpoint of its kind, and nobody makes it."""
    to_come = networks_to_come(jobs)
    metadata_of = functools.cache(checkpoints.read_metadata)
    reasons = {}
    for job in jobs:
        source = job.start.source if job.start else ""
        if not source or os.path.abspath(source) in to_come:
            continue
        expected = {"net": job.args.net, "dataset": job.args.dataset}
        try:
            checkpoints.check_metadata(source, metadata_of(source), expected)
        except UserError as error:
            reasons[job] = str(error)
    return reasons
