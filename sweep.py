"""Run a list of command lines: on the CPU, on one GPU or many, on a cluster; what is done is not done again.

    ./my_grid.sh | python sweep.py [--jobs 2 | --gpus 0,1,2,3 --jobs-per-gpu 2 | --ray ADDRESS] [--dry-run] [--retries 1]

Each line is a script of this folder with its flags (with python before it or not): `forget_random_main.py -net ...`.
Processes that stay call the scripts' main(), so that imports, data, network and I_D are paid once per process. Networks that
are missing are trained first. Several GPUs and clusters need Ray (requirements-cluster.txt). A line that is wrong is reported
before any work, a run that fails at the end; the rest is finished, and the exit code is 1. Killed at any moment, the same
sweep goes on; two sweeps of one grid share it.
"""

import common.threads  # noqa: F401 (before torch)

import math
import os
import statistics
import sys
import time
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait

from common.console import parser, run_script
from common.errors import CannotWrite, UserError
from sweeps import plan
from sweeps.local import Processes, gpus_here, interrupts_held, interrupts_noted, visible

AGAIN = 2  # seconds until a run that another process is at is looked at again


def main(argv=None):
    args = arguments(argv)
    lines = plan.read_lines(sys.stdin)
    if args.dry_run:
        sys.exit(1 if plan.dry_run(plan.plan(lines)) else 0)
    gpu = any("-gpu" in line.argv for line in lines)
    if not gpu and (args.gpus or args.jobs_per_gpu > 1):
        raise UserError(
            "--gpus and --jobs-per-gpu are for lines with -gpu, and no line has it; omit them, or take --jobs"
        )
    if args.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible(args.gpus)
        if gpus_here() < len(args.gpus):
            raise UserError(
                f"--gpus {','.join(args.gpus)}: CUDA finds {gpus_here()} of these GPUs here; "
                "nvidia-smi lists them, and they are numbered from 0"
            )
    if args.ray or len(args.gpus) > 1:
        from sweeps.ray_cluster import Cluster

        places = Cluster(args.ray, len(args.gpus), args.jobs_per_gpu if gpu else 0)
    else:
        places = Processes(args.jobs_per_gpu if args.gpus else args.jobs)
    failed = Sweep(places, args.retries).run(lines)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    if failed:
        sys.exit(1)


def arguments(argv):
    flags = parser(__doc__)
    flags.add_argument(
        "--jobs", type=int, default=1, help="processes at a time, without --gpus (default 1)"
    )
    flags.add_argument(
        "--gpus",
        default="",
        metavar="0,1,2",
        help="this machine's GPUs by number; the lines then have -gpu",
    )
    flags.add_argument(
        "--jobs-per-gpu", type=int, default=1, help="processes at a time on each GPU (default 1)"
    )
    flags.add_argument(
        "--ray", metavar="ADDRESS", help="run on this Ray cluster: auto, or host:port"
    )
    flags.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would run, what is there, and how long it should take",
    )
    flags.add_argument(
        "--retries",
        type=int,
        default=1,
        help="how often a run is tried again whose process broke (default 1)",
    )
    args = flags.parse_args(argv)
    args.gpus = args.gpus.split(",") if args.gpus else []
    if not all(gpu.isdecimal() for gpu in args.gpus) or len(set(args.gpus)) < len(args.gpus):
        raise UserError(
            f"--gpus {','.join(args.gpus)}: GPUs are named by their numbers, each once, as in --gpus 0,1"
        )
    if (bool(args.gpus), bool(args.ray), args.jobs != 1).count(True) > 1:
        raise UserError(
            "take one of --jobs, --gpus and --ray; --jobs-per-gpu goes with --gpus and --ray"
        )
    for flag, value, least in (
        ("jobs", args.jobs, 1),
        ("jobs-per-gpu", args.jobs_per_gpu, 1),
        ("retries", args.retries, 0),
    ):
        if value < least:
            raise UserError(f"--{flag} {value}: it must be at least {least}")
    return args


