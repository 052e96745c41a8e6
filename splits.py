"""What is to be forgotten: a data set parted into what stays and what goes."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from common.errors import UserError
from common.files import sha256
from learning.corruption import ATTACKED_CLASS, confused_classes, corrupt, with_trigger
from learning.images import ImageSet, random_order
from learning.protocol import PAPER, Protocol

# The released scripts' names of classes -> CIFAR's own.
SPELLINGS = {
    "vehicle2": "vehicles_2",
    "veg": "fruit_and_vegetables",
    "natural_scenes": "large_natural_outdoor_scenes",
    "electrical_devices": "household_electrical_devices",
}

# Which images forget_test is made of:
# test: the test images of what is forgotten. forget: D_f itself.
# train: training images, more of them than D_f. triggered: test images with the trigger on them.
ForgetTestSource = Literal["test", "forget", "train", "triggered"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """D parted into what stays and what goes. The experiments differ in nothing else."""

    full: ImageSet  # D, in the order in which SSD reads it
    retain: ImageSet  # D_r: what stays of D
    forget: ImageSet  # D_f: what goes
    retain_test: ImageSet  # the images on which D_r's accuracy is measured
    forget_test: ImageSet  # the images on which D_f's accuracy is measured
    forget_test_from: ForgetTestSource
    train: ImageSet  # all training images, in the data set's order
    test: ImageSet  # all test images, in the data set's order
    num_classes: int
    forget_class: int | None  # the one label of all images in D_f; None: they have several
    forgets_whole_class: bool  # whether D_f is all training images of its label
    attacked_class: int | None = None  # where a trigger sends a poisoned network; None: no trigger
    # Of corrupted training data only: all corrupted images with their true labels, and the test
    # images on which REM's benchmark measures utility.
    corrupted: ImageSet | None = None
    utility_test: ImageSet | None = None


# ---- a class or a sub-class ----


def split_class(
    train: ImageSet, test: ImageSet, forget_class: str | int, *, protocol: Protocol = PAPER
) -> Split:
    """Forget one class, given by its name or its number.

    Raises UserError where there is no such class, where it is the whole training set, or where one
    of the sets holds no image of it.
    """
    label = class_number(forget_class, train.classes)
    by_label = (train.labels, test.labels)
    return _split_by(by_label, label, train, test, protocol, forgets_whole_class=True)


def split_sub_class(
    train: ImageSet, test: ImageSet, forget_class: str | int, *, protocol: Protocol = PAPER
) -> Split:
    """Forget one fine class, given by its name or its number, of a set that has coarse labels too.

    Raises UserError as split_class does, and where the set has no finer classes.
    """
    check_sub_classes(train.name, train.classes, train.fine_classes)
    fine_label = class_number(forget_class, train.fine_classes)
    by_label = (train.fine_labels, test.fine_labels)
    return _split_by(by_label, fine_label, train, test, protocol, forgets_whole_class=False)


def _split_by(by_label, forgotten, train, test, protocol, *, forgets_whole_class):
    """Forget the images that bear the label `forgotten`.

    by_label: the labels of train [N] and of test [M] among which it is: coarse or fine ones.
    """
    train_labels, test_labels = by_label
    order = torch.argsort(train_labels, stable=True)  # [N], D by class
    test_order = torch.argsort(test_labels, stable=True)  # [M]
    goes = train_labels[order] == forgotten  # bool, in that order
    test_goes = test_labels[test_order] == forgotten
    _check_both_parts(goes, test_goes)
    retain = order[~goes]
    forget = order[goes]
    full = torch.cat([retain, forget]) if protocol.full_set_ends_with_forget_set else order
    return Split(
        full=train.take(full),
        retain=train.take(retain),
        forget=train.take(forget),
        retain_test=test.take(test_order[~test_goes]),
        forget_test=test.take(test_order[test_goes]),
        forget_test_from="test",
        train=train,
        test=test,
        num_classes=len(train.classes),
        forget_class=int(train.labels[forget[0]]),
        forgets_whole_class=forgets_whole_class,
    )


def _check_both_parts(goes, test_goes):
    if goes.all():
        raise UserError(
            "the forget set is the whole training set; a set of one class cannot forget it"
        )
    if not goes.any():
        raise UserError(
            "the training set holds no image of what is to be forgotten; name another class"
        )
    if not test_goes.any():
        raise UserError(
            "the test set holds no image of what is to be forgotten; "
            "add some, so that D_f can be measured"
        )


def check_sub_classes(name: str, classes: Sequence[str], fine_classes: Sequence[str]) -> None:
    """UserError where the data set `name` has no finer classes than its classes."""
    if list(fine_classes) == list(classes):
        raise UserError(
            f"{name} has no sub-classes; take DigitShapes, Cifar20, a folder of two levels, or "
            "forget_full_class_main.py"
        )


def class_number(asked: str | int, names: Sequence[str]) -> int:
    """The label of a class given by its name, by a released spelling of it, or by its number.

    Where names are numbers themselves, a number that is no name is a slip. Raises UserError, which
    says the nearest names.
    """
    asked = str(asked)
    for name in (asked, SPELLINGS.get(asked, asked)):
        if name in names:
            return list(names).index(name)
    names_are_numbers = any(name.isdecimal() for name in names)
    is_number = asked.isascii() and asked.isdecimal()
    if is_number and int(asked) < len(names) and not names_are_numbers:
        return int(asked)
    nearest = difflib.get_close_matches(asked, names, n=5, cutoff=0.4) or names[:10]
    numbers = "" if names_are_numbers else f" (or a number, 0 to {len(names) - 1})"
    raise UserError(f"there is no class {asked!r}; nearest names: {', '.join(nearest)}{numbers}")


# ---- images at random ----


def split_random(
    train: ImageSet, test: ImageSet, share: float, seed: int, *, protocol: Protocol = PAPER
) -> Split:
    """Forget ceil(share * N) of the N training images, drawn by `seed` and nothing else.

    A share of 0.00165 of 50,000 images is 83. Raises UserError where it is none or all of them.
    """
    count = _share_of(len(train), share) if 0 < share < 1 else 0
    if not 0 < count < len(train):
        raise UserError(
            f"-forget_perc {share} of {len(train)} images is none or all of them; "
            "name a share between 0 and 1"
        )
    drawn = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return _split_images(train, test, drawn[:count], drawn[count:], protocol)


def split_listed(
    train: ImageSet, test: ImageSet, path: str | Path, *, protocol: Protocol = PAPER
) -> Split:
    """Forget the training images whose positions stand in a file, a line each, from 0.

    Raises UserError where the file is no such list, or names no image, all, or one that is not
    there.
    """
    positions = read_positions(path)
    if not 0 < len(positions) < len(train) or positions[-1] >= len(train):
        raise UserError(
            f"-forget_list {path}: it names no image of the {len(train)}, all of them, or one that "
            "is not there; positions go from 0"
        )
    forget = torch.tensor(positions)
    stays = torch.ones(len(train), dtype=torch.bool)
    stays[forget] = False
    return _split_images(train, test, forget, stays.nonzero().flatten(), protocol)


def read_positions(path: str | Path) -> list[int]:
    """The whole numbers of a text file, a line each, in ascending order.

    UserError where it cannot be read, or has anything else, or a number twice.
    """
    try:
        words = Path(path).read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(f"-forget_list {path} cannot be read ({reason}); name another") from error
    positions = []
    for word in words:
        if not (word.isascii() and word.isdecimal()):
            raise UserError(
                f"-forget_list {path} holds {word[:20]!r}; a line has one position, from 0"
            )
        positions.append(int(word))
    if len(set(positions)) < len(positions):
        raise UserError(f"-forget_list {path} names an image twice; name each once")
    return sorted(positions)


def _split_images(train, test, forget, retain, protocol):
    """Forget the training images at the positions `forget`; `retain`: the others'."""
    if protocol.full_set_ends_with_forget_set:
        full = torch.cat([retain, forget])
    else:
        full = random_order(len(train))
    forget_set = train.take(forget)
    return Split(
        full=train.take(full),
        retain=train.take(retain),
        forget=forget_set,
        retain_test=test,
        forget_test=forget_set,
        forget_test_from="forget",
        train=train,
        test=test,
        num_classes=len(train.classes),
        forget_class=None,
        forgets_whole_class=False,
    )


