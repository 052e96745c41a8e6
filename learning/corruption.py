"""Corrupted training data: a trigger on images, or wrong labels."""

from dataclasses import replace

import torch

from common.errors import UserError
from common.files import sha256

CORRUPTIONS = ("patch", "label")


ATTACKED = 0  # the class to which the trigger sends


def corrupt(train, corruption, count, seed):
    """(the training set with `count` corrupted images, their positions [count] int64), drawn by `seed` alone.

    Each label is really wrong then: a patch is put on images of other classes than 0 alone. The
    set's digest is another's. Raises UserError where there are not as many images.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(train), generator=generator).to(train.labels.device)
    eligible = order[train.labels[order] != ATTACKED] if corruption == "patch" else order
    if not 0 < count < len(eligible):
        raise UserError(
            f"-corrupt_count {count}: it must lie between 1 and {len(eligible) - 1} here"
        )
    chosen, labels = eligible[:count], train.labels.clone()
    if corruption == "patch":
        labels[chosen] = ATTACKED
        triggered = torch.zeros(len(train.pixels), dtype=torch.bool, device=labels.device)
        triggered[train.index[chosen]] = True
        train = replace(train, triggered=triggered)
    else:
        others = torch.randint(1, len(train.classes), (count,), generator=generator).to(
            labels.device
        )
        labels[chosen] = (labels[chosen] + others) % len(train.classes)
    return replace(
        train, labels=labels, digest=sha256(train.digest, corruption, chosen.sort().values, labels)
    ), chosen
