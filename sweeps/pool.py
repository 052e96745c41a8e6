"""The workers of a sweep: which start, which are idle, which are at a job."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait

from common.errors import UserError
from sweeps.jobs import Job
from sweeps.local import interrupts_held
from sweeps.worker import Outcome, State, work


class Workers:
    """Processes that are given jobs. `places` opens and closes them, and says how many may be."""

    def __init__(self, places):
        self.places = places
        self.starting = {}  # {future: worker}
        self.idle = []
        self.busy = {}  # {future: (worker, its job)}
        self.failed_starts = 0  # in succession

    @property
    def jobs(self) -> list[Job]:
        """What they are at."""
        return [job for _, job in self.busy.values()]

    def open(self, wanted: int):
        """Start workers for so many further jobs, as far as there are places."""
        count = min(self.places.count(), len(self.busy) + wanted)
        missing = count - len(self.busy) - len(self.starting) - len(self.idle)
        for _ in range(missing):
            try:
                with interrupts_held():
                    worker = self.places.open()
                    self.starting[worker.submit(os.getpid)] = worker
            except OSError as error:
                raise UserError(
                    f"no process can be started ({error.strerror or error}); free memory and "
                    "disk, or take fewer --jobs"
                ) from error

    def give(self, job: Job) -> bool:
        """Give the job to an idle worker; False where it was killed while it was idle."""
        worker = self.idle.pop()
        try:
            future = worker.submit(work, job.line.script, job.line.argv)
        except BrokenExecutor:
            self.places.close(worker)
            return False
        self.busy[future] = worker, job
        return True

    def wait(self, seconds: float) -> set[Future]:
        """The futures that are done, as soon as one is, or none after so many seconds."""
        futures = [*self.starting, *self.busy]
        if not futures:  # all that is left is done elsewhere, or there is no place to work
            time.sleep(seconds)
            return set()
        return wait(futures, seconds, FIRST_COMPLETED).done

    def take(self, futures: set[Future]) -> Iterator[tuple[Job, Outcome]]:
        """What has become of the jobs whose futures are done. UserError where no worker starts."""
        for future in futures:
            if future in self.starting:
                self._take_start(future)
            else:
                yield self._take_job(future)

    def _take_start(self, future):
        worker = self.starting.pop(future)
        error = future.exception()
        if error is None:
            self.failed_starts = 0
            self.idle.append(worker)
            return
        self.places.close(worker)
        self.failed_starts += 1
        most = 3 * max(1, self.places.count())
        if self.failed_starts > most and not self.idle and not self.busy:
            reason = str(error).strip().splitlines()[-1][:300]
            raise UserError(f"no worker starts: {reason}") from error

    def _take_job(self, future):
        worker, job = self.busy.pop(future)
        if future.exception() is None:
            outcome = future.result()
        else:  # of its process or machine: worker.work() raises nothing
            outcome = Outcome(
                State.BROKEN, "its process ended before it did (killed? out of memory?)"
            )
        if outcome.state is State.BROKEN:  # what is left in its process may spoil the next run
            self.places.close(worker)
        else:
            self.idle.append(worker)
        return job, outcome

    def close(self):
        """End them all, after the last job."""
        busy = [worker for worker, _ in self.busy.values()]
        for worker in [*self.idle, *self.starting.values(), *busy]:
            self.places.close(worker)
