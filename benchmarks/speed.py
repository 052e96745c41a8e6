"""This project against the plain way (plain.py), stage by stage: how many times as fast it is.

    python -m benchmarks.speed [DIR] [--rounds 3] [--images 100] [--stages start augment ...] \\
        [--numerics bf16] [--gpu]

DIR holds train/<class>/ and test/<class>/ with 32x32 images. Without it scikit-learn's digits,
enlarged, are taken. Each measurement is a process of its own. The plain way and ours take turns,
and a ratio is one of neighbours. Prints for each stage (stages_plain.py, stages_ours.py): the
median ratio, the least and the greatest of n; seconds and peak memory of both; how far the results
are apart.
"""

import common.threads  # noqa: F401 (before torch)

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.setting import NET, Setting

ROOT = Path(__file__).parent.parent
PYTHON = [sys.executable, "-W", "ignore"]
# Every stage, and whether it is of whole runs: these run once unless --heavy-rounds says more.
HEAVY = {
    "start": False,
    "augment": False,
    "attack": False,
    "evaluation": False,
    "importance": False,
    "fisher": False,
    "training": False,
    "training_vit": False,
    "one_class": True,
    "five_classes": True,
    "six_methods": True,
}
HEADER = "| stage | times as fast | n | plain s | ours s | plain GB | ours GB | results |"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One side of a stage, timed once."""

    seconds: float
    gigabytes: float  # at its peak
    ready: float  # seconds from the start of the process to the end of the stage
    result: object  # a tensor to compare, or None


def main(argv=None):
    args = arguments(argv)
    if args.child:
        stage, side, file = args.child
        child(stage, side, setting_of(args, args.whole, args.folder), file)
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = args.whole or write_digits(Path(folder) / "digits")
        setting = setting_of(args, whole, folder)
        prepare(setting, args.images)
        print(f"{NET}, {args.numerics}, {machine(args.gpu)}\n")
        print(HEADER)
        print("|---" * (HEADER.count("|") - 1) + "|")
        for stage in args.stages:
            rounds = args.heavy_rounds if HEAVY[stage] else args.rounds
            print(row(stage, pairs_of(stage, setting, rounds)), flush=True)


def setting_of(args, whole, folder):
    whole, folder = Path(whole).absolute(), Path(folder)
    return Setting(whole=whole, folder=folder, numerics=args.numerics, gpu=args.gpu)


def arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("whole", nargs="?", metavar="DIR")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--heavy-rounds", type=int, default=1, help="of whole runs")
    parser.add_argument(
        "--images",
        type=int,
        default=100,
        help="of each class, in whole runs and evaluation; test images: a fifth",
    )
    parser.add_argument("--stages", nargs="+", choices=list(HEAVY), default=list(HEAVY))
    parser.add_argument(
        "--numerics",
        choices=["fp32", "tf32", "bf16"],
        default="fp32",
        help="of this project's side",
    )
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


# ---- the images and the network ----


def write_digits(folder):
    """scikit-learn's digits as JPEG of 32x32, copies omitted; returns the folder."""
    from PIL import Image
    from sklearn.datasets import load_digits

    seen, digits = set(), load_digits()
    for number, (grey, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        if grey.tobytes() in seen:
            continue
        seen.add(grey.tobytes())
        part = "test" if number % 5 == 4 else "train"
        path = folder / part / str(label) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray((grey * 15.9).astype("uint8"))
        picture = picture.resize((32, 32), Image.Resampling.BILINEAR)
        picture.convert("RGB").save(path, quality=90)
    return folder


def prepare(setting, per_class):
    """A small part of the images, and a network that two epochs on them have trained."""
    for part, count in (("train", per_class), ("test", per_class // 5)):
        for source in sorted((setting.whole / part).iterdir()):
            goal = setting.data / part / source.name
            goal.mkdir(parents=True)
            for file in sorted(source.iterdir())[:count]:
                shutil.copy(file, goal)
    flags = ["-net", NET, "-dataset", "Folder", "-data", "data", "-epochs", "2"]
    if setting.gpu:
        flags.append("-gpu")
    command = [*PYTHON, str(ROOT / "pretrain_model.py"), *flags]
    subprocess.run(command, cwd=setting.folder, check=True, stdout=subprocess.DEVNULL)


# ---- one measurement, in a process of its own ----


def child(stage, side, setting, file):
    """Time one side of a stage, and leave the measurement in a file."""
    if side == "plain":
        from benchmarks.stages_plain import STAGES
    else:
        from benchmarks.stages_ours import STAGES
    import torch

    from common.console import plain_warnings

    def synchronize():
        if setting.gpu:
            torch.cuda.synchronize()

    plain_warnings()
    torch.manual_seed(0)
    run = STAGES[stage](setting)
    if stage != "start" and not HEAVY[stage]:
        run()  # the first one warms up
    synchronize()
    begin = time.perf_counter()
    result = run()
    synchronize()
    seconds = time.perf_counter() - begin
    kind = resource.RUSAGE_CHILDREN if HEAVY[stage] else resource.RUSAGE_SELF
    kilobytes = resource.getrusage(kind).ru_maxrss
    measurement = {
        "seconds": seconds,
        "gigabytes": kilobytes / 2**20,
        "ready": time.time(),
        "result": None if result is None else result.detach().cpu(),
    }
    torch.save(measurement, file)


def measured(stage, side, setting):
    """One side of a stage, timed in a process of its own."""
    import torch

    file = setting.folder / "measurement.pt"
    flags = [str(setting.whole), "--folder", str(setting.folder), "--numerics", setting.numerics]
    if setting.gpu:
        flags.append("--gpu")
    command = [*PYTHON, "-m", "benchmarks.speed", *flags, "--child", stage, side, str(file)]
    environment = {**os.environ, "PLAIN_DEVICE": "cuda" if setting.gpu else "cpu"}
    spawned = time.time()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stderr=subprocess.DEVNULL)
    values = torch.load(file)
    values["ready"] -= spawned
    return Measurement(**values)


def pairs_of(stage, setting, rounds):
    """[(the plain way's measurement, ours)], taking turns."""
    if stage == "start":  # our first time decodes, as the plain way does every time
        measured(stage, "ours", setting)
    pairs = []
    for _ in range(rounds):
        plain = measured(stage, "plain", setting)
        ours = measured(stage, "ours", setting)
        pairs.append((plain, ours))
    return pairs


# ---- the table ----


def machine(gpu):
    """What the numbers were taken on."""
    import torch

    from runs import environment

    device = f"{os.cpu_count()} cores of {environment.processor()}"
    if gpu:
        device = torch.cuda.get_device_name()
    return f"{device}, torch {torch.__version__}"


def row(stage, pairs):
    """A stage's line of the table."""
    plain, ours = zip(*pairs, strict=True)
    ratios = sorted(slow.seconds / fast.seconds for slow, fast in pairs)
    spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    results = difference(plain[0].result, ours[0].result)
    if stage == "start":
        ready = min(measurement.ready for measurement in ours)
        results += f"; process start to first batch {ready:.1f} s"
    cells = [stage.replace("_", " "), spread, str(len(ratios))]
    cells += [f"{median_seconds(side):.3g}" for side in (plain, ours)]
    cells += [f"{peak(side):.2f}" for side in (plain, ours)]
    return "| " + " | ".join([*cells, results]) + " |"


def median_seconds(measurements):
    return statistics.median(measurement.seconds for measurement in measurements)


def peak(measurements):
    """GB."""
    return max(measurement.gigabytes for measurement in measurements)


def difference(a, b):
    """How far two results are apart, in words."""
    if a is None:
        return "random numbers"
    if a.dtype.is_floating_point and a.dim() == 1 and len(a) > 100:
        return f"relative error {float((a - b).norm() / a.norm()):.0e}"
    return f"largest difference {float((a.double() - b.double()).abs().max()):.1g}"


if __name__ == "__main__":
    main()
