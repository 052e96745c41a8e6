"""The data sets by name. Each is a function that gives a training set and a test set."""

import functools
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common import references
from common.errors import UserError
from common.files import sha256
from common.references import Table
from learning.augment import Augmentation
from learning.cifar import CIFAR10_CLASSES, CIFAR20_CLASSES, CIFAR20_COARSE, CIFAR100_CLASSES
from learning.duplicates import handled
from learning.folders import (
    class_folders,
    fine_classes_of,
    fine_labels_of,
    largest_side,
    read_folder,
    sub_class_folders,
)
from learning.images import ImageSet, image_set
from learning.protocol import PAPER, Protocol

CIFAR_SIDE = 32  # pixels
CIFAR_AUGMENTATION = Augmentation(crop=CIFAR_SIDE, padding=4, flip=True, degrees=15)
# A mirrored digit is another digit.
DIGITS_AUGMENTATION = Augmentation(crop=8, padding=1, flip=False, degrees=10)
DIGIT_NAMES = [str(digit) for digit in range(10)]
DIGIT_SHAPES = {"round": (0, 6, 8, 9), "straight": (1, 4, 7), "curved": (2, 3, 5)}
PINS_FOLDER = "105_classes_pins_dataset"
PINS_SIZE = 36  # pixels a side at which they are kept; training crops 32 of them
SMALLEST_SIZE = 32  # pixels a side to which a user's small images are enlarged


def load(
    name: str,
    data: str | Path = "data",
    *,
    size: int = 32,
    protocol: Protocol = PAPER,
    duplicates: str = "keep",
) -> tuple[ImageSet, ImageSet]:
    """The training set and the test set of a data set by its name.

    data: the folder where data sets lie, or for Folder the user's own. size: pixels a side to which
    a user's images are resized at most. duplicates: what is done about images that are in both
    parts, one of learning.duplicates.HANDLING.

    Raises UserError where the data are missing or unreadable, or where the test images are the
    training images.
    """
    train, test = SETS[name](Path(data), size, protocol)
    if name == "PinsFaceRecognition" and protocol.pins_is_tested_on_training_images:
        return train, test
    return handled(train, test, duplicates, Path(data) / f"duplicates-{name}.txt")


def class_names(name: str, data: str | Path = "data") -> tuple[Sequence[str], Sequence[str]]:
    """The classes and the fine classes of a data set, before anything is fetched or decoded.

    The fine classes are the classes where a set has no finer ones. Raises UserError where a folder
    of images is missing.
    """
    if name in FIXED_CLASSES:
        return FIXED_CLASSES[name]
    if references.is_outside(name):
        return _outside_names(name, str(Path(data).absolute()), references.source_hash(name))
    if name == "Folder":
        root = Path(data) / "train"
        classes = class_folders(root)
        return classes, fine_classes_of(sub_class_folders(root)) or classes
    names = class_folders(_pins_folder(Path(data)))
    return names, names


# ---- digits ----


def digits(data: Path, size: int, protocol: Protocol) -> tuple[ImageSet, ImageSet]:
    """scikit-learn's 1,797 handwritten digits at their own 8x8 pixels.

    Every fifth of each class is for testing.
    """
    pixels, digit = _all_digits()
    images = image_set("Digits", pixels, digit, DIGIT_NAMES, DIGITS_AUGMENTATION)
    return hold_out(images, digit)


def digit_shapes(data: Path, size: int, protocol: Protocol) -> tuple[ImageSet, ImageSet]:
    """The same images in the same parts under three coarse labels, the digit as fine label."""
    pixels, digit = _all_digits()
    shape_of = torch.empty(10, dtype=torch.int64)
    for shape, members in enumerate(DIGIT_SHAPES.values()):
        shape_of[list(members)] = shape
    images = image_set(
        "DigitShapes",
        pixels,
        shape_of[digit],
        DIGIT_SHAPES,
        DIGITS_AUGMENTATION,
        fine_labels=digit,
        fine_classes=DIGIT_NAMES,
    )
    return hold_out(images, digit)


