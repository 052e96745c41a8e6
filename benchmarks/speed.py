"""This project against the plain way (plain.py), stage by stage: how many times as fast, and whether the results are equal.

    python -m benchmarks.speed [DIR] [--rounds 3] [--images 100] [--stages start augment ...] [--numerics bf16] [--gpu]

DIR holds train/<class>/ and test/<class>/ with 32x32 images; without it scikit-learn's digits, enlarged, are taken. Each
measurement is a process of its own, the plain way and ours taking turns; the ratio is one of neighbours. Prints for each stage
the median ratio, the least and the greatest of n, seconds and peak memory of both, and how far the results are apart.
"""

import common.threads  # noqa: F401 (before torch)

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NET = "ResNet18"
ROOT = Path(__file__).parent.parent
HEAVY = (
    "one_class",
    "five_classes",
    "six_methods",
)  # whole runs, once each unless --heavy-rounds says more
SIZES = {
    "augment": 2000,
    "attack": 1000,
    "importance": 512,
    "fisher": 4,
    "training": 512,
    "training_vit": 24,
}  # images
METHODS = ("baseline", "ssd", "finetune", "bad_teacher", "amnesiac", "unsir")


# ---- the stages: each (plain, ours) in a process of its own; the returned function is timed, its result compared ----


def start(place, args):
    """From images on a disk to the first batch, all of the data set."""

    def slow():
        from torch.utils.data import DataLoader

        from benchmarks import plain

        parts = [plain.decoded(f"{args.whole}/{part}") for part in ("train", "test")]
        return next(iter(DataLoader(parts[0], 64)))[0]

    def fast():
        import datasets
        import models
        from learning.images import batches

        train, _ = datasets.load("Folder", args.whole)
        return next(iter(batches(train, models.create(NET, len(train.classes)), 64)))[0]

    return slow, fast


def augment(place, args):
    """Crop, flip and rotate with the same parameters; equal to the bit."""
    import torch

    from learning.augment import draw, moved, placement

    train = _images(place)
    torch.manual_seed(0)
    count = SIZES["augment"]
    x = train.pixels[torch.arange(count) % len(train)]
    moves = draw(count, x.shape, train.augmentation)

    def fast():
        places = placement(moves, x.shape, train.augmentation)
        return torch.cat(
            [moved(*part, 32) for part in zip(x.split(64), places.split(64), strict=True)]
        )

    from PIL import Image
    from torchvision.transforms import functional as TF

    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in x]

    def slow():
        found = []
        for picture, top, left, flip, degrees in zip(
            pictures, *[move.tolist() for move in moves], strict=True
        ):
            picture = TF.crop(TF.pad(picture, [4]), top, left, 32, 32)
            picture = TF.rotate(TF.hflip(picture) if flip else picture, degrees)
            found.append(TF.pil_to_tensor(picture))
        return torch.stack(found)

    return slow, fast


def attack(place, args):
    """Softmax outputs, as the membership attack collects them."""
    import torch

    import metrics
    from benchmarks import plain

    theirs, ours, data, part = _networks(place, args, SIZES["attack"])
    return lambda: plain.probabilities(theirs, data), lambda: torch.softmax(
        metrics.logits_of(ours, part), 1
    )


def evaluation(place, args):
    """Every score of one run."""
    import torch

    import metrics
    import models
    from benchmarks import plain
    from splits import split_class

    theirs, ours, data, _ = _networks(place, args)
    split = split_class(*_sets(place, args), 0)
    test = plain.decoded(f"{place}/data/test")

    def fast():
        logits = metrics.split_logits(ours, split)
        return metrics.score(logits, models.untrained(ours), split, batch_size=64)

    def kept(values):  # ZRF is against another untrained network each time
        return torch.tensor([values[name] for name in ("TestAcc", "RetainTestAcc", "Df", "MIA")])

    return lambda: kept(plain.scores(theirs, data, test, 0)), lambda: kept(fast())


def importance(place, args):
    """I_D in batches of 64."""
    import ssd
    from benchmarks import plain
    from learning.images import batches

    theirs, ours, data, part = _networks(place, args, SIZES["importance"])
    return lambda: _flat(plain.importances(theirs, data)), lambda: _flat(
        ssd.importance(ours, batches(part, ours, 64))
    )


def fisher(place, args):
    """Single samples' gradients to every label."""
    import ssd
    from benchmarks import plain
    from learning.images import batches

    theirs, ours, data, part = _networks(place, args, SIZES["fisher"])
    return lambda: _flat(plain.fisher(theirs, data)), lambda: _flat(
        ssd.importance(ours, batches(part, ours, 32), measure="true_fisher", per_sample=True)
    )


def training(place, args):
    """One epoch of augmented images."""
    from benchmarks import plain
    from learning.images import batches
    from learning.training import fit, sgd

    theirs, ours, _, part = _networks(place, args, SIZES["training"])
    found = plain.Pictures(plain.pictures(f"{place}/data/train")[: len(part)])
    return (
        lambda: plain.train(theirs, found, 1, _sgd(theirs)) and None,
        lambda: (
            fit(ours, batches(part, ours, 64, shuffle=True, augment=True), sgd(ours, 0.01), 1)
            and None
        ),
    )


