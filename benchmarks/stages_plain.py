"""The stages of benchmarks/speed.py, the plain way.

A stage takes a Setting and returns the function that is timed. What that returns is compared with
what ours returns, None where it holds random numbers.
"""

import json
import os
import subprocess
import sys

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import functional as TF

import models
from benchmarks import plain
from benchmarks.setting import METHODS, SIZES, comparable, evenly
from benchmarks.stages_ours import augmentation_input, flat


def start(setting):
    """From images on a disk to the first batch, all of the data set."""

    def run():
        train, _ = (plain.decoded(setting.whole / part) for part in ("train", "test"))
        x, _ = next(iter(DataLoader(train, 64)))
        return x

    return run


def augment(setting):
    """Crop, mirror and rotate, with the same moves as ours; equal to the bit."""
    pixels, moves, augmentation = augmentation_input(setting)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in pixels]
    moves = [move.tolist() for move in moves]

    def run():
        results = []
        for picture, top, left, flip, degrees in zip(pictures, *moves, strict=True):
            picture = TF.pad(picture, [augmentation.padding])
            picture = TF.crop(picture, top, left, augmentation.crop, augmentation.crop)
            if flip:
                picture = TF.hflip(picture)
            results.append(TF.pil_to_tensor(TF.rotate(picture, degrees)))
        return torch.stack(results)

    return run


def attack(setting):
    """Softmax outputs, as the membership attack collects them."""
    network, data = _network_and_data(setting, SIZES["attack"])
    return lambda: plain.probabilities(network, data)


def evaluation(setting):
    """Every score of one run."""
    network, data = _network_and_data(setting)
    test = plain.decoded(setting.data / "test")
    return lambda: torch.tensor(comparable(plain.scores(network, data, test, 0), "baseline"))


def importance(setting):
    """I_D in batches of 64."""
    network, data = _network_and_data(setting, SIZES["importance"])
    return lambda: flat(plain.importances(network, data))


def fisher(setting):
    """Single samples' gradients to every label."""
    network, data = _network_and_data(setting, SIZES["fisher"])
    return lambda: flat(plain.fisher(network, data))


def training(setting):
    """One epoch of augmented images."""
    network, _ = _network_and_data(setting, 1)
    pictures = plain.Pictures(plain.pictures(setting.data / "train")[: SIZES["training"]])

    def run():
        plain.train(network, pictures, 1, plain.sgd(network, 0.01))

    return run


def training_vit(setting):
    """A ViT-B/16 at 224 pixels."""
    labels = len(os.listdir(setting.data / "train"))
    network = models.ViT(labels, "random").to(plain.DEVICE)
    items = plain.pictures(setting.data / "train")[: SIZES["training_vit"]]
    pictures = plain.Pictures(items, size=224)

    def run():
        plain.train(network, pictures, 1, plain.sgd(network, 0.01), batch_size=8)

    return run


def one_class(setting):
    """Baseline and SSD for one class as whole runs: a process each."""
    return _runs(setting, classes=1, methods=("baseline", "ssd"))


def five_classes(setting):
    """Baseline and SSD for five classes as whole runs."""
    return _runs(setting, classes=5, methods=("baseline", "ssd"))


def six_methods(setting):
    """Six methods for one class as whole runs."""
    return _runs(setting, classes=1, methods=METHODS)


def _runs(setting, classes, methods):
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.plain"]
    command += [str(setting.data), str(setting.checkpoint)]

    def run():
        rows = []
        for label in range(classes):
            for method in methods:
                options = {"capture_output": True, "text": True, "check": True}
                done = subprocess.run([*command, str(label), method], **options)
                rows.append(comparable(json.loads(done.stdout)["scores"], method))
        return torch.tensor(rows)

    return run


def _network_and_data(setting, count=None):
    """(the trained network, training images); `count` of them, evenly over the classes."""
    data = plain.decoded(setting.data / "train")
    network = plain.network(1 + data[-1][1], setting.checkpoint)
    if count is not None:
        data = [data[position] for position in evenly(len(data), count)]
    return network, data


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