def _all_digits():
    """Pixels [1797, 3, 8, 8] uint8 and digits [1797] int64."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = torch.from_numpy(bunch.images * 255 / 16).round().to(torch.uint8)  # [1797, 8, 8]
    return grey[:, None].repeat(1, 3, 1, 1), torch.from_numpy(bunch.target)


# ---- CIFAR ----


@dataclass(frozen=True, eq=False, kw_only=True)
class CifarPart:
    """The training part or the test part of CIFAR-10 or CIFAR-100."""

    pixels: Tensor  # [N, 3, 32, 32] uint8
    labels: list[int]  # N; of CIFAR-100 the fine ones
    classes: Sequence[str]
    coarse_labels: list[int] | None = None  # N; of CIFAR-100 only
    coarse_classes: Sequence[str] | None = None
    source: str = "archive"  # or "folders"


def cifar10(data: Path, size: int, protocol: Protocol) -> tuple[ImageSet, ImageSet]:
    """CIFAR-10: 50,000 and 10,000 images of 32x32 pixels in ten classes.

    From DIR/cifar10/train/<class>/ and DIR/cifar10/test/<class>/ where the archive is missing.
    """
    train, test = _cifar_parts("CIFAR10", data)
    return _cifar_set("Cifar10", train), _cifar_set("Cifar10", test)


def cifar100(data: Path, size: int, protocol: Protocol) -> tuple[ImageSet, ImageSet]:
    """CIFAR-100: 50,000 and 10,000 images of 32x32 pixels in a hundred classes.

    From DIR/cifar100/train/<class>/ and DIR/cifar100/test/<class>/ where the archive is missing.
    """
    train, test = _cifar_parts("CIFAR100", data)
    return _cifar_set("Cifar100", train), _cifar_set("Cifar100", test)


def cifar20(data: Path, size: int, protocol: Protocol) -> tuple[ImageSet, ImageSet]:
    """CIFAR-100's images under their 20 coarse labels, the 100 as fine labels."""
    train, test = _cifar_parts("CIFAR100", data)
    return _cifar20_set(train), _cifar20_set(test)


def _cifar_set(name, part):
    images = image_set(name, part.pixels, part.labels, part.classes, CIFAR_AUGMENTATION)
    return replace(images, source=part.source)


def _cifar20_set(part):
    images = image_set(
        "Cifar20",
        part.pixels,
        part.coarse_labels,
        part.coarse_classes,
        CIFAR_AUGMENTATION,
        fine_labels=part.labels,
        fine_classes=part.classes,
    )
    return replace(images, source=part.source)


def _cifar_parts(kind, data):
    """(training part, test part) of "CIFAR10" or "CIFAR100".

    They come from the official archive, which is fetched where it is missing; or from a copy as
    folders of images, where only that is there.
    """
    import torchvision.datasets

    archive = getattr(torchvision.datasets, kind)
    copy = data / kind.lower()
    has_archive = (data / archive.base_folder).is_dir() or (data / archive.filename).is_file()
    if not has_archive and (copy / "train").is_dir():
        return _from_folders(kind, copy / "train"), _from_folders(kind, copy / "test")
    try:
        train = archive(data, train=True, download=True)
        test = archive(data, train=False, download=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{kind} is not in {data} and could not be fetched ({error}); download {archive.url} "
            f"(md5 {archive.tgz_md5}) on a machine with a network and put it into {data}, "
            f"or put its images into {copy}/train/<class>/ and {copy}/test/<class>/"
        ) from error
    folder = data / archive.base_folder
    return _from_archive(train, folder / "train"), _from_archive(test, folder / "test")


def _from_archive(part, file):
    """part: torchvision's, which has only the fine labels. file: the archive's, which has both."""
    pixels = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()  # from [N, 32, 32, 3]
    coarse_labels, coarse_classes = None, None
    if len(part.classes) == len(CIFAR100_CLASSES):
        # torchvision has checked the archive's md5.
        content = pickle.loads(file.read_bytes(), encoding="latin1")
        meta = pickle.loads(file.with_name("meta").read_bytes(), encoding="latin1")
        coarse_labels, coarse_classes = content["coarse_labels"], meta["coarse_label_names"]
        for fine_label, coarse_label in zip(part.targets, coarse_labels, strict=True):
            if fine_label not in CIFAR20_COARSE[coarse_label]:
                raise UserError(
                    f"the coarse labels in {file} are not the published ones; "
                    "fetch the archive again"
                )
    return CifarPart(
        pixels=pixels,
        labels=part.targets,
        classes=part.classes,
        coarse_labels=coarse_labels,
        coarse_classes=coarse_classes,
    )