def training_vit(place, args):
    """A ViT-B/16 at 224, one batch."""
    import models
    from benchmarks import plain
    from learning import numerics
    from learning.images import batches
    from learning.training import fit, sgd

    model = _there(models.ViT(10, "random"), args)
    part = _images(place, args).take(_first(SIZES["training_vit"]))
    found = plain.Pictures(plain.pictures(f"{place}/data/train")[: len(part)], 224)

    def fast():
        numerics.compute_in(model, args.numerics)
        fit(model, batches(part, model, 8, shuffle=True, augment=True), sgd(model, 0.01), 1)

    return lambda: plain.train(model, found, 1, _sgd(model), batch_size=8) and None, fast


def one_class(place, args, classes=1, methods=("baseline", "ssd")):
    """Baseline and SSD for one class as whole runs: processes of the plain way against a sweep that finds nothing computed."""
    import torch

    checkpoint = place / "checkpoints" / f"{NET}-Folder-data-seed0.safetensors"
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}

    def slow():
        found = []
        for label in range(classes):
            for method in methods:
                command = [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-m",
                    "benchmarks.plain",
                    place / "data",
                    checkpoint,
                    str(label),
                    method,
                ]
                done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
                found.append(_of(json.loads(done.stdout)["scores"], method))
        return torch.tensor(found)

    def fast():
        for path in [
            *(place / "checkpoints").glob("*.importance-*"),
            *(place / "checkpoints").glob("*.logits-*"),
        ]:
            path.unlink()
        shutil.rmtree(place / "results", ignore_errors=True)
        names = sorted(os.listdir(place / "data" / "train"))[:classes]
        flags = (
            f"-net {NET} -dataset Folder -data data -wandb disabled -numerics {args.numerics}"
            + " -gpu" * args.gpu
        )
        lines = [
            f"forget_full_class_main.py {flags} -forget_class {name} -method {method}"
            for name in names
            for method in methods
        ]
        subprocess.run(
            [sys.executable, "-W", "ignore", ROOT / "sweep.py"],
            input="\n".join(lines),
            text=True,
            check=True,
            cwd=place,
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        kept = [json.loads(path.read_text()) for path in (place / "results").rglob("*.json")]
        by_run = {
            (record["config"]["forget"], record["config"]["method"]): record["scores"]
            for record in kept
        }
        return torch.tensor(
            [_of(by_run[name, method], method) for name in names for method in methods]
        )

    return slow, fast


def _of(scores, method):
    drawn = method not in ("baseline", "ssd")  # random numbers, and other ones
    return [0.0 if drawn else scores[name] for name in ("TestAcc", "RetainTestAcc", "Df", "MIA")]


def five_classes(place, args):
    """The same for five classes."""
    return one_class(place, args, classes=5)


def six_methods(place, args):
    """Baseline, SSD, finetune, bad teacher, amnesiac and UNSIR for one class as whole runs."""
    return one_class(place, args, methods=METHODS)


# ---- what the stages share ----


def _sets(place, args=None):
    import datasets

    found = datasets.load("Folder", place / "data")
    return [images.to("cuda") for images in found] if args and args.gpu else found


def _images(place, args=None):
    return _sets(place, args)[0]


def _first(count):
    import torch

    return torch.arange(count)


def _there(model, args):
    return model.cuda() if args.gpu else model


def _networks(place, args, count=None):
    """(the plain way's network, ours, decoded training images, the same as our subset), one set of weights; `count` of each."""
    from benchmarks import plain
    from learning import numerics

    train = _images(place, args)
    checkpoint = place / "checkpoints" / f"{NET}-Folder-data-seed0.safetensors"
    from runs.checkpoints import load

    ours = _there(load(checkpoint, NET, train)[0], args)
    numerics.compute_in(ours, args.numerics)
    data = plain.decoded(f"{place}/data/train")
    if count:  # evenly over the classes, in their order
        step = max(1, len(data) // count)
        data, train = data[::step][:count], train.take(_first(len(data))[::step][:count])
    return _there(plain.network(len(train.classes), checkpoint), args), ours, data, train


def _flat(importances):
    import torch

    return torch.cat([value.flatten() for _, value in sorted(importances.items())])


def _sgd(model):
    import torch

    return torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)


STAGES = {
    f.__name__: f
    for f in (
        start,
        augment,
        attack,
        evaluation,
        importance,
        fisher,
        training,
        training_vit,
        one_class,
        five_classes,
        six_methods,
    )
}


# ---- one measurement, in its own process ----


def child(stage, side, place, out, args):
    import torch

    from common.console import plain_warnings
    from common.errors import keep_memory

    plain_warnings()
    if side == "ours":
        keep_memory()
    torch.manual_seed(0)
    run = STAGES[stage](place, args)[side == "ours"]
    if stage not in ("start", *HEAVY):
        run()  # the first one warms up
    if args.gpu:
        torch.cuda.synchronize()
    begin = time.perf_counter()
    result = run()
    if args.gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    kind = resource.RUSAGE_CHILDREN if stage in HEAVY else resource.RUSAGE_SELF
    torch.save(
        {
            "seconds": seconds,
            "result": None if result is None else result.detach().cpu(),
            "gigabytes": resource.getrusage(kind).ru_maxrss / 2**20,
            "ready": time.time(),
        },
        out,
    )


def measured(stage, side, place, argv):
    import torch

    out, spawned = place / "out.pt", time.time()
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.speed",
        *argv,
        "--child",
        stage,
        side,
        str(place),
    ]
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    found = torch.load(out)
    return found | {"ready": found["ready"] - spawned}


