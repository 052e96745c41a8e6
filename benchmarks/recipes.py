"""The published recipe and the fast one: accuracy, seconds, and networks an hour.

    python -m benchmarks.recipes [--dataset Cifar20 --data DIR] [--net ResNet18Slim] [--seeds 3] \\
        [--jobs 2] [--gpu] [--steps 20]

Trains by both recipes in turn, each network in a process of its own and with one thread. Then it
trains as many for each of --jobs processes as one pool, a sweep. Without --dataset the images are
scikit-learn's digits. On a CPU a CIFAR network takes half an hour by the published recipe.

With --steps nothing is trained to its end. So many steps of each of a recipe's image sizes are
timed, --seeds times in turn, and the seconds of a whole training are computed from them.

The roof is what a large fp32 matrix product reaches on one thread, or on the GPU.
"""

import common.threads  # noqa: F401 (before torch)

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from scipy import stats
from torch.utils.flop_counter import FlopCounterMode

import datasets
import models
from benchmarks.speed import machine
from learning.by_recipe import epochs_by_recipe
from learning.recipes import FAST, PUBLISHED, recipe, side_of, with_epochs
from runs import checkpoints

ROOT = Path(__file__).parent.parent
RECIPES = (PUBLISHED, FAST)
HEADER = (
    "| recipe | test accuracy % | CPU s a network | networks/h, one by one | as a pool | TFLOP | "
    "share of the roof |"
)
# As its authors give it: github.com/KellerJordan/cifar10-airbench, airbench94_muon.py.
AIRBENCH = "airbench94: 94.01 % of CIFAR-10 in 2.59 s on an A100, 290 TFLOP"


@dataclass(frozen=True)
class Training:
    """One network, trained in a process of its own."""

    accuracy: float  # percent of the test images
    seconds: float  # wall clock, from the start of the process to its end
    cpu_seconds: float  # of all its threads


def main(argv=None):
    args = arguments(argv)
    if args.steps:
        return compare_steps(args)
    with tempfile.TemporaryDirectory() as folder:
        alone = {name: [] for name in RECIPES}
        for seed in range(args.seeds):
            for name in RECIPES:
                alone[name].append(trained_alone(args, name, seed, Path(folder)))
        pooled = {name: pool_seconds(args, name, Path(folder)) for name in RECIPES}
    roof = matrix_product_rate("cuda" if args.gpu else "cpu")
    print(f"{args.net} on {args.dataset}; {machine(args.gpu)}; roof {roof / 1e9:.0f} GFLOP/s")
    print(HEADER)
    print("|---" * HEADER.count(" | ") + "|---|")
    for name in RECIPES:
        print(row(args, name, alone[name], pooled[name], roof))
    print(comparison(alone))
    print(AIRBENCH)


def arguments(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="Digits", choices=list(datasets.SETS))
    parser.add_argument("--data", default="data", metavar="DIR")
    parser.add_argument("--net", default="ResNet18Slim", choices=list(models.NETS))
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--seeds", type=int, default=3, help="networks by each recipe, one by one")
    parser.add_argument("--jobs", type=int, default=2, help="processes of the pool")
    parser.add_argument("--steps", type=int, help="time only so many steps of each size")
    parser.add_argument("--epochs", type=int, help="instead of the recipes' own, to try it out")
    return parser.parse_args(argv)


def flags(args, name):
    """pretrain_model.py's flags for a recipe by its name."""
    words = ["-net", args.net, "-dataset", args.dataset, "-data", os.path.abspath(args.data)]
    words += ["-recipe", name]
    if args.epochs:
        words += ["-epochs", str(args.epochs)]
    if args.gpu:
        words.append("-gpu")
    return words


# ---- seconds ----