def _from_folders(kind, root):
    """A part as folders of images, one a class, in the order of its files' names."""
    classes = CIFAR10_CLASSES if kind == "CIFAR10" else CIFAR100_CLASSES
    differing = sorted(set(class_folders(root)) ^ set(classes))
    if differing:
        raise UserError(
            f"the folders in {root} must be {kind}'s {len(classes)} classes; "
            f"missing or unknown: {', '.join(differing[:5])}"
        )
    decoded = read_folder(root, CIFAR_SIDE)  # both lists of classes are sorted
    labels = decoded.labels.tolist()
    coarse_labels, coarse_classes = None, None
    if kind == "CIFAR100":
        coarse_of = {}
        for coarse_label, members in enumerate(CIFAR20_COARSE):
            coarse_of.update(dict.fromkeys(members, coarse_label))
        coarse_labels = [coarse_of[label] for label in labels]
        coarse_classes = CIFAR20_CLASSES
    return CifarPart(
        pixels=decoded.pixels,
        labels=labels,
        classes=classes,
        coarse_labels=coarse_labels,
        coarse_classes=coarse_classes,
        source="folders",
    )


# ---- folders of images ----


def pins(data: Path, size: int, protocol: Protocol) -> tuple[ImageSet, ImageSet]:
    """Pins face recognition: one folder an identity, and no test part.

    Every fifth image of each identity is for testing; the released protocol tests on all.

    Differs 1: Images are resized with antialiasing here. The released code resizes them otherwise.
    """
    decoded = read_folder(_pins_folder(data), PINS_SIZE)
    images = image_set(
        "PinsFaceRecognition",
        decoded.pixels,
        decoded.labels,
        decoded.classes,
        CIFAR_AUGMENTATION,
        digest=decoded.digest,
    )
    if protocol.pins_is_tested_on_training_images:
        return images, images
    return hold_out(images, decoded.labels)


def _pins_folder(data):
    root = data / PINS_FOLDER
    if not root.is_dir():
        raise UserError(
            f"no folder {root}; download Kaggle's 'Pins Face Recognition' and unpack it into "
            f"{data}, or say with -data where it lies"
        )
    return root


def folder(data: Path, size: int, protocol: Protocol) -> tuple[ImageSet, ImageSet]:
    """A user's own images: DIR/train/<class>/ and DIR/test/<class>/.

    Where each class folder has sub-folders, these are its sub-classes.
    They are resized to squares of `size` pixels a side, or of their own size where all are smaller.
    """
    if size > SMALLEST_SIZE:
        largest = max(largest_side(data / "train"), largest_side(data / "test"))
        size = min(size, largest)
    size = max(SMALLEST_SIZE, size)
    train = _folder_part(data / "train", size)
    test = _folder_part(data / "test", size)
    if len(train.classes) < 2:
        raise UserError(f"{data}/train holds only one class; a network needs two or more")
    for kind, of_train, of_test in (
        ("classes", train.classes, test.classes),
        ("sub-classes", train.fine_classes, test.fine_classes),
    ):
        differing = sorted(set(of_train) ^ set(of_test))
        if differing:
            raise UserError(
                f"train and test in {data} must hold the same {kind}; "
                f"only one of them has {', '.join(differing[:5])}"
            )
    return train, test


