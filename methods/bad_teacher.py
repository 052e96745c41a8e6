"""Bad teacher ("blindspot" in the released scripts).

Chundawat, Tarun, Mandal, Kankanhalli: Can Bad Teaching Induce Forgetting? AAAI 2023,
arXiv:2205.08096.

    minimise mean over the batch of KL( teacher(x) || student(x) )        temperature 1, no labels

The teacher is on D_r the original network, on D_f one that has learned nothing. Defaults: the
released SSD scripts'.

Differs 1: The released code divides the loss by the number of classes too. Adam hardly notices.
Differs 2: Under `-protocol released` the untrained ViT has ImageNet's backbone, and ZRF takes the
untrained network in eval mode. (For all other methods the released ZRF takes it in train mode.)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import UserError
from learning.images import ImageSet, batches, joined
from learning.protocol import Protocol
from learning.training import ADAM, adam, fit
from methods._method import Method
from metrics import logits_of
from models import ViT
from splits import Split


def defaults(
    model: nn.Module, split: Split, batch_size: int | None = None, chosen: dict | None = None
) -> dict:
    """The batch size that belongs to this network, whatever the task's."""
    return {"batch_size": 128 if isinstance(model, ViT) else 256}


def check(model: nn.Module, split: Split, *, retain_share: float, **_: object) -> None:
    """UserError where the settings cannot be."""
    if retain_share > 1:
        raise UserError(f"retain_share={retain_share:g}: a share is at most 1")


def scoring(protocol: Protocol) -> dict:
    """What metrics.score takes for this method besides what it takes for all."""
    if protocol.bad_teacher_zrf_in_eval_mode:
        return {"untrained_in_train_mode": False}
    return {}


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    untrained: nn.Module,
    epochs: int = 1,
    lr: float = 1e-4,
    retain_share: float = 0.3,
    batch_size: int | None = None,
) -> nn.Module:
    """Teach the model all of D_f and a random share of D_r, in shuffled batches, in place.

    untrained: the incompetent teacher; ZRF is measured against the same network, as in the paper.
    batch_size: None takes what `defaults` says.
    """
    if batch_size is None:
        batch_size = defaults(model, split)["batch_size"]
    check(model, split, retain_share=retain_share)

    count = int(retain_share * len(split.retain))
    chosen = torch.randperm(len(split.retain))[:count]
    retain = split.retain.take(chosen)
    goals = lessons(model, untrained, retain, split.forget)

    def loss(student, x, y, index):
        log_q = student(x).log_softmax(1)  # [B, C]
        return F.kl_div(log_q, goals[index], log_target=True, reduction="batchmean")

    data = batches(joined(retain, split.forget), model, batch_size, shuffle=True)
    return fit(model, data, adam(model, lr), epochs, loss=loss, title="bad teacher")


def lessons(
    competent: nn.Module, incompetent: nn.Module, retain: ImageSet, forget: ImageSet
) -> Tensor:
    """The teachers' log-probabilities [N, C] of the images to keep, then of those to forget."""
    forget_logits = logits_of(incompetent, forget, "D_f")
    if len(retain) == 0:
        return forget_logits.log_softmax(1)
    retain_logits = logits_of(competent, retain, "D_r")
    return torch.cat([retain_logits, forget_logits]).log_softmax(1)


METHOD = Method(
    unlearn,
    family="other",
    heals=True,
    optimizer=ADAM,
    ranges={"lr": (1e-5, 1e-2), "epochs": (1, 5), "retain_share": (0.1, 1)},
    aliases=("blindspot",),
    defaults=defaults,
    check=check,
    scoring=scoring,
)
