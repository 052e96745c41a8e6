"""How long small parallel steps take on an idle and on a busy machine, by how long threads spin.

    python -m benchmarks.busy [--rounds 5] [--seconds 2]

On the busy machine another program runs: a training with as many threads as there are cores, which
waits as OpenMP does by default. Each measurement is a process of its own. In a round every way of
waiting is measured once, in turn, idle and busy. The table gives the median time over the rounds,
with the least and the greatest, for

    augmentation   crop, mirror and turn 2,000 images of 32x32 pixels, in batches of 64
    digits step    a training step of ResNet18Slim on 64 images of 8x8 pixels
    step           the same on 64 images of 32x32 pixels
    scoring        the logits of 500 images of 32x32 pixels

`default` is OpenMP left alone, `ours` what common/threads.py sets, `passive` no spinning at all.
"""

from common.threads import SPINS  # before torch

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

import datasets
import metrics
import models
from learning.images import batches, image_set
from learning.training import cross_entropy, sgd

ROOT = Path(__file__).parent.parent
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
WAYS = {
    "default": {"GOMP_SPINCOUNT": "300000"},
    "ours": {"GOMP_SPINCOUNT": SPINS},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}


def main(argv=None):
    args = arguments(argv)
    if args.role == "load":
        train_for_ever()
    elif args.role == "measure":
        print(json.dumps(measured(args.seconds)))
    else:
        compare(args.rounds, args.seconds, args.spins)


def arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of all measurements (5)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="how long each kind of step is repeated (2)"
    )
    parser.add_argument(
        "--spins", type=int, nargs="*", default=[], help="further values of GOMP_SPINCOUNT to try"
    )
    parser.add_argument("--role", choices=["measure", "load"], help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def compare(rounds, seconds, spins):
    """Measure every way of waiting, idle and busy, and print the table."""
    ways = dict(WAYS)
    for count in spins:
        ways[f"{count} spins"] = {"GOMP_SPINCOUNT": str(count)}
    times = {}  # (step, way, busy): milliseconds, one a round
    for number in range(rounds):
        for busy in (False, True):
            load = start("load", WAYS["default"]) if busy else None
            for way, variables in ways.items():
                output, _ = start("measure", variables, seconds).communicate()
                for step, milliseconds in json.loads(output).items():
                    times.setdefault((step, way, busy), []).append(milliseconds)
            if load:
                load.kill()
                load.wait()
        print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
    show(times, ways, rounds)


def start(role, variables, seconds=2.0):
    """A process of this file in one role, waiting as the variables say."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-m", "benchmarks.busy", "--role", role, "--seconds", str(seconds)]
    options = {"cwd": ROOT, "env": environment | variables, "text": True}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
    if role == "load":
        process.stdout.readline()  # it trains from here on
    return process


# ---- the two roles ----


def train_for_ever():
    """The other program."""
    step = steps()["step"]
    step()
    print("training", flush=True)
    while True:
        step()


def measured(seconds):
    """{step: milliseconds each time it was repeated, on average}."""
    values = {}
    for name, step in steps().items():
        step()
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            step()
            count += 1
        values[name] = 1000 * (time.perf_counter() - begin) / count
    return values


def steps():
    """{name: what is repeated}."""
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (2000, 3, 32, 32), dtype=torch.uint8)
    labels, classes = torch.arange(2000) % 10, map(str, range(10))
    images = image_set("noise", pixels, labels, classes, datasets.CIFAR_AUGMENTATION)
    digits, _ = datasets.load("Digits")
    model = models.create("ResNet18Slim", 10)
    optimizer = sgd(model, 0.01)

    def augment():
        for _ in batches(images, model, 64, shuffle=True, augment=True):
            pass

    def training_step(images):
        ((x, y, index),) = batches(images.take(torch.arange(64)), model, 64)

        def step():
            model.train()
            loss = cross_entropy(model, x, y, index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return step

    def scoring():
        metrics.logits_of(model, images.take(torch.arange(500)))

    return {
        "augmentation": augment,
        "digits step": training_step(digits),
        "step": training_step(images),
        "scoring": scoring,
    }


# ---- the table ----


def show(times, ways, rounds):
    """A Markdown table, a line for each step and load."""
    print(f"milliseconds, n = {rounds}, {os.cpu_count()} cores")
    print("| step | machine | " + " | ".join(ways) + " |")
    print("|---" * (2 + len(ways)) + "|")
    for step in dict.fromkeys(step for step, _, _ in times):
        for busy in (False, True):
            cells = [step, "busy" if busy else "idle"]
            cells += [summary(times[step, way, busy]) for way in ways]
            print("| " + " | ".join(cells) + " |")


def summary(values):
    """The median, the least and the greatest."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


if __name__ == "__main__":
    main()