def _folder_part(root, size):
    decoded = read_folder(root, size)
    augmentation = Augmentation(crop=size, padding=size // 8, flip=True, degrees=15)
    fine_labels, fine_classes, digest = None, None, decoded.digest
    names = sub_class_folders(root)
    if names:
        fine_labels = fine_labels_of(root, decoded.files, names)
        fine_classes = fine_classes_of(names)
        digest = sha256(digest, fine_labels)
    images = image_set(
        "Folder",
        decoded.pixels,
        decoded.labels,
        decoded.classes,
        augmentation,
        fine_labels=fine_labels,
        fine_classes=fine_classes,
        digest=digest,
    )
    return replace(images, files=tuple(decoded.files))


# ---- data sets from outside ----


def _outside(reference, data, size, protocol):
    """What a user's own function gives for the same arguments, checked."""
    parts = references.called(reference, data, size, protocol)
    is_pair = isinstance(parts, tuple) and len(parts) == 2
    if not is_pair or not all(isinstance(part, ImageSet) for part in parts):
        raise UserError(
            f"{reference} must return (training set, test set), two ImageSets as "
            "learning.images.image_set makes them"
        )
    train, test = parts
    if (train.classes, train.fine_classes) != (test.classes, test.fine_classes):
        raise UserError(f"{reference}: the training set and the test set must have equal classes")
    for part, images in (("training", train), ("test", test)):
        if mistake := _mistake_in(images):
            raise UserError(f"{reference}: in its {part} set {mistake}; docs/extending.md")
    return replace(train, name=reference), replace(test, name=reference)


def _mistake_in(images):
    """What a user's own set has that no set may have, in words; empty where it is sound."""
    if not len(images):
        return "there is no image"
    if images.pixels.dtype != torch.uint8 or images.pixels.shape[1:2] != (3,):
        form = f"{list(images.pixels.shape)} {images.pixels.dtype}"
        return f"pixels are {form}, and not [N, 3, H, W] torch.uint8 from 0 to 255"
    kinds = ((images.classes, images.labels), (images.fine_classes, images.fine_labels))
    for names, labels in kinds:
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            return "the names of the classes are not texts, or not all different"
        if int(labels.min()) < 0 or int(labels.max()) >= len(names):
            return f"there are labels outside of 0 to {len(names) - 1}, its classes"
    return ""


@functools.cache
def _outside_names(reference, data, version):
    """(classes, fine classes) of a data set from outside; version: of its file."""
    train, _ = SETS[reference](Path(data), SMALLEST_SIZE, PAPER)
    return train.classes, train.fine_classes


# ---- a part for testing ----


def hold_out(images: ImageSet, labels: Tensor) -> tuple[ImageSet, ImageSet]:
    """Four fifths of a set, and the held-out fifth, as `every_fifth` says; each has its own digest.

    labels: [N] int64, of which each part gets its share.
    """
    train, held_out = every_fifth(images, labels)
    return _part(images, train), _part(images, held_out)


def _part(images, positions):
    return replace(images.take(positions), digest=sha256(images.digest, positions))


def every_fifth(images: ImageSet, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The positions of four fifths of a set, and of the other fifth: each fifth image of a label.

    labels: [N] int64. Copies of an image stay together: they are where the first of them is.
    """
    identity = images.identity[images.index].tolist()
    first_position: dict[int, int] = {}
    for position, image in enumerate(identity):
        first_position.setdefault(image, position)
    original = np.array([first_position[image] for image in identity])  # [N] position of its first
    is_original = original == np.arange(len(labels))
    is_held_out = np.zeros(len(labels), dtype=bool)
    for label in labels.unique().tolist():
        members = np.flatnonzero((labels.numpy() == label) & is_original)
        is_held_out[members[4::5]] = True
    held_out = torch.from_numpy(is_held_out[original])
    return torch.where(~held_out)[0], torch.where(held_out)[0]


# ---- the table ----

# (data folder, size in pixels for a user's images, protocol) -> (training set, test set)
SETS = Table(
    {
        "Digits": digits,
        "DigitShapes": digit_shapes,
        "Cifar10": cifar10,
        "Cifar20": cifar20,
        "Cifar100": cifar100,
        "PinsFaceRecognition": pins,
        "Folder": folder,
    },
    lambda reference: functools.partial(_outside, reference),
)

# (classes, fine classes) of the sets whose images need not be there to know them
FIXED_CLASSES = {
    "Digits": (DIGIT_NAMES, DIGIT_NAMES),
    "DigitShapes": (list(DIGIT_SHAPES), DIGIT_NAMES),
    "Cifar10": (CIFAR10_CLASSES, CIFAR10_CLASSES),
    "Cifar20": (CIFAR20_CLASSES, CIFAR100_CLASSES),
    "Cifar100": (CIFAR100_CLASSES, CIFAR100_CLASSES),
}
