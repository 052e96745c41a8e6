"""Who does what, and when: jobs are handed to workers until none is left."""

import math
import time
from collections import Counter
from collections.abc import Sequence

from common.errors import CannotWrite
from sweeps.display import display
from sweeps.estimate import past_of, time_left
from sweeps.jobs import Job
from sweeps.lines import Line, Mistake, in_words
from sweeps.local import interrupts_noted
from sweeps.plan import Plan, check_some_can_run, plan
from sweeps.pool import Workers
from sweeps.worker import Outcome, State

AGAIN = 2  # seconds after which a run that another process is at is looked at again
STUCK = 30  # seconds without a worker, after which the sweep says so


def sweep(lines: Sequence[Line | Mistake], places, retries: int) -> int:
    """Do what the lines say; returns the number of failures, 0 if all went well.

    Each failed run counts, and each kind of mistake in the lines.

    places: where workers can be (local.Processes, ray_cluster.Cluster). retries: how often a run
    is tried again whose process broke. UserError where no line can run.
    """
    workers = Workers(places)
    with interrupts_noted() as stop:
        try:
            workers.open(len(lines))  # they start while we plan
            planned = plan(lines, stop, places.gpu_mistake)
            check_some_can_run(planned)
            work = Sweep(planned, workers, retries)
            work.run(stop)
        finally:
            places.end()
    print(f"{work.done} of {planned.total} runs done")
    failures = [*in_words(planned.mistakes), *work.failures]
    work.display.failed(failures)
    return len(failures)


class Sweep:
    """A sweep under way."""

    def __init__(self, plan: Plan, workers: Workers, retries: int):
        self.plan = plan
        self.workers = workers
        self.retries = retries
        self.past = past_of(plan.jobs)
        self.display = display(plan.total)
        self.waiting = list(plan.jobs)
        self.not_before = {}  # {job that another process is at: time.monotonic() to look again}
        self.breaks = Counter()  # {job: how often its process broke}
        self.done = 0
        self.failures = []  # a text for each run that failed
        self.stuck_since = time.monotonic()

    def run(self, stop: Sequence):
        """Until no job is left. KeyboardInterrupt once `stop` holds something."""
        for text in in_words(self.plan.mistakes):
            self.display.warn(f"wrong: {text}")
        try:
            while self.waiting or self.workers.busy:
                self.workers.open(len(self.waiting))
                self.start_jobs()
                self.say_if_stuck()
                self.show()
                futures = self.workers.wait(AGAIN)
                if stop:
                    raise KeyboardInterrupt
                for job, outcome in self.workers.take(futures):
                    self.settle(job, outcome)
        finally:
            self.display.end()
        self.workers.close()

    def start_jobs(self):
        """Give idle workers the jobs that need not wait."""
        to_come = set()
        for job in [*self.waiting, *self.workers.jobs]:
            to_come |= job.makes
        now = time.monotonic()
        for job in list(self.waiting):
            if not self.workers.idle:
                break
            if job.needs & to_come or now < self.not_before.get(job, now):
                continue
            if self.workers.give(job):
                self.waiting.remove(job)

    def settle(self, job: Job, outcome: Outcome):
        """A job has ended: it is done, it has failed, or it waits again."""
        if outcome.state is State.UNWRITABLE:
            raise CannotWrite(outcome.error)
        if outcome.state is State.CLAIMED:
            self.come_back_to(job, outcome)
        elif outcome.state is State.BROKEN and self.breaks[job] < self.retries:
            self.try_again(job, outcome)
        else:
            self.count(job, outcome)

    def come_back_to(self, job, outcome):
        """Another process is at it: it is looked at later, after the jobs that nobody is at."""
        if job not in self.not_before:
            self.display.note(f"{outcome.error}; coming back to it")
        self.not_before[job] = time.monotonic() + AGAIN
        self.waiting.append(job)

    def try_again(self, job, outcome):
        """Its process broke: it goes first in another."""
        self.breaks[job] += 1
        self.display.again(job, outcome)
        self.waiting.insert(0, job)

    def count(self, job, outcome):
        """It is done or has failed."""
        if outcome.state is State.DONE:
            self.done += 1
            self.past.add(job, outcome.seconds)
        else:
            self.failures.append(f"{job}: {outcome.error}")
        self.display.ended(job, outcome, self.status())

    def show(self):
        """Where the sweep stands, on a terminal."""
        ended = self.done + len(self.failures) + len(self.plan.mistakes)
        self.display.refresh(ended, self.status())

    def status(self) -> str:
        """Where the sweep stands, in words."""
        running = self.workers.jobs
        failed = len(self.failures) + len(self.plan.mistakes)
        parts = [f"{self.done} of {self.plan.total} done"]
        if failed:
            parts.append(f"{failed} failed")
        parts.append(f"{len(running)} running")
        left = time_left([*running, *self.waiting], self.past, self.workers.places.count())
        if left:
            parts.append(left)
        return ", ".join(parts)

    def say_if_stuck(self):
        """Warn once per stall, where for half a minute no worker has found a place to start."""
        if self.workers.idle or self.workers.busy:
            self.stuck_since = time.monotonic()
        elif time.monotonic() - self.stuck_since > STUCK:
            self.stuck_since = math.inf
            self.display.warn(
                f"no worker has started for {STUCK} s: this machine is busy, or no node of the "
                "cluster is free and large enough"
            )
