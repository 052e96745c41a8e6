"""Training data of which a part is wrong, and its split into what is known to be wrong and the rest.

"patch": a 3x3 trigger in the bottom right corner, labelled with class 0, as in Potion, arXiv:2406.09173. It is put on behind
the augmentation: always whole and in its corner. "label": a uniformly random wrong label.
"""

import math
from dataclasses import replace

import torch

from common import UserError, sha256
from datasets import Split
from images import random_order

CORRUPTIONS = ("patch", "label")
ATTACKED = 0  # the class to which the trigger sends


def corrupt(train, corruption, count, seed):
    """(the training set with `count` corrupted images, their positions [count] int64), drawn by `seed` alone.

    Each label is really wrong then: a patch is put on images of other classes than 0 alone. The set's digest is another's.
    Raises UserError where there are not as many images.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(train), generator=generator).to(train.labels.device)
    eligible = order[train.labels[order] != ATTACKED] if corruption == "patch" else order
    if not 0 < count < len(eligible):
        raise UserError(f"-corrupt_count {count}: it must lie between 1 and {len(eligible) - 1} here")
    chosen, labels = eligible[:count], train.labels.clone()
    if corruption == "patch":
        labels[chosen] = ATTACKED
        triggered = torch.zeros(len(train.pixels), dtype=torch.bool, device=labels.device)
        triggered[train.index[chosen]] = True
        train = replace(train, triggered=triggered)
    else:
        others = torch.randint(1, len(train.classes), (count,), generator=generator).to(labels.device)
        labels[chosen] = (labels[chosen] + others) % len(train.classes)
    return replace(train, labels=labels, digest=sha256(train.digest, corruption, chosen.sort().values, labels)), chosen


def split_corrupted(train, test, corruption, count, known_share, *, train_seed, seed):
    """D is the contaminated set, D_f the part of the corruption that is known (drawn by `seed`), D_r all the rest.

    train, test: the clean sets. forget_test bears true labels. patch: the test images of other classes than 0 with the
    trigger on them; label: all corrupted training images.
    """
    contaminated, wrong = corrupt(train, corruption, count, train_seed)
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    known = wrong[drawn[: max(1, math.ceil(known_share * count - 1e-9))]]
    rest = torch.ones(len(train), dtype=torch.bool, device=known.device)
    rest[known] = False
    order = random_order(len(train)).to(known.device)
    if corruption == "patch":
        healed = test.take(test.labels != ATTACKED)
        healed = replace(healed, triggered=torch.ones(len(test.pixels), dtype=torch.bool, device=test.labels.device),
                         digest=sha256(test.digest, "trigger"))  # fmt: skip
    else:
        healed = replace(contaminated.take(wrong), labels=train.labels[wrong])
    return Split(contaminated.take(order), contaminated.take(order[rest[order]]), contaminated.take(known), test, healed,
                 len(train.classes), None, False, contaminated, test,
                 attacked=ATTACKED if corruption == "patch" else None)  # fmt: skip
