"""The stages of benchmarks/speed.py by this project: see stages_plain.py."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

import datasets
import metrics
import models
import ssd
from benchmarks.setting import METHODS, NET, SIZES, comparable, evenly
from learning import numerics
from learning.augment import draw, moved, placement
from learning.images import batches
from learning.training import fit, sgd
from runs import checkpoints
from splits import split_class

ROOT = Path(__file__).parent.parent


def start(setting):
    """From images on a disk to the first batch, all of the data set."""

    def run():
        train, _ = datasets.load("Folder", setting.whole)
        x, _, _ = next(iter(batches(train, models.create(NET, len(train.classes)), 64)))
        return x

    return run


def augment(setting):
    """Crop, mirror and rotate."""
    pixels, moves, augmentation = augmentation_input(setting)

    def run():
        places = placement(moves, pixels.shape, augmentation)
        parts = zip(pixels.split(64), places.split(64), strict=True)
        return torch.cat([moved(x, part, augmentation.crop) for x, part in parts])

    return run


def augmentation_input(setting):
    """(pixels [N, 3, H, W] uint8, how they are to move, the augmentation), the same for both."""
    train, _ = datasets.load("Folder", setting.data)
    count = SIZES["augment"]
    pixels = train.pixels[torch.arange(count) % len(train)]
    torch.manual_seed(0)
    return pixels, draw(count, pixels.shape, train.augmentation), train.augmentation


def attack(setting):
    """Softmax outputs, as the membership attack collects them."""
    model, images = _network_and_images(setting, SIZES["attack"])
    return lambda: torch.softmax(metrics.logits_of(model, images), 1)


def evaluation(setting):
    """Every score of one run."""
    model, _ = _network_and_images(setting)
    split = split_class(*_sets(setting), 0)

    def run():
        logits = metrics.split_logits(model, split)
        scores = metrics.score(logits, models.untrained(model), split, batch_size=64)
        return torch.tensor(comparable(scores, "baseline"))

    return run


def importance(setting):
    """I_D in batches of 64."""
    model, images = _network_and_images(setting, SIZES["importance"])
    return lambda: flat(ssd.importance(model, batches(images, model, 64)))


def fisher(setting):
    """Single samples' gradients to every label."""
    model, images = _network_and_images(setting, SIZES["fisher"])
    data = batches(images, model, 32)
    return lambda: flat(ssd.importance(model, data, measure="true_fisher", per_sample=True))


def flat(importances):
    """All of them in one vector [P], by name."""
    return torch.cat([value.flatten() for _, value in sorted(importances.items())])


def training(setting):
    """One epoch of augmented images."""
    model, _ = _network_and_images(setting)
    train, _ = _sets(setting)
    images = train.take(torch.arange(min(len(train), SIZES["training"])))

    def run():
        fit(model, batches(images, model, 64, shuffle=True, augment=True), sgd(model, 0.01), 1)

    return run


def training_vit(setting):
    """A ViT-B/16 at 224 pixels."""
    train, _ = _sets(setting)
    images = train.take(torch.arange(min(len(train), SIZES["training_vit"])))
    model = _placed(models.ViT(len(train.classes), "random"), setting)

    def run():
        fit(model, batches(images, model, 8, shuffle=True, augment=True), sgd(model, 0.01), 1)

    return run


def one_class(setting):
    """Baseline and SSD for one class as whole runs: a sweep."""
    return _sweep(setting, classes=1, methods=("baseline", "ssd"))


def five_classes(setting):
    """Baseline and SSD for five classes as whole runs."""
    return _sweep(setting, classes=5, methods=("baseline", "ssd"))


def six_methods(setting):
    """Six methods for one class as whole runs."""
    return _sweep(setting, classes=1, methods=METHODS)


def _sweep(setting, classes, methods):
    """A sweep in a folder where nothing has been computed but the checkpoint."""
    place = setting.folder / f"sweep-{os.getpid()}"
    (place / "checkpoints").mkdir(parents=True)
    (place / "data").symlink_to(setting.data)
    shutil.copy(setting.checkpoint, place / "checkpoints")
    names = sorted(os.listdir(setting.data / "train"))[:classes]
    runs = list(itertools.product(names, methods))
    flags = f"-net {NET} -dataset Folder -data data -wandb disabled -numerics {setting.numerics}"
    if setting.gpu:
        flags += " -gpu"
    lines = []
    for name, method in runs:
        lines.append(f"forget_full_class_main.py {flags} -forget_class {name} -method {method}")

    def run():
        command = [sys.executable, "-W", "ignore", ROOT / "sweep.py"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        options = {"input": "\n".join(lines), "text": True, "check": True, "cwd": place}
        subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, **options, **quiet)
        scores = {}
        for path in (place / "results").rglob("*.json"):
            record = json.loads(path.read_text())
            key = record["config"]["forget"], record["config"]["method"]
            scores[key] = record["scores"]
        return torch.tensor([comparable(scores[name, method], method) for name, method in runs])

    return run


def _sets(setting):
    """(training set, test set)."""
    train, test = datasets.load("Folder", setting.data)
    if setting.gpu:
        return train.to("cuda"), test.to("cuda")
    return train, test


def _placed(model, setting):
    """The network on its device, in its arithmetic."""
    numerics.compute_in(model, setting.numerics)
    return model.cuda() if setting.gpu else model


def _network_and_images(setting, count=None):
    """(the trained network, training images); `count` of them, evenly over the classes."""
    train, _ = _sets(setting)
    model, _, _ = checkpoints.load(setting.checkpoint, NET, train)
    if count is not None:
        train = train.take(torch.tensor(evenly(len(train), count)))
    return _placed(model, setting), train


STAGES = {
    "start": start,
    "augment": augment,
    "attack": attack,
    "evaluation": evaluation,
    "importance": importance,
    "fisher": fisher,
    "training": training,
    "training_vit": training_vit,
    "one_class": one_class,
    "five_classes": five_classes,
    "six_methods": six_methods,
}
