"""What is to be forgotten: a data set parted into what stays and what goes."""

import difflib
import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

from common.errors import UserError
from common.files import sha256
from learning.corruption import ATTACKED, corrupt
from learning.images import ImageSet, random_order
from learning.protocol import PAPER

SPELLINGS = {
    "vehicle2": "vehicles_2",
    "veg": "fruit_and_vegetables",
    "natural_scenes": "large_natural_outdoor_scenes",
    "electrical_devices": "household_electrical_devices",
}  # the released scripts' names


# ---- what is to be forgotten ----


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


def split_class(train, test, forget_class, *, protocol=PAPER):
    """Forget one class (its name or number)."""
    label = class_number(forget_class, train.classes)
    return _split_by_label(train, test, "labels", label, label, protocol)


def split_sub_class(train, test, forget_class, *, protocol=PAPER):
    """Forget one fine class (its name or number) of a set that has coarse labels too."""
    check_sub_classes(train.name, train.classes, train.fine_classes)
    fine = class_number(forget_class, train.fine_classes)
    label = int(train.labels[train.fine_labels == fine][0])
    return _split_by_label(train, test, "fine_labels", fine, label, protocol)


def check_sub_classes(name, classes, fine_classes):
    """UserError where a data set has no finer classes than its classes."""
    if list(fine_classes) == list(classes):
        raise UserError(
            f"{name} has no sub-classes; take DigitShapes or Cifar20, or forget_full_class_main.py"
        )


def _split_by_label(train, test, kind, forgotten, forget_class, protocol):
    labels, test_labels = getattr(train, kind), getattr(test, kind)
    order, test_order = torch.argsort(labels, stable=True), torch.argsort(test_labels, stable=True)
    goes, test_goes = labels[order] == forgotten, test_labels[test_order] == forgotten
    if goes.all():
        raise UserError(
            "the forget set is the whole training set; a set of one class cannot forget it"
        )
    if not test_goes.any():
        raise UserError(
            "the test set holds no image of what is to be forgotten; add some, so that D_f can be measured"
        )
    retain, forget = order[~goes], order[goes]
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
        forget_class=forget_class,
        forgets_whole_class=kind == "labels",
    )


def split_random(train, test, forget_perc, seed, *, protocol=PAPER):
    """Forget a share of the training images, drawn by `seed` alone: ceil(share * N) of them (0.00165 of 50,000: 83)."""
    count = math.ceil(forget_perc * len(train) - 1e-9) if 0 < forget_perc < 1 else 0
    if not 0 < count < len(train):
        raise UserError(
            f"-forget_perc {forget_perc} of {len(train)} images is none or all of them; name a share between 0 and 1"
        )
    drawn = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    forget, retain = drawn[:count], drawn[count:]
    full = (
        torch.cat([retain, forget])
        if protocol.full_set_ends_with_forget_set
        else random_order(len(train))
    )
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


def after_forgetting(split, forgotten):
    """The split as a network meets it that has forgotten before: what is gone is in no part of it any more.

    forgotten: [{"images": positions in the pixels, "labels": "labels", "fine_labels" or None,
    "label": int}, ...], oldest first, as a saved network's metadata have it. Test images of a class
    that is gone as a whole are no longer among those that are kept. UserError where nothing is left
    to forget.
    """
    if not forgotten:
        return split
    gone = torch.cat([torch.tensor(entry["images"], dtype=torch.int64) for entry in forgotten])
    forget = _without(split.forget, gone)
    if not len(forget):
        raise UserError(
            "this network has forgotten all of that before; name something else to forget, or another -weight_path"
        )
    full = _without(split.full, gone)
    digest = sha256(split.full.digest, "without", gone.sort().values)
    retain_test = split.retain_test
    for entry in forgotten:
        if entry["labels"] is not None:
            labels = getattr(retain_test, entry["labels"])
            retain_test = retain_test.take(labels != entry["label"])
    return replace(
        split,
        full=replace(full, digest=digest),
        retain=_without(split.retain, gone),
        forget=forget,
        retain_test=retain_test,
        forget_test=forget if split.forget_test_from == "forget" else split.forget_test,
    )


def _without(images, gone):
    stays = ~torch.isin(images.index.cpu(), gone)
    return images.take(stays)


def class_number(asked, names):
    """The label of a class given by its name, by a released spelling of it, or where no name is one, by its number."""
    asked = str(asked)
    for name in (asked, SPELLINGS.get(asked)):
        if name in names:
            return names.index(name)
    numbered = any(name.isdecimal() for name in names)  # then a number that is no name is a slip
    if asked.isascii() and asked.isdecimal() and int(asked) < len(names) and not numbered:
        return int(asked)
    near = difflib.get_close_matches(asked, names, n=5, cutoff=0.4) or list(names)[:10]
    numbers = "" if numbered else f" (or a number, 0 to {len(names) - 1})"
    raise UserError(f"there is no class {asked!r}; nearest names: {', '.join(near)}{numbers}")


def split_corrupted(train, test, corruption, count, known_share, *, train_seed, seed):
    """D is the contaminated set, D_f the part of the corruption that is known (drawn by `seed`), D_r all the rest.

    train, test: the clean sets. forget_test bears true labels. patch: the test images of other
    classes than 0 with the trigger on them; label: all corrupted training images.
    """
    contaminated, wrong = corrupt(train, corruption, count, train_seed)
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    known = wrong[drawn[: max(1, math.ceil(known_share * count - 1e-9))]]
    rest = torch.ones(len(train), dtype=torch.bool, device=known.device)
    rest[known] = False
    order = random_order(len(train)).to(known.device)
    if corruption == "patch":
        healed = test.take(test.labels != ATTACKED)
        healed = replace(
            healed,
            triggered=torch.ones(len(test.pixels), dtype=torch.bool, device=test.labels.device),
            digest=sha256(test.digest, "trigger"),
        )
    else:
        healed = replace(contaminated.take(wrong), labels=train.labels[wrong])
    return Split(
        full=contaminated.take(order),
        retain=contaminated.take(order[rest[order]]),
        forget=contaminated.take(known),
        retain_test=test,
        forget_test=healed,
        forget_test_from="triggered" if corruption == "patch" else "train",
        train=contaminated,
        test=test,
        num_classes=len(train.classes),
        forget_class=None,
        forgets_whole_class=False,
        attacked_class=ATTACKED if corruption == "patch" else None,
    )