def apart(a, b):
    """How far two results are apart, in words."""
    if a is None:
        return "random numbers"
    if a.dtype.is_floating_point and len(a.shape) == 1 and len(a) > 100:
        return f"relative error {float((a - b).norm() / a.norm()):.0e}"
    return f"largest difference {float((a.double() - b.double()).abs().max()):.1g}"


def report(stage, pairs, args):
    ratios = sorted(slow["seconds"] / fast["seconds"] for slow, fast in pairs)
    middle = [statistics.median(found[i]["seconds"] for found in pairs) for i in (0, 1)]
    memory = [max(found[i]["gigabytes"] for found in pairs) for i in (0, 1)]
    words = apart(pairs[0][0]["result"], pairs[0][1]["result"])
    first = (
        f"; process start to first batch {min(fast['ready'] for _, fast in pairs):.1f} s"
        if stage == "start"
        else ""
    )
    print(
        f"| {stage.replace('_', ' ')} | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {len(ratios)} | "
        f"{middle[0]:.3g} | {middle[1]:.3g} | {memory[0]:.2f} | {memory[1]:.2f} | {words}{first} |",
        flush=True,
    )


def prepare(args, folder):
    """A folder with a small part of the images and a network that two epochs on them have trained."""
    if not args.whole:
        args.whole = str(folder / "digits")
        write_digits(Path(args.whole))
    for part, count in (("train", args.images), ("test", args.images // 5)):
        for name in sorted(os.listdir(f"{args.whole}/{part}")):
            goal = folder / "data" / part / name
            goal.mkdir(parents=True)
            for file in sorted(os.listdir(f"{args.whole}/{part}/{name}"))[:count]:
                shutil.copy(f"{args.whole}/{part}/{name}/{file}", goal)
    command = [
        sys.executable,
        "-W",
        "ignore",
        ROOT / "pretrain_model.py",
        "-net",
        NET,
        "-dataset",
        "Folder",
        "-data",
        "data",
        "-epochs",
        "2",
        *["-gpu"] * args.gpu,
    ]
    subprocess.run(
        command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def write_digits(folder):
    """scikit-learn's digits as JPEG of 32x32, copies left out."""
    from PIL import Image
    from sklearn.datasets import load_digits

    seen, bunch = set(), load_digits()
    for number, (grey, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        picture = Image.fromarray((grey * 15.9).astype("uint8")).resize(
            (32, 32), Image.Resampling.BILINEAR
        )
        path = folder / ("test" if number % 5 == 4 else "train") / str(label) / f"{number}.jpg"
        if grey.tobytes() not in seen:
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.convert("RGB").save(path, quality=90)
        seen.add(grey.tobytes())


def main():
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
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument(
        "--numerics",
        choices=["fp32", "tf32", "bf16"],
        default="fp32",
        help="of this project's side",
    )
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        stage, side, place = args.child
        return child(stage, side, Path(place), Path(place) / "out.pt", args)
    import torch

    from runs import environment

    with tempfile.TemporaryDirectory() as folder:
        args.whole = args.whole and os.path.abspath(args.whole)
        prepare(args, Path(folder))
        os.environ["PLAIN_DEVICE"] = "cuda" if args.gpu else "cpu"
        argv = [args.whole, "--numerics", args.numerics, *["--gpu"] * args.gpu]
        where = (
            torch.cuda.get_device_name()
            if args.gpu
            else f"{os.cpu_count()} cores of {environment.processor()}"
        )
        print(f"{NET}, {args.numerics}, {where}, torch {torch.__version__}\n")
        print(
            "| stage | times as fast | n | plain s | ours s | plain GB | ours GB | results |\n|---|---|---|---|---|---|---|---|"
        )
        for stage in args.stages:
            pairs = []
            if stage == "start":  # the first time decodes, as the plain way does every time
                measured(stage, "ours", Path(folder), argv)
            for _ in range(args.heavy_rounds if stage in HEAVY else args.rounds):
                pairs.append(
                    [measured(stage, side, Path(folder), argv) for side in ("plain", "ours")]
                )
            report(stage, pairs, args)


if __name__ == "__main__":
    main()
