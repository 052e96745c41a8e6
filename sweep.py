"""Run a list of command lines: on the CPU, on one GPU or many, on a cluster.

    ./my_grid.sh | python sweep.py [--jobs 2 | --gpus 0,1 --jobs-per-gpu 2 | --ray ADDRESS]

Each line is a script of this folder with its flags, with python before it or not:
`forget_random_main.py -net ...`. What is done is not done again. Networks that are missing are
trained first. Several GPUs and clusters need Ray (requirements-cluster.txt).

A terminal shows a progress bar, a log file a line for each run. A line that is wrong is reported
before any work, a run that fails at the end; the rest is finished, and the exit code is 1.
Killed at any moment, the same sweep goes on; two sweeps of one grid share it.
"""

import common.threads  # noqa: F401 (before torch)

import argparse
import sys

from common.console import parser, run_script
from common.errors import UserError
from sweeps import lines
from sweeps.dry_run import dry_run
from sweeps.local import Processes, show_only
from sweeps.plan import plan
from sweeps.scheduler import sweep


def main(argv=None):
    args = arguments(argv)
    given = lines.read(sys.stdin)
    if args.dry_run:
        failed = dry_run(plan(given))
    else:
        failed = sweep(given, places(args, given), args.retries)
    if failed:
        sys.exit(1)


def places(args, given):
    """Where the workers are to be: on this machine, or on a Ray cluster."""
    gpu = any("-gpu" in line.argv for line in given if isinstance(line, lines.Line))
    if not gpu and (args.gpus or args.jobs_per_gpu > 1):
        raise UserError(
            "--gpus and --jobs-per-gpu are for lines with -gpu, and no line has it; omit them, "
            "or take --jobs"
        )
    if args.gpus:
        show_only(args.gpus)
    if args.ray or len(args.gpus) > 1:
        from sweeps.ray_cluster import Cluster

        return Cluster(args.ray, len(args.gpus), args.jobs_per_gpu if gpu else 0)
    return Processes(args.jobs_per_gpu if args.gpus else args.jobs)


def arguments(argv) -> argparse.Namespace:
    """The flags, read and checked."""
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
    flags.add_argument("--ray", metavar="ADDRESS", help="this Ray cluster: auto, or host:port")
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
    check(args)
    return args


def check(args):
    """UserError where the flags cannot be."""
    numbers = all(gpu.isdecimal() for gpu in args.gpus)
    if not numbers or len(set(args.gpus)) < len(args.gpus):
        raise UserError(
            f"--gpus {','.join(args.gpus)}: GPUs are named by their numbers, each once, "
            "as in --gpus 0,1"
        )
    if (bool(args.gpus), bool(args.ray), args.jobs != 1).count(True) > 1:
        raise UserError(
            "take one of --jobs, --gpus and --ray; --jobs-per-gpu goes with --gpus and --ray"
        )
    smallest = {"jobs": 1, "jobs_per_gpu": 1, "retries": 0}
    for name, least in smallest.items():
        value = getattr(args, name)
        if value < least:
            raise UserError(f"--{name.replace('_', '-')} {value}: it must be at least {least}")


if __name__ == "__main__":
    run_script(main)