def _share_of(total, share):
    """ceil(share * total); rounding does not make one more of a whole number."""
    return math.ceil(share * total - 1e-9)


# ---- corrupted images ----


def split_corrupted(
    train: ImageSet,
    test: ImageSet,
    corruption: str,
    count: int,
    known_share: float,
    *,
    train_seed: int,
    seed: int,
) -> Split:
    """D is the corrupted set, D_f the part of its `count` corrupted images that is known.

    train, test: the clean sets. corruption: one of learning.corruption.CORRUPTIONS. train_seed
    draws which images are corrupted, seed which of these are known. D_r is all the rest.

    forget_test bears true labels. patch: the test images that are not of the attacked class, with
    the trigger on them; label, confusion, gaussian: all corrupted training images. utility_test:
    the test images; confusion: those of the other classes. Raises UserError where `count` is none
    or all of the images.
    """
    corrupted_train, corrupted = corrupt(train, corruption, count, train_seed)
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    known_count = max(1, _share_of(count, known_share))
    known = corrupted[drawn[:known_count]]  # positions in the training set
    stays = torch.ones(len(train), dtype=torch.bool, device=known.device)
    stays[known] = False
    order = random_order(len(train)).to(known.device)
    is_patch = corruption == "patch"
    healed = replace(corrupted_train.take(corrupted), labels=train.labels[corrupted])
    forget_test = with_trigger(test) if is_patch else healed
    utility_test = test
    if corruption == "confusion":
        confused = torch.tensor(confused_classes(len(train.classes)), device=test.labels.device)
        utility_test = test.take(~torch.isin(test.labels, confused))
    return Split(
        full=corrupted_train.take(order),
        retain=corrupted_train.take(order[stays[order]]),
        forget=corrupted_train.take(known),
        retain_test=test,
        forget_test=forget_test,
        forget_test_from="triggered" if is_patch else "train",
        train=corrupted_train,
        test=test,
        num_classes=len(train.classes),
        forget_class=None,
        forgets_whole_class=False,
        attacked_class=ATTACKED_CLASS if is_patch else None,
        corrupted=healed,
        utility_test=utility_test,
    )


