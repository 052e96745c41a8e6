"""The data sets by name, and the splits of them that say what is to be forgotten."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from common.errors import UserError
from common.files import sha256
from learning.augment import Augmentation
from learning.cifar import CIFAR10_CLASSES, CIFAR20_CLASSES, CIFAR20_COARSE, CIFAR100_CLASSES
from learning.duplicates import handled
from learning.folders import class_folders, largest_side, read_folder
from learning.images import image_set
from learning.protocol import PAPER

CIFAR_AUGMENTATION = Augmentation(crop=32, padding=4, flip=True, degrees=15)


DIGITS_AUGMENTATION = Augmentation(
    crop=8, padding=1, flip=False, degrees=10
)  # a mirrored digit is another digit


PINS_FOLDER = "105_classes_pins_dataset"


SHAPES = {"round": (0, 6, 8, 9), "straight": (1, 4, 7), "curved": (2, 3, 5)}


# ---- the sets: one function each, (data folder, size in pixels for folders, protocol) -> (train, test) ----


def digits(data, size, protocol):
    """scikit-learn's 1,797 handwritten digits at their own 8x8 pixels; every fifth of each class is for testing."""
    pixels, digit = _digits()
    names = [str(number) for number in range(10)]
    return parted(image_set("Digits", pixels, digit, names, DIGITS_AUGMENTATION), digit)


def digit_shapes(data, size, protocol):
    """The same images and the same parts under three coarse labels, the digit as fine label."""
    pixels, digit = _digits()
    shape_of = {
        number: shape for shape, numbers in enumerate(SHAPES.values()) for number in numbers
    }
    labels = torch.tensor([shape_of[number] for number in digit.tolist()])
    names = [str(number) for number in range(10)]
    whole = image_set(
        "DigitShapes",
        pixels,
        labels,
        SHAPES,
        DIGITS_AUGMENTATION,
        fine_labels=digit,
        fine_classes=names,
    )
    return parted(whole, digit)


def _digits():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = torch.from_numpy(bunch.images * 255 / 16).round().to(torch.uint8)
    return grey[:, None].repeat(1, 3, 1, 1), torch.from_numpy(bunch.target)


def cifar10(data, size, protocol):
    return tuple(_cifar_set("Cifar10", part) for part in _cifar("CIFAR10", data))


def cifar100(data, size, protocol):
    return tuple(_cifar_set("Cifar100", part) for part in _cifar("CIFAR100", data))


def cifar20(data, size, protocol):
    """CIFAR-100's images under their 20 coarse labels, the 100 as fine labels."""
    parts = []
    for pixels, fine, coarse, fine_names, coarse_names in _cifar("CIFAR100", data):
        if any(
            fine_label not in CIFAR20_COARSE[label]
            for fine_label, label in zip(fine, coarse, strict=True)
        ):
            raise UserError(
                f"the coarse labels in {data}'s CIFAR-100 are not the published ones; fetch the archive again"
            )
        parts.append(
            image_set(
                "Cifar20",
                pixels,
                coarse,
                coarse_names,
                CIFAR_AUGMENTATION,
                fine_labels=fine,
                fine_classes=fine_names,
            )
        )
    return tuple(parts)


def _cifar_set(name, part):
    pixels, labels, _, names, _ = part
    return image_set(name, pixels, labels, names, CIFAR_AUGMENTATION)


def _cifar(kind, data):
    """[(pixels, labels, coarse labels or None, names, coarse names or None)] of the training and the test part."""
    import torchvision.datasets

    archive = getattr(torchvision.datasets, kind)
    try:
        train, test = (archive(data, train=part, download=True) for part in (True, False))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{kind} is not in {data} and could not be fetched ({error}); download {archive.url} "
            f"(md5 {archive.tgz_md5}) on a machine with a network and put it into {data}"
        ) from error
    coarse, coarse_names = (None, None), None
    if (
        kind == "CIFAR100"
    ):  # torchvision reads the fine labels alone; the archive, its md5 checked above, holds both
        folder = Path(data) / archive.base_folder
        read = [
            pickle.loads((folder / name).read_bytes(), encoding="latin1")
            for name in ("train", "test", "meta")
        ]
        coarse, coarse_names = (
            (read[0]["coarse_labels"], read[1]["coarse_labels"]),
            read[2]["coarse_label_names"],
        )
    return [
        (
            torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(),
            part.targets,
            coarse[test_part],
            part.classes,
            coarse_names,
        )
        for test_part, part in enumerate((train, test))
    ]


