"""Prototype attack: do five images of the forgotten class bring it back?

The head in its cosine form: rows and features of length 1, no biases. The row of the forgotten
class becomes a mixture with the mean feature of five of its images, the prototype:

    w_c <- (1 - a) w_c + a prototype,   a = 0.5

Source: arXiv:2506.01318.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learning.features import before_head, head_of
from learning.images import batches
from metrics import CPU_BATCH_SIZE, accuracy
from splits import Split

IMAGES = 5  # that the attacker has, drawn from D_f
MIXTURE = 0.5  # a


def prototype_attack(model: nn.Module, split: Split) -> dict[str, float]:
    """Accuracies in percent, all by the cosine form.

    forget_before, forget: on test images of D_f, before and after; retain: on those of D_r, after.
    """
    assert split.forget_class is not None
    drawn = torch.randperm(len(split.forget))[:IMAGES]
    prototype = _directions(model, split.forget.take(drawn)).mean(0)
    rows = F.normalize(head_of(model).weight.detach().float())  # [C, D]
    mended = with_prototype(rows, split.forget_class, prototype)
    forget = _directions(model, split.forget_test)
    retain = _directions(model, split.retain_test)
    labels = split.forget_test.labels.to(forget.device)
    return {
        "forget_before": accuracy(forget @ rows.T, labels),
        "forget": accuracy(forget @ mended.T, labels),
        "retain": accuracy(retain @ mended.T, split.retain_test.labels.to(retain.device)),
    }


def with_prototype(rows: Tensor, label: int, prototype: Tensor) -> Tensor:
    """The rows [C, D] with the label's mixed with the prototype's direction, and of length 1."""
    mixture = (1 - MIXTURE) * rows[label] + MIXTURE * F.normalize(prototype, dim=0)
    mended = rows.clone()
    mended[label] = F.normalize(mixture, dim=0)
    return mended


def _directions(model, images):
    """The features [N, D] of images, each of length 1."""
    return F.normalize(before_head(model, batches(images, model, CPU_BATCH_SIZE)).float())
