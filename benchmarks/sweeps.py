"""A sweep against the same runs as separate processes: seconds, and whether the records are equal.

    python -m benchmarks.sweeps [--runs 200]

Baseline, SSD (three alphas) and LFSSD on the ten digits with the demo's network, one run at a time,
one thread. The sweep is timed before, between the two halves of the processes, and after them.
"""

import common.threads  # noqa: F401 (before torch)

import argparse
import itertools
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
NET = "-net ResNet18Slim -dataset Digits"
METHODS = ("baseline", "ssd", "lfssd", "ssd -alpha 3", "ssd -alpha 8")
CHANGES = ("seconds", "date", "command")  # in a record, from one run to the next


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    lines = runs(parser.parse_args(argv).runs)
    first, second = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    with tempfile.TemporaryDirectory() as folder:
        call(f"pretrain_model.py {NET}", folder)
        sweeps = [sweep(lines, "sweep0", folder)]
        processes = as_processes(first, folder)
        sweeps.append(sweep(lines, "sweep1", folder))
        processes += as_processes(second, folder)
        sweeps.append(sweep(lines, "sweep2", folder))
        reference = records(Path(folder) / "processes")
        of_sweeps = [records(Path(folder) / f"sweep{number}") for number in range(3)]
    assert len(reference) == len(lines)
    same = "equal" if all(other == reference for other in of_sweeps) else "DIFFERENT"
    median = statistics.median(sweeps)
    spread = f"{median:.1f} s ({min(sweeps):.1f} to {max(sweeps):.1f}, n = 3)"
    print(f"{len(lines)} runs: processes {processes:.0f} s, sweep {spread}:")
    print(f"{processes / median:.1f} times as fast; records {same}")


def runs(count):
    """The first lines of a grid, without the folder of their results."""
    lines = []
    for seed, digit, method in itertools.product(range(1000), range(10), METHODS):
        what = f"-forget_class {digit} -method {method} -seed {seed}"
        lines.append(f"forget_full_class_main.py {NET} {what} -wandb disabled -results ")
        if len(lines) == count:
            break
    return lines


def call(line, folder, **options):
    """Seconds that a script takes in a process of its own."""
    script, *flags = shlex.split(line)
    command = [sys.executable, "-W", "ignore", ROOT / script, *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options |= {"cwd": folder, "env": environment, "stdout": subprocess.DEVNULL}
    start = time.perf_counter()
    subprocess.run(command, check=True, text=True, **options)
    return time.perf_counter() - start


def as_processes(lines, folder):
    """Seconds of the runs one after the other, each a process."""
    return sum(call(line + "processes", folder) for line in lines)


def sweep(lines, name, folder):
    """Seconds of the runs as one sweep, with their results in a folder of that name."""
    return call("sweep.py", folder, input="\n".join(line + name for line in lines))


def records(folder):
    """{file name: record without what changes from one run to the next}."""
    contents = {}
    for path in folder.rglob("*.json"):
        record = json.loads(path.read_text())
        for name in CHANGES:
            del record[name]
        del record["config"]["results"]
        contents[path.name] = record
    return contents


if __name__ == "__main__":
    main()
