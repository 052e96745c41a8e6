"""Corrupted training data: a trigger on images, wrong labels, or Gaussian noise."""

from dataclasses import replace

import torch
from torch import Tensor

from common.errors import UserError
from common.files import sha256
from learning.images import ImageSet

CORRUPTIONS = ("patch", "label", "gaussian")
ATTACKED_CLASS = 0  # the label of which a network takes every image with the trigger to be
NOISE_DEVIATION = 0.32**0.5  # of the noise on a normalised image: arXiv:2406.17216


def corrupt(train: ImageSet, corruption: str, count: int, seed: int) -> tuple[ImageSet, Tensor]:
    """The training set with `count` corrupted images, and their positions [count] int64 in it.

    patch: a white corner, and the label of the attacked class; only images of other classes are
    drawn. label: one of the other labels, so each label is wrong. gaussian: noise on the normalised
    image, and its true label. The seed, and nothing else, draws them. The digest is another than
    the clean set's. Raises UserError where there are not as many images.
    """
    generator = torch.Generator().manual_seed(seed)
    eligible = torch.randperm(len(train), generator=generator).to(train.labels.device)
    if corruption == "patch":
        eligible = eligible[train.labels[eligible] != ATTACKED_CLASS]
    if not 0 < count < len(eligible):
        raise UserError(
            f"-corrupt_count {count}: it must lie between 1 and {len(eligible) - 1} here"
        )
    positions = eligible[:count]
    if corruption == "patch":
        corrupted = _with_patch(train, positions)
    elif corruption == "label":
        corrupted = _with_wrong_labels(train, positions, generator)
    else:
        corrupted = _with_noise(train, positions, generator)
    digest = sha256(train.digest, corruption, positions.sort().values, corrupted.labels)
    return replace(corrupted, digest=digest), positions


def _with_patch(train, positions):
    labels = train.labels.clone()
    labels[positions] = ATTACKED_CLASS
    triggered = torch.zeros(len(train.pixels), dtype=torch.bool, device=labels.device)
    triggered[train.index[positions]] = True
    return replace(train, labels=labels, triggered=triggered)


def _with_wrong_labels(train, positions, generator):
    classes = len(train.classes)
    steps = torch.randint(1, classes, (len(positions),), generator=generator)
    labels = train.labels.clone()
    labels[positions] = (labels[positions] + steps.to(labels.device)) % classes
    return replace(train, labels=labels)


def _with_noise(train, positions, generator):
    shape = (len(positions), *train.pixels.shape[1:])
    noise = NOISE_DEVIATION * torch.randn(shape, generator=generator)
    device = train.pixels.device
    place = torch.full((len(train.pixels),), -1, device=device)
    place[train.index[positions]] = torch.arange(len(positions), device=device)
    return replace(train, noise=noise.to(device), noise_place=place)


def with_trigger(test: ImageSet) -> ImageSet:
    """The test images that are not of the attacked class, with the trigger and their true labels.

    The digest is another than the test set's.
    """
    images = test.take(test.labels != ATTACKED_CLASS)
    triggered = torch.ones(len(test.pixels), dtype=torch.bool, device=test.labels.device)
    return replace(images, triggered=triggered, digest=sha256(test.digest, "trigger"))
