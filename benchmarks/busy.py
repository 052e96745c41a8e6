"""How long small parallel steps take on an idle and on a busy machine, by how long threads spin.

    python -m benchmarks.busy [--rounds 5] [--seconds 2]

The busy machine runs another program beside it: a training with as many threads as there are
cores, which waits as OpenMP does by default. Each measurement is a process of its own; in a round
every way of waiting is measured once, in turn, idle and busy. The table gives the median time over
the rounds, with the least and the greatest, for

    augmentation   crop, flip and turn 2,000 images of 32x32 pixels, in batches of 64
    digits step    a training step of ResNet18Slim on 64 images of 8x8 pixels
    step           the same on 64 images of 32x32 pixels
    scoring        the logits of 500 images of 32x32 pixels

`default` is OpenMP left alone, `ours` what threads.py sets, `passive` no spinning at all.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import threads

ROOT = Path(__file__).parent.parent
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
WAYS = {
    "default": {"GOMP_SPINCOUNT": "300000"},
    "ours": {"GOMP_SPINCOUNT": threads.SPINS},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}


def main():
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument(
        "--rounds", type=int, default=5, help="how often each measurement is made (5)"
    )
    flags.add_argument(
        "--seconds", type=float, default=2.0, help="how long each kind of step is repeated (2)"
    )
    flags.add_argument(
        "--spins", type=int, nargs="*", default=[], help="further values of GOMP_SPINCOUNT to try"
    )
    flags.add_argument("--role", choices=["measure", "load"], help=argparse.SUPPRESS)
    args = flags.parse_args()
    if args.role == "load":
        return train_for_ever()
    if args.role == "measure":
        return print(json.dumps(measured(args.seconds)))
    ways = WAYS | {f"{spins} spins": {"GOMP_SPINCOUNT": str(spins)} for spins in args.spins}
    times = {}
    for number in range(args.rounds):
        for busy in (False, True):
            load = start("load", WAYS["default"]) if busy else None
            for way, variables in ways.items():
                values = json.loads(start("measure", variables, args.seconds).communicate()[0])
                for step, milliseconds in values.items():
                    times.setdefault((step, way, busy), []).append(milliseconds)
            if load:
                load.kill()
                load.wait()
        print(f"round {number + 1} of {args.rounds} done", file=sys.stderr, flush=True)
    show(times, ways, args.rounds)


def start(role, variables, seconds=2.0):
    """A process of this file in one role, waiting as the variables say."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-m", "benchmarks.busy", "--role", role, "--seconds", str(seconds)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment | variables, stdout=subprocess.PIPE, text=True
    )
    if role == "load":
        process.stdout.readline()  # it trains from here on
    return process


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
    import torch

    import datasets
    import metrics
    import models
    from learning.images import batches, image_set
    from learning.training import cross_entropy, sgd

    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (2000, 3, 32, 32), dtype=torch.uint8)
    images = image_set(
        "noise", pixels, torch.arange(2000) % 10, map(str, range(10)), datasets.CIFAR_AUGMENTATION
    )
    digits, _ = datasets.load("Digits")
    model = models.create("ResNet18Slim", 10)
    optimizer = sgd(model, 0.01)

    def augment():
        for _ in batches(images, model, 64, shuffle=True, augment=True):
            pass

    def training_step(part):
        ((x, y),) = batches(part.take(torch.arange(64)), model, 64)

        def step():
            model.train()
            loss = cross_entropy(model, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return step

    return {
        "augmentation": augment,
        "digits step": training_step(digits),
        "step": training_step(images),
        "scoring": lambda: metrics.logits_of(model, images.take(torch.arange(500))),
    }


def show(times, ways, rounds):
    """A Markdown table, a line for each step and load."""
    print(f"milliseconds, n = {rounds}, {os.cpu_count()} cores")
    print("| step | machine | " + " | ".join(ways) + " |")
    print("|---" * (2 + len(ways)) + "|")
    for step in dict.fromkeys(key[0] for key in times):
        for busy in (False, True):
            cells = []
            for way in ways:
                values = times[step, way, busy]
                cells.append(
                    f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"
                )
            print(f"| {step} | {'busy' if busy else 'idle'} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
