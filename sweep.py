"""Run a list of command lines: on the CPU, on one GPU or many, on a cluster; what is done is not done again.

    ./my_grid.sh | python sweep.py [--jobs 2 | --gpus 0,1,2,3 --jobs-per-gpu 2 | --ray ADDRESS] [--dry-run] [--retries 1]

Each line is a script of this folder with its flags (python in front or not): `forget_random_main.py -net ...`. Processes
that stay call the scripts' main(), so that imports, data, network and I_D are paid once per process. Networks that are
missing are trained first. Several GPUs and clusters need Ray (requirements-cluster.txt). A run that fails is reported at
the end, exit code 1, and the rest is finished. Killed at any moment, the same sweep goes on; two sweeps of one grid share it.
"""

import math
import os
import shlex
import statistics
import sys
import time
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from pathlib import Path

import planning
import workers
from common import CannotWrite, UserError, parser, run_script
from processes import Processes, interrupts_noted, visible

AGAIN = 2  # seconds until a run that another process is at is looked at again


def main(argv=None):
    args = arguments(argv)
    commands = [_parsed(line) for line in sys.stdin if line.strip() and not line.lstrip().startswith("#")]
    if args.dry_run:
        return planning.dry_run(planning.plan(commands))
    gpu = any("-gpu" in argv for _, argv in commands)
    if not gpu and (args.gpus or args.jobs_per_gpu > 1):
        raise UserError("--gpus and --jobs-per-gpu are for lines with -gpu, and there is none; leave them away, or take --jobs")
    if args.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible(args.gpus)
    if args.ray or len(args.gpus) > 1:
        from cluster import Cluster

        places = Cluster(args.ray, len(args.gpus), args.jobs_per_gpu if gpu else 0)
    else:
        places = Processes(args.jobs_per_gpu if args.gpus else args.jobs)
    failed = Sweep(places, args.retries).run(commands)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    if failed:
        sys.exit(1)


def arguments(argv):
    flags = parser(__doc__)
    flags.add_argument("--jobs", type=int, default=1, help="processes at a time, without --gpus (default 1)")
    flags.add_argument("--gpus", default="", metavar="0,1,2", help="this machine's GPUs by number; the lines then have -gpu")
    flags.add_argument("--jobs-per-gpu", type=int, default=1, help="processes at a time on each GPU (default 1)")
    flags.add_argument("--ray", metavar="ADDRESS", help="run on this Ray cluster: auto, or host:port")
    flags.add_argument("--dry-run", action="store_true", help="say what would run, what is there, and how long it should take")
    flags.add_argument("--retries", type=int, default=1, help="how often a run is tried again whose process broke (default 1)")
    args = flags.parse_args(argv)
    args.gpus = args.gpus.split(",") if args.gpus else []
    if not all(gpu.isdecimal() for gpu in args.gpus) or len(set(args.gpus)) < len(args.gpus):
        raise UserError(f"--gpus {','.join(args.gpus)}: GPUs are named by their numbers, each once, as in --gpus 0,1")
    if (bool(args.gpus), bool(args.ray), args.jobs != 1).count(True) > 1:
        raise UserError("take one of --jobs, --gpus and --ray; --jobs-per-gpu goes with the latter two")
    for flag, value, least in (("jobs", args.jobs, 1), ("jobs-per-gpu", args.jobs_per_gpu, 1), ("retries", args.retries, 0)):
        if value < least:
            raise UserError(f"--{flag} {value}: it must be at least {least}")
    return args


def _parsed(line):
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UserError(f"cannot read the line {line.strip()!r}: {error}") from error
    words = words[1:] if words[0].startswith("python") else words
    script = Path(words[0]).stem if words else ""
    if script not in workers.SCRIPTS:
        raise UserError(f"{line.strip()!r} is none of {', '.join(workers.SCRIPTS)}; each line is one of these with its flags")
    return script, words[1:]


class Sweep:
    """Hands jobs to workers until none is left. `places` opens and closes workers and counts how many there may be."""

    def __init__(self, places, retries):
        self.places, self.retries = places, retries
        self.waiting, self.idle = [], []
        self.running = {}  # future -> (worker, its job, or None while the worker starts)
        self.done, self.failed, self.past, self.bad_starts = 0, [], {}, 0

    def run(self, commands):
        """All of them, in order as far as they need not wait for a network; returns what failed, a line each."""
        with interrupts_noted() as stop:
            self.run_all(commands, stop)
        print(f"{self.done} of {self.total} runs done")
        return self.failed

    def run_all(self, commands, stop):
        """What `run` does; KeyboardInterrupt once `stop` holds something."""
        try:
            self.open_workers(len(commands))  # they start while we plan
            self.waiting = planning.plan(commands)
            self.total, self.stuck_since = len(self.waiting), time.monotonic()
            self.past = {job.kind: [job.seconds] for job in self.waiting if job.seconds is not None}
            while self.waiting or any(job for _, job in self.running.values()):
                self.open_workers(len(self.waiting))
                self.start_jobs()
                if not self.running:  # all that is left is being done elsewhere, or there is no place to work
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

    def say_if_stuck(self):
        """Once, where for half a minute no worker has found a place to start."""
        if self.idle or any(job for _, job in self.running.values()):
            self.stuck_since = time.monotonic()
        elif time.monotonic() - self.stuck_since > 30:
            self.stuck_since = math.inf
            print("no worker has started yet: is a node free, and large enough?", file=sys.stderr)

    def open_workers(self, wanted):
        busy = sum(job is not None for _, job in self.running.values())
        for _ in range(min(self.places.count(), busy + wanted) - len(self.running) - len(self.idle)):
            try:
                worker = self.places.open()
                self.running[worker.submit(os.getpid)] = worker, None
            except OSError as error:
                raise UserError(f"no process can be started ({error.strerror}); make room in memory and on the disk") from error

    def start_jobs(self):
        making = {job.makes for job in [*self.waiting, *(job for _, job in self.running.values() if job)] if job.makes}
        for job in list(self.waiting):
            if not self.idle:
                break
            if making.intersection(job.needs) or time.monotonic() < job.waits_until:
                continue
            worker = self.idle.pop()
            try:
                future = worker.submit(workers.run, job, self.places.captured)
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
        except Exception as error:  # of the worker's process or machine: workers.run() raises nothing
            outcome = workers.Outcome("broken", error="its process ended before it did (killed? out of memory?)")
            self.bad_starts += job is None
            working = self.idle or any(job for _, job in self.running.values())
            if self.bad_starts > 3 * max(1, self.places.count()) and not working:
                raise UserError(f"no worker starts: {str(error).strip().splitlines()[-1][:300]}") from error
        else:
            self.bad_starts = 0
        if (job and outcome.state == "broken") or future.exception():
            self.places.close(worker)  # what an unexpected error has left in its process may spoil the next run
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
        failed = [f"{len(self.failed)} failed"] * bool(self.failed)
        parts = [f"{self.done} of {self.total} done", *failed, f"{len(running)} running"]
        left, known = [*running, *self.waiting], {kind: statistics.median(values) for kind, values in self.past.items()}
        if left and known:
            usual = statistics.mean(known.values())
            seconds = sum(known.get(job.kind, usual) for job in left) / min(len(left), max(1, self.places.count()))
            parts.append(f"about {planning.span(seconds)} left")
        return f"[{', '.join(parts)}]"


if __name__ == "__main__":
    run_script(main)
