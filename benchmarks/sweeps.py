"""A sweep against the same runs as separate processes: seconds, and whether the records are equal.

    python -m benchmarks.sweeps [--runs 200]

Baseline, SSD (three alphas) and LFSSD on the ten digits with the demo's network, one run at a time, one thread. The sweep
is timed before, between the two halves of the processes, and after them.
"""

import common.threads  # noqa: F401 (before torch)

import argparse
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


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    lines = [
        f"forget_full_class_main.py {NET} -forget_class {digit} -method {method} -seed {seed} -wandb disabled -results "
        for seed in range(1000)
        for digit in range(10)
        for method in METHODS
    ][: parser.parse_args().runs]
    with tempfile.TemporaryDirectory() as folder:
        call(f"pretrain_model.py {NET}", folder)
        half = len(lines) // 2
        sweeps = [sweep(lines, "sweep0", folder)]
        processes = alone(lines[:half], folder)
        sweeps.append(sweep(lines, "sweep1", folder))
        processes += alone(lines[half:], folder)
        sweeps.append(sweep(lines, "sweep2", folder))
        found = [records(Path(folder) / name) for name in ("alone", "sweep0", "sweep1", "sweep2")]
    equal = len(found[0]) == len(lines) and all(other == found[0] for other in found)
    usual = statistics.median(sweeps)
    print(
        f"{len(lines)} runs: processes {processes:.0f} s, sweep {usual:.1f} s ({min(sweeps):.1f} to {max(sweeps):.1f}, n = 3): "
        f"{processes / usual:.1f} times as fast; records {'equal' if equal else 'DIFFER'}"
    )


def call(line, folder, **options):
    """Seconds that a script takes in a process of its own."""
    script, *flags = shlex.split(line)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-W", "ignore", ROOT / script, *flags],
        cwd=folder,
        check=True,
        text=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )
    return time.perf_counter() - start


def alone(lines, folder):
    return sum(call(line + "alone", folder) for line in lines)


def sweep(lines, name, folder):
    return call("sweep.py", folder, input="\n".join(line + name for line in lines))


def records(folder):
    """{file name: record without seconds and places}."""
    found = {path.name: json.loads(path.read_text()) for path in folder.rglob("*.json")}
    for record in found.values():
        del record["seconds"], record["date"], record["command"], record["config"]["results"]
    return found


if __name__ == "__main__":
    main()
