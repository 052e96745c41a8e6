"""Identical images: real data sets hold some, within a part and in both.

A test image that was trained on makes a test score too good. A forgotten image with a copy among
the retained ones cannot be forgotten. A warning counts both; -duplicates decides what is done.
"""

import warnings
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from common.errors import UserError
from common.files import sha256, write_whole
from learning.images import ImageSet

HANDLING = ("keep", "drop_test", "drop_train", "refuse")


def handled(
    train: ImageSet, test: ImageSet, handling: str, listing: Path
) -> tuple[ImageSet, ImageSet]:
    """The training set and the test set after `handling`, one of HANDLING, of images in both.

    keep: both stay. drop_test: they leave the test set. drop_train: they leave the training set.
    refuse: UserError. Where there are identical images a warning counts them, and the file
    `listing` names them all. Raises UserError too where most test images are training images.
    """
    in_train = _is_among(test, train)  # bool, for each test image
    in_test = _is_among(train, test)  # bool, for each training image
    if float(in_train.double().mean()) > 0.5:
        raise UserError(
            f"{int(in_train.sum())} of {len(test)} test images are training images too; a test "
            "image must not be in the training set: put others into the test folder"
        )
    groups = _groups(train, test)
    if not groups:
        return train, test
    count = _in_words(counts(train, test))
    place = _write_listing(listing, train, test, groups)
    summary = f"{train.name}: {count}, listed in {place}"
    if handling == "refuse" and in_train.any():
        raise UserError(
            f"{summary}; remove them, or take -duplicates keep, drop_test or drop_train"
        )
    if handling == "drop_test":
        test = _without(test, in_train)
    elif handling == "drop_train":
        train = _without(train, in_test)
    warnings.warn(f"{summary}; {_outcome(handling, train, test)}", stacklevel=2)
    return train, test


def counts(train: ImageSet, test: ImageSet) -> dict[str, int]:
    """How many identical images there are in two sets.

    groups: sets of two or more identical images. differing_labels: groups whose labels differ (the
    fine ones, where there are any). test_in_training: test images that are training images too.
    dropped: images that -duplicates has taken out of either part.
    """
    identity = torch.cat([_identity(train), _identity(test)])
    labels = torch.cat([train.fine_labels, test.fine_labels]).cpu()
    _, copies = identity.unique(return_counts=True)
    pairs = torch.stack([identity, labels], 1).unique(dim=0)
    _, labels_of_image = pairs[:, 0].unique(return_counts=True)
    return {
        "groups": int((copies > 1).sum()),
        "differing_labels": int((labels_of_image > 1).sum()),
        "test_in_training": int(_is_among(test, train).sum()),
        "dropped": train.dropped + test.dropped,
    }


def copies_among(forget: ImageSet, retain: ImageSet) -> int:
    """How many images of `forget` have an identical copy in `retain`."""
    return int(_is_among(forget, retain).sum())


def _is_among(images: ImageSet, others: ImageSet) -> Tensor:
    """Of each of N images whether an identical one is in another set, [N] bool."""
    return torch.isin(_identity(images), _identity(others))


def _identity(images):
    return images.identity[images.index.cpu()]


def _without(images, is_dropped):
    """A set less the images where [N] bool says so; its digest is another."""
    positions = torch.where(is_dropped)[0]
    return replace(
        images.take(~is_dropped),
        digest=sha256(images.digest, "without", positions),
        dropped=len(positions),
    )


# ---- in words ----


def _in_words(counts):
    groups = _number(counts["groups"], "group")
    differing = counts["differing_labels"]
    shared = _number(counts["test_in_training"], "test image")
    return (
        f"{groups} of identical images, {differing} of them with different labels; "
        f"{shared} also in the training set"
    )


def _number(count, noun):
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _outcome(handling, train, test):
    """What was done about images in both parts."""
    if handling == "drop_test":
        return f"omitted: {_number(test.dropped, 'test image')}"
    if handling == "drop_train":
        return f"omitted: {_number(train.dropped, 'training image')}"
    if handling == "refuse":
        return "no image is in both parts"
    return "all are kept (-duplicates drop_test or drop_train takes those in both parts out of one)"


# ---- the listing ----


def _groups(train, test):
    """[[(part, position in it), ...], ...]: the images of each group of identical ones."""
    identity = torch.cat([_identity(train), _identity(test)])
    _, group_of, sizes = identity.unique(return_inverse=True, return_counts=True)
    is_repeated = (sizes > 1)[group_of]
    groups = {}
    for place in torch.where(is_repeated)[0].tolist():
        if place < len(train):
            member = ("train", place)
        else:
            member = ("test", place - len(train))
        groups.setdefault(int(group_of[place]), []).append(member)
    return list(groups.values())


def _write_listing(path, train, test, groups):
    """Write all groups into a file, a line an image; returns its name, or why there is none."""
    parts = {"train": train, "test": test}
    lines = ["# groups of identical images: part, position in it, class, file where there is one"]
    for group in groups:
        lines.append("")
        for part, position in group:
            lines.append(_line(part, parts[part], position))
    text = "\n".join(lines) + "\n"
    try:
        if not path.exists() or path.read_text() != text:
            write_whole(path, text.encode())
    except (UserError, OSError, ValueError) as error:
        return f"no file ({error})"
    return str(path)


def _line(part, images, position):
    class_name = images.fine_classes[int(images.fine_labels[position])]
    file = images.files[int(images.index[position])] if images.files else ""
    return f"{part}\t{position}\t{class_name}\t{file}".rstrip()