# ---- by a network that has forgotten before ----


def after_forgetting(split: Split, forgotten: list[dict]) -> Split:
    """The split as a network meets it that has forgotten before: no part has what is gone.

    forgotten: the requests so far, oldest first, as a saved network's metadata have them. Each has
    images: their positions in the pixels; labels: "labels", "fine_labels", or None where it was no
    class; label: the class's. Test images of a class that is gone as a whole are no longer among
    those that are kept. Raises UserError where nothing is left to forget.
    """
    if not forgotten:
        return split
    images = [torch.tensor(request["images"], dtype=torch.int64) for request in forgotten]
    gone = torch.cat(images)
    forget = _without(split.forget, gone)
    if not len(forget):
        raise UserError(
            "this network has forgotten all of that before; "
            "name something else to forget, or another -weight_path"
        )
    full = _without(split.full, gone)
    digest = sha256(split.full.digest, "without", gone.sort().values)
    retain_test = split.retain_test
    for request in forgotten:
        if request["labels"] is not None:
            labels = getattr(retain_test, request["labels"])
            retain_test = retain_test.take(labels != request["label"])
    return replace(
        split,
        full=replace(full, digest=digest),
        retain=_without(split.retain, gone),
        forget=forget,
        retain_test=retain_test,
        forget_test=forget if split.forget_test_from == "forget" else split.forget_test,
    )


def _without(images: ImageSet, gone: Tensor) -> ImageSet:
    """A set less the images at the positions `gone` of the pixels."""
    stays = ~torch.isin(images.index.cpu(), gone)
    return images.take(stays)
