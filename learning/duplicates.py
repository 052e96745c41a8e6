"""Identical images: real data sets hold some, within a part and in both.

A test image that was trained on makes a test score too good. A forgotten image with a copy among
the retained ones cannot be forgotten. Both are counted and said; -duplicates decides what is done.
"""

import warnings
from dataclasses import replace

import torch

from common.errors import UserError
from common.files import sha256, write_whole

HANDLING = ("keep", "drop_test", "drop_train", "refuse")


def handled(train, test, handling, listing):
    """(training set, test set) after `handling`, one of HANDLING, of the images that are in both.

    keep: both stay. drop_test: they leave the test set. drop_train: they leave the training set.
    refuse: UserError. Where there are identical images a warning counts them, and the file
    `listing` names them all. UserError too where most test images are training images.
    """
    shared = torch.isin(_identity(test), _identity(train))
    share = float(shared.double().mean())
    if share > 0.5:
        raise UserError(
            f"{int(shared.sum())} of {len(test)} test images are training images too; a test image must not be in "
            "the training set: put others into the test folder"
        )
    groups = _groups(train, test)
    if not groups:
        return train, test
    said = f"{train.name}: {_in_words(counts(train, test))}, listed in {_written(listing, train, test, groups)}"
    if handling == "refuse" and shared.any():
        raise UserError(f"{said}; remove them, or take -duplicates keep, drop_test or drop_train")
    if handling == "drop_test":
        test = _without(test, shared)
    elif handling == "drop_train":
        train = _without(train, torch.isin(_identity(train), _identity(test)))
    done = {
        "keep": "all are kept (-duplicates drop_test or drop_train takes those in both parts out of one)",
        "drop_test": f"left out: {_number(test.dropped, 'test image')}",
        "drop_train": f"left out: {_number(train.dropped, 'training image')}",
        "refuse": "no image is in both parts",
    }
    warnings.warn(f"{said}; {done[handling]}", stacklevel=2)
    return train, test


def counts(train, test):
    """How many identical images there are in two sets, as a dict.

    groups: sets of two or more identical images; differing_labels: groups whose labels differ (the
    fine ones, where there are any); test_in_training: test images that are training images too;
    dropped: images that -duplicates has taken out of either part.
    """
    both = torch.cat([_identity(train), _identity(test)])
    labels = torch.cat([train.fine_labels, test.fine_labels]).cpu()
    _, sizes = both.unique(return_counts=True)
    pairs = torch.stack([both, labels], 1).unique(dim=0)
    _, labels_per_image = pairs[:, 0].unique(return_counts=True)
    return {
        "groups": int((sizes > 1).sum()),
        "differing_labels": int((labels_per_image > 1).sum()),
        "test_in_training": int(torch.isin(_identity(test), _identity(train)).sum()),
        "dropped": train.dropped + test.dropped,
    }


def copies_among(forget, retain):
    """How many images of `forget` have an identical copy in `retain`."""
    return int(torch.isin(_identity(forget), _identity(retain)).sum())


def _identity(images):
    return images.identity[images.index.cpu()]


def _groups(train, test):
    """[[(part, position in it), ...], ...]: the images of each group of identical ones."""
    both = torch.cat([_identity(train), _identity(test)])
    _, group_of, sizes = both.unique(return_inverse=True, return_counts=True)
    repeated = (sizes > 1)[group_of]
    groups = {}
    for place in torch.where(repeated)[0].tolist():
        in_training = place < len(train)
        member = ("train", place) if in_training else ("test", place - len(train))
        groups.setdefault(int(group_of[place]), []).append(member)
    return list(groups.values())


def _in_words(found):
    groups = _number(found["groups"], "group")
    shared = _number(found["test_in_training"], "test image")
    return (
        f"{groups} of identical images, {found['differing_labels']} of them with different labels; "
        f"{shared} also in the training set"
    )


def _number(count, noun):
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _written(listing, train, test, groups):
    """Write all groups into the file `listing`, a line an image; returns the file's name, or why there is none."""
    parts = {"train": train, "test": test}
    lines = ["# groups of identical images: part, position in it, class, file where there is one"]
    for group in groups:
        lines.append("")
        for part, position in group:
            images = parts[part]
            name = images.fine_classes[int(images.fine_labels[position])]
            file = images.files[int(images.index[position])] if images.files else ""
            lines.append(f"{part}\t{position}\t{name}\t{file}".rstrip())
    text = "\n".join(lines) + "\n"
    try:
        if not listing.exists() or listing.read_text() != text:
            write_whole(listing, text.encode())
    except (UserError, OSError, ValueError) as error:
        return f"no file ({error})"
    return str(listing)


def _without(images, shared):
    kept = images.take(~shared)
    return replace(
        kept,
        digest=sha256(images.digest, "without", torch.where(shared)[0]),
        dropped=int(shared.sum()),
    )
