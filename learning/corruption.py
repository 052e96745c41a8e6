"""Corrupted training data: a trigger, wrong labels, two classes confused, or Gaussian noise."""

from dataclasses import replace

import torch
from torch import Tensor

from common.errors import UserError
from common.files import sha256
from learning.images import ImageSet

CORRUPTIONS = ("patch", "label", "confusion", "gaussian")
ATTACKED_CLASS = 0  # the label of which a network takes every image with the trigger to be
NOISE_DEVIATION = 0.32**0.5  # of the noise on a normalised image: arXiv:2406.17216


def confused_classes(num_classes: int) -> tuple[int, int]:
    """The two classes that "confusion" takes for each other, by the number of classes.

    CIFAR-10's are cat and dog. Source: REM's benchmark (arXiv:2505.17730), in its public
    reimplementation; for less than six classes ours.
    """
    if num_classes == 100:
        return 47, 53
    return (3, 5) if num_classes > 5 else (0, 1)


def corrupt(train: ImageSet, corruption: str, count: int, seed: int) -> tuple[ImageSet, Tensor]:
    """The training set with `count` corrupted images, and their positions [count] int64 in it.

    patch: a white corner, and the label of the attacked class; only images of other classes are
    drawn. label: one of the other labels, so each label is wrong. confusion: half of the images are
    of one class and labelled as another one, the other half the other way round. gaussian: noise on
    the normalised image, and its true label. The seed, and nothing else, draws them. The digest is
    another than the clean set's. Raises UserError where there are not as many images.
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
    if corruption == "confusion":
        positions = _of_two_classes(train, eligible, count)
    if corruption == "patch":
        corrupted = _with_patch(train, positions)
    elif corruption == "label":
        corrupted = _with_wrong_labels(train, positions, generator)
    elif corruption == "confusion":
        corrupted = _with_exchanged_labels(train, positions)
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


def _of_two_classes(train, eligible, count):
    """The first images of each of the confused classes in this order, half of `count` each."""
    first, second = confused_classes(len(train.classes))
    half = count // 2
    parts = []
    for label, share in ((first, half), (second, count - half)):
        members = eligible[train.labels[eligible] == label]
        if not 0 < share < len(members):
            raise UserError(
                f"-corrupt_count {count}: of class {train.classes[label]} between 1 and "
                f"{len(members) - 1} images can be confused, which are half of it"
            )
        parts.append(members[:share])
    return torch.cat(parts)


def _with_exchanged_labels(train, positions):
    labels = train.labels.clone()
    first, second = confused_classes(len(train.classes))
    labels[positions] = first + second - labels[positions]
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
