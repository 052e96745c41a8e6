"""How well a score tells positives from negatives."""

import torch
from torch import Tensor

LEAST_NEGATIVES = 1000  # for a rate of 1 %: ten of them lie above the threshold


def auc(positives: Tensor, negatives: Tensor) -> Tensor:
    """The share of (positive, negative) pairs in which the positive scores higher; ties count half.

    positives [P, ...], negatives [Q, ...]: scores, higher for a positive. Returns [...] float64.
    """
    positives, negatives = positives.double(), negatives.double()
    count = len(positives)
    ordered = torch.cat([positives, negatives]).movedim(0, -1).contiguous()  # [..., P + Q]
    values = ordered.sort(-1).values
    # The rank of a score; that of equal scores is the mean of theirs.
    first = torch.searchsorted(values, ordered, side="left")
    after_last = torch.searchsorted(values, ordered, side="right")
    ranks = (first + after_last + 1).double() / 2
    smallest_sum = count * (count + 1) / 2
    pairs_won = ranks[..., :count].sum(-1) - smallest_sum
    return pairs_won / (count * len(negatives))


def tpr_at_fpr(positives: Tensor, negatives: Tensor, fpr: float = 0.01) -> float | None:
    """The share of positives [P] above the threshold that a share `fpr` of negatives [Q] exceeds.

    Among tied scores none counts as above. None where there are too few negatives for that rate.
    """
    if len(negatives) * fpr < LEAST_NEGATIVES * 0.01:
        return None
    allowed = int(len(negatives) * fpr)  # so many negatives may lie above the threshold
    threshold = negatives.double().sort(descending=True).values[allowed]
    return float((positives.double() > threshold).double().mean())
