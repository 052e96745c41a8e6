"""The margin of an answer: how much surer a network is of the label than of all other classes."""

import torch
from torch import Tensor


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """phi = log p_y - log(1 - p_y) = z_y - logsumexp of the other logits; [..., M] float64, nats.

    logits [..., M, C]; labels [M] int64. Also called the logit-scaled confidence. It is taken from
    the logits, so that nothing has to be clipped where p_y is near 0 or 1.
    """
    logits = logits.double()
    columns = labels.expand(logits.shape[:-1]).unsqueeze(-1)  # [..., M, 1]
    of_label = logits.gather(-1, columns).squeeze(-1)
    of_others = logits.scatter(-1, columns, -torch.inf).logsumexp(-1)
    return of_label - of_others
