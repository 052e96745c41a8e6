"""NegGrad+: descend on D_r and ascend on D_f at once.

Kurmanji, Triantafillou, Hayes, Triantafillou: Towards Unbounded Machine Unlearning (there a
baseline). NeurIPS 2023, arXiv:2302.09880.

    minimise b CE(D_r) - (1 - b) CE(D_f),   b close to 1          a batch of each part in every step

An epoch is a pass over D_r; D_f's shuffled batches begin anew whenever they end. Defaults: the
optimiser of `finetune`; b, rate and epochs are ours, found on validation images (docs/methods.md).

Differs 1: The optimiser has momentum 0.9 and weight decay 5e-4. The authors' notebook has neither.
Differs 2: b is 0.915, the rate 0.003, and there are 3 epochs. The authors' notebook has b 0.9999,
rate 0.01 and 5 epochs.
"""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import UserError
from learning.images import Batches, batches
from learning.training import SGD, check_trainable, fit, sgd
from methods._method import Method
from splits import Split


def check(
    model: nn.Module, split: Split, *, batch_size: int, retain_weight: float, **_: object
) -> None:
    """UserError where the settings cannot be, or BatchNorm cannot train on a D_f of one image."""
    if retain_weight > 1:
        raise UserError(f"retain_weight={retain_weight:g}: it lies between 0 and 1, close to 1")
    check_trainable(model, batches(split.forget, model, batch_size, shuffle=True))


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    batch_size: int,
    epochs: int = 3,
    lr: float = 0.003,
    retain_weight: float = 0.915,
) -> nn.Module:
    """Train un-augmented, in place. retain_weight: b."""
    check(model, split, batch_size=batch_size, retain_weight=retain_weight)
    retain = batches(split.retain, model, batch_size, shuffle=True)
    forget = endless(batches(split.forget, model, batch_size, shuffle=True))

    def loss(model, x, y, index):
        forget_x, forget_y, _ = next(forget)
        ascent = F.cross_entropy(model(forget_x), forget_y)
        descent = F.cross_entropy(model(x), y)
        return retain_weight * descent - (1 - retain_weight) * ascent

    return fit(model, retain, sgd(model, lr), epochs, loss=loss, title="NegGrad+")


def endless(batches: Batches) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The batches over and over, shuffled anew each time."""
    while True:
        yield from batches


METHOD = Method(
    unlearn,
    family="other",
    optimizer=SGD,
    ranges={"lr": (1e-4, 5e-2), "epochs": (1, 10), "retain_weight": (0.8, 0.9999)},
    check=check,
)