class Sweep:
    """Hands jobs to workers until none is left. `places` opens and closes workers and counts how many there may be."""

    def __init__(self, places, retries):
        self.places, self.retries = places, retries
        self.waiting, self.idle = [], []
        self.running = {}  # future -> (worker, its job, or None while the worker starts)
        self.done, self.failed, self.past, self.bad_starts = 0, [], {}, 0
        self.wrong = []  # jobs that cannot run, known before any work

    def run(self, lines):
        """All of them, in order as far as they need not wait for a network; returns what failed, a line each.

        lines: planning.Lines, or (script, argv). UserError where all of them are wrong.
        """
        with interrupts_noted() as stop:
            self.run_all(lines, stop)
        print(f"{self.done} of {self.total} runs done")
        return [*plan.mistakes_in_words(self.wrong), *self.failed]

    def run_all(self, lines, stop):
        """What `run` does; KeyboardInterrupt once `stop` holds something."""
        try:
            self.open_workers(len(lines))  # they start while we plan
            self.plan(lines, stop)
            while self.waiting or any(job for _, job in self.running.values()):
                self.open_workers(len(self.waiting))
                self.start_jobs()
                if (
                    not self.running
                ):  # all that is left is being done elsewhere, or there is no place to work
                    time.sleep(AGAIN)
                self.say_if_stuck()
                ended = wait(self.running, AGAIN, FIRST_COMPLETED).done
                if stop:
                    raise KeyboardInterrupt
                for future in ended:
                    self.take(future, *self.running.pop(future))
            for worker in [*self.idle, *(worker for worker, _ in self.running.values())]:
                self.places.close(worker)
        finally:
            self.places.end()

    def plan(self, lines, stop):
        """Set aside what cannot run, and say so; the rest waits."""
        jobs = plan.plan(lines, stop, self.places.gpu_mistake)
        plan.refuse_if_all_wrong(jobs)
        self.waiting = [job for job in jobs if not job.mistake]
        self.wrong = [job for job in jobs if job.mistake]
        for text in plan.mistakes_in_words(self.wrong):
            print(f"wrong: {text}", file=sys.stderr, flush=True)
        self.total, self.stuck_since = len(jobs), time.monotonic()
        self.past = {job.kind: [job.seconds] for job in self.waiting if job.seconds is not None}

    def say_if_stuck(self):
        """Once, where for half a minute no worker has found a place to start."""
        if self.idle or any(job for _, job in self.running.values()):
            self.stuck_since = time.monotonic()
        elif time.monotonic() - self.stuck_since > 30:
            self.stuck_since = math.inf
            print(
                "no worker has started for 30 s: this machine is busy, or no node of the cluster is free and large enough",
                file=sys.stderr,
            )

    def open_workers(self, wanted):
        busy = sum(job is not None for _, job in self.running.values())
        for _ in range(
            min(self.places.count(), busy + wanted) - len(self.running) - len(self.idle)
        ):
            try:
                with interrupts_held():
                    worker = self.places.open()
                    self.running[worker.submit(os.getpid)] = worker, None
            except OSError as error:
                raise UserError(
                    f"no process can be started ({error.strerror or error}); free memory and disk, or take fewer --jobs"
                ) from error

    def start_jobs(self):
        making = set()
        for job in [*self.waiting, *(job for _, job in self.running.values() if job)]:
            making.update(job.products)
        for job in list(self.waiting):
            if not self.idle:
                break
            if making.intersection(job.needs) or time.monotonic() < job.waits_until:
                continue
            worker = self.idle.pop()
            try:
                future = worker.submit(worker.run, job, self.places.captured)
            except BrokenExecutor:  # killed while it was idle
                self.places.close(worker)
                continue
            self.waiting.remove(job)
            self.running[future] = worker, job
            if not self.places.captured:
                print(f"{self.status()} {job}", flush=True)

    def take(self, future, worker, job):
        """What a worker has sent back, or that it is gone."""
        try:
            outcome = future.result()
        except (
            Exception
        ) as error:  # of the worker's process or machine: workers.run() raises nothing
            outcome = worker.Outcome(
                "broken", error="its process ended before it did (killed? out of memory?)"
            )
            self.bad_starts += job is None
            working = self.idle or any(job for _, job in self.running.values())
            if self.bad_starts > 3 * max(1, self.places.count()) and not working:
                raise UserError(
                    f"no worker starts: {str(error).strip().splitlines()[-1][:300]}"
                ) from error
        else:
            self.bad_starts = 0
        if (job and outcome.state == "broken") or future.exception():
            self.places.close(
                worker
            )  # what an unexpected error has left in its process may spoil the next run
        else:
            self.idle.append(worker)
        if job:
            self.settle(job, outcome)

    def settle(self, job, outcome):
        """Count, show or put back what has ended."""
        if outcome.state == "unwritable":
            raise CannotWrite(outcome.error)
        if outcome.state == "claimed":
            if not job.waits_until:
                print(f"{outcome.error}; coming back to it", flush=True)
            job.waits_until = time.monotonic() + AGAIN
            self.waiting.append(job)
            return
        if outcome.state == "broken" and job.tries < self.retries:
            job.tries += 1
            print(f"once more: {job}: {outcome.error}\n{outcome.printed}".rstrip(), file=sys.stderr)
            self.waiting.insert(0, job)
            return
        if outcome.state == "done":
            self.done += 1
            if outcome.seconds is not None:
                self.past.setdefault(job.kind, []).append(outcome.seconds)
        else:
            self.failed.append(f"{job}: {outcome.error}")
        if self.places.captured:
            print(f"{self.status()} {job}\n{outcome.printed}".rstrip(), flush=True)
        if outcome.error:
            print(f"error: {outcome.error}", file=sys.stderr)

    def status(self):
        """Where the sweep stands, in brackets."""
        running = [job for _, job in self.running.values() if job]
        failed = len(self.failed) + len(self.wrong)
        parts = [f"{self.done} of {self.total} done"]
        if failed:
            parts.append(f"{failed} failed")
        parts.append(f"{len(running)} running")
        if time_left := self.time_left([*running, *self.waiting]):
            parts.append(time_left)
        return f"[{', '.join(parts)}]"

    def time_left(self, jobs):
        """How long the jobs take, in words; empty where no run of their kind tells.

        A job whose record is there already takes no time worth counting.
        """
        usual = {kind: statistics.median(values) for kind, values in self.past.items()}
        left = [job for job in jobs if not job.recorded]
        known = [usual[job.kind] for job in left if job.kind in usual]
        if not known:
            return ""
        at_a_time = min(len(left), max(1, self.places.count()))
        duration = plan.span(sum(known) / at_a_time)
        return f"about {duration} left" if len(known) == len(left) else f"more than {duration} left"


if __name__ == "__main__":
    run_script(main)