def pins(data, size, protocol):
    """Pins face recognition: one folder an identity and no test part; every fifth image of each is for testing.

    Differs 1: Images are resized with antialiasing here. The released code resizes them otherwise.
    """
    pixels, labels, classes, _, digest = read_folder(_pins_folder(data), 36)
    whole = image_set(
        "PinsFaceRecognition", pixels, labels, classes, CIFAR_AUGMENTATION, digest=digest
    )
    return (whole, whole) if protocol.pins_is_tested_on_training_images else parted(whole, labels)


def _pins_folder(data):
    root = Path(data) / PINS_FOLDER
    if not root.is_dir():
        raise UserError(
            f"no folder {root}; download Kaggle's 'Pins Face Recognition' and unpack it into {data}, "
            "or say with -data where it lies"
        )
    return root


def folder(data, size, protocol):
    """A user's own images: DIR/train/<class>/ and DIR/test/<class>/."""
    size = (
        max(32, min(size, max(largest_side(Path(data) / part) for part in ("train", "test"))))
        if size > 32
        else 32
    )
    parts = []
    for part in ("train", "test"):
        pixels, labels, classes, names, digest = read_folder(Path(data) / part, size)
        augmentation = Augmentation(crop=size, padding=size // 8, flip=True, degrees=15)
        whole = image_set("Folder", pixels, labels, classes, augmentation, digest=digest)
        parts.append(replace(whole, files=tuple(names)))
    train, test = parts
    if len(train.classes) < 2:
        raise UserError(f"{data}/train holds one class alone; a network needs two or more")
    if train.classes != test.classes:
        differing = sorted(set(train.classes) ^ set(test.classes))
        raise UserError(
            f"train and test in {data} must hold the same classes; only one of them has {', '.join(differing[:5])}"
        )
    return train, test


SETS = {
    "Digits": digits,
    "DigitShapes": digit_shapes,
    "Cifar10": cifar10,
    "Cifar20": cifar20,
    "Cifar100": cifar100,
    "PinsFaceRecognition": pins,
    "Folder": folder,
}


def load(name, data="data", *, size=32, protocol=PAPER, duplicates="keep"):
    """(training set, test set) of a data set by name; `size`: pixels a side to which a folder's images are resized.

    duplicates: what is done about images that are in both parts (duplicates.py).
    Raises UserError where the data are missing or unreadable, or where the test images are the training images.
    """
    train, test = SETS[name](data, size, protocol)
    if name == "PinsFaceRecognition" and protocol.pins_is_tested_on_training_images:
        return train, test
    return handled(train, test, duplicates, Path(data) / f"duplicates-{name}.txt")


def class_names(name, data="data"):
    """(classes, fine classes) of a data set by name, before anything is fetched or decoded.

    The fine classes are the classes where a set has no finer ones. UserError where a folder of images is missing.
    """
    digit_names = [str(number) for number in range(10)]
    fixed = {
        "Digits": (digit_names, digit_names),
        "DigitShapes": (list(SHAPES), digit_names),
        "Cifar10": (CIFAR10_CLASSES, CIFAR10_CLASSES),
        "Cifar20": (CIFAR20_CLASSES, CIFAR100_CLASSES),
        "Cifar100": (CIFAR100_CLASSES, CIFAR100_CLASSES),
    }
    if name in fixed:
        return fixed[name]
    root = Path(data) / "train" if name == "Folder" else _pins_folder(data)
    names = class_folders(root)
    return names, names


def every_fifth(images, labels):
    """(four fifths, one fifth): positions [N] of a fixed split, stratified by labels; copies of an image stay together."""
    hashes = images.identity[images.index].tolist()
    first = {}
    for position, image in enumerate(hashes):
        first.setdefault(image, position)
    originals = np.array([first[image] for image in hashes])
    held_out = np.zeros(len(labels), dtype=bool)
    for label in labels.unique().tolist():
        members = np.flatnonzero((labels.numpy() == label) & (originals == np.arange(len(labels))))
        held_out[members[4::5]] = True
    held_out = torch.from_numpy(held_out[originals])
    return torch.where(~held_out)[0], torch.where(held_out)[0]


def parted(whole, labels):
    """(four fifths, one fifth) of a set, as `every_fifth` parts it by labels [N]; each with a digest of its own."""
    return tuple(
        replace(whole.take(positions), digest=sha256(whole.digest, positions))
        for positions in every_fifth(whole, labels)
    )