def trained_alone(args, name, seed, folder) -> Training:
    """Train one network in a process of its own."""
    out = folder / f"{name}-{seed}.safetensors"
    words = ["pretrain_model.py", *flags(args, name), "-seed", str(seed), "-out", str(out)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = run(words, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Training(checkpoints.read_metadata(out)["accuracy"], seconds, cpu_seconds)


def pool_seconds(args, name, folder) -> float:
    """Seconds a network in a pool, with as many networks for each process as were trained alone."""
    count = args.seeds * args.jobs
    line = " ".join(["pretrain_model.py", *flags(args, name), "-seeds", f"0-{count - 1}"])
    return run(["sweep.py", "--jobs", str(args.jobs)], folder, input=line) / count


def run(words, folder, **options) -> float:
    """Seconds that a script takes in a process of its own."""
    command = [sys.executable, "-W", "ignore", str(ROOT / words[0]), *words[1:]]
    environment_variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        text=True,
        cwd=folder,
        env=environment_variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,
    )
    return time.perf_counter() - start


def compare_steps(args):
    """Print the CPU seconds of a whole training by each recipe, computed from some steps."""
    torch.set_num_threads(1)
    train, _ = datasets.load(args.dataset, args.data)
    seconds_by_steps(args, PUBLISHED, train)  # the first steps of a process are slow
    seconds = {name: [] for name in RECIPES}
    for _ in range(args.seeds):
        for name in RECIPES:
            seconds[name].append(seconds_by_steps(args, name, train))
    print(f"{args.net} on {args.dataset}; {machine(args.gpu)}; {args.steps} steps of each size")
    for name in RECIPES:
        print(f"{name}: CPU seconds of a training {with_range(seconds[name])}")
    pairs = zip(seconds[FAST], seconds[PUBLISHED], strict=True)
    print(f"fast takes {with_range([fast / published for fast, published in pairs])} of them")


def seconds_by_steps(args, name, train) -> float:
    """CPU seconds of a training, from the time of `args.steps` steps of each image size."""
    settings = recipe(args.net, args.dataset, name)
    model = models.create(args.net, len(train.classes))
    model.to("cuda" if args.gpu else "cpu")
    images = train.take(torch.arange(args.steps * settings["batch_size"]))
    steps_an_epoch = len(train) / settings["batch_size"]
    total = 0.0
    for share, epochs in settings.get("sizes", [[1, settings["epochs"]]]):
        part = {**settings, "epochs": 1, "warm": 0.5, "sizes": [[share, 1]]}
        start = time.process_time()
        list(epochs_by_recipe(model, images, part, title="timing"))
        seconds_a_step = (time.process_time() - start) / args.steps
        total += epochs * steps_an_epoch * seconds_a_step
    return total


# ---- operations ----


def matrix_product_rate(device: str, side: int = 2048, repeats: int = 7) -> float:
    """FLOP/s of the fastest of some fp32 matrix products, on a CPU on one thread."""
    torch.set_num_threads(1)
    a, b = torch.randn(side, side, device=device), torch.randn(side, side, device=device)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        (a @ b)[0, 0].item()  # which waits for a GPU
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def operations(args, name) -> float:
    """FLOP of a training, which are those of the convolutions and matrix products."""
    train, _ = datasets.load(args.dataset, args.data)
    settings = recipe(args.net, args.dataset, name)
    if args.epochs:
        settings = with_epochs(settings, args.epochs)
    model = models.create(args.net, len(train.classes))
    total = 0
    for epoch in range(settings["epochs"]):
        side = side_of(settings, epoch, train.augmentation.crop)
        total += len(train) * operations_an_image(model, side)
    return total


def operations_an_image(model, side, batch_size=8) -> float:
    """FLOP of a training step for one image, forwards and backwards."""
    x, y = torch.zeros(batch_size, 3, side, side), torch.zeros(batch_size, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(x), y).backward()
    return counter.get_total_flops() / batch_size


# ---- the table ----


def row(args, name, alone, seconds_in_pool, roof):
    """A recipe's line of the table."""
    accuracies = [training.accuracy for training in alone]
    cpu_seconds = statistics.median(training.cpu_seconds for training in alone)
    seconds = statistics.median(training.seconds for training in alone)
    work = operations(args, name)
    cells = [
        name,
        with_range(accuracies),
        with_range([training.cpu_seconds for training in alone]),
        f"{3600 / seconds:.0f}",
        f"{3600 / seconds_in_pool:.0f}",
        f"{work / 1e12:.2f}",
        f"{100 * work / cpu_seconds / roof:.0f} %",
    ]
    return f"| {' | '.join(cells)} |"


def with_range(values):
    """Median (least to greatest, n)."""
    values = sorted(values)
    median = statistics.median(values)
    return f"{median:.2f} ({values[0]:.2f} to {values[-1]:.2f}, n = {len(values)})"


def comparison(alone):
    """The fast recipe against the published one: CPU seconds of neighbours, and accuracies."""
    pairs = list(zip(alone[FAST], alone[PUBLISHED], strict=True))
    ratios = [fast.cpu_seconds / published.cpu_seconds for fast, published in pairs]
    differences = [fast.accuracy - published.accuracy for fast, published in pairs]
    mean = statistics.mean(differences)
    text = f"fast takes {with_range(ratios)} of the CPU seconds, and differs by {mean:+.2f} points"
    if len(differences) < 2:
        return text
    spread = statistics.stdev(differences) / len(differences) ** 0.5
    reach = stats.t.ppf(0.975, len(differences) - 1) * spread
    return f"{text} (95 % interval {mean - reach:+.2f} to {mean + reach:+.2f})"


if __name__ == "__main__":
    main()
