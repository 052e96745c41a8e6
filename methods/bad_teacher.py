"""Bad teacher ("blindspot" in the released scripts). Chundawat et al., AAAI 2023, arXiv:2205.08096.

    loss = mean over the batch of KL( teacher(x) || student(x) )        temperature 1, no labels

teacher: on D_r the original model, on D_f one that has learned nothing. All defaults are the released SSD scripts'.

Differs 1: The released code divides the loss by the number of classes too. Adam hardly notices.
Differs 2: Under `-protocol released` the untrained ViT has ImageNet's backbone, and ZRF takes the
untrained network in eval mode. (For all other methods the released ZRF takes it in train mode.)
"""

import torch
import torch.nn.functional as F

from common.errors import UserError
from learning.images import batches, joined
from learning.training import ADAM, adam, fit
from methods._method import Method
from metrics import logits_of
from models import ViT


def defaults(model, split, batch_size=None, chosen=None):
    """The batch size that belongs to this network; the task's and `chosen` do not matter."""
    return {"batch_size": 128 if isinstance(model, ViT) else 256}


def check(model, split, *, retain_share, **_):
    """UserError where the settings cannot be."""
    if retain_share > 1:
        raise UserError(f"retain_share={retain_share:g}: a share is at most 1")


def scoring(protocol):
    """What metrics.score takes for this method besides what it takes for all."""
    return {"untrained_in_train_mode": False} if protocol.bad_teacher_zrf_in_eval_mode else {}


def unlearn(
    model,
    split,
    *,
    untrained,
    epochs=1,
    lr=1e-4,
    retain_share=0.3,
    batch_size: int | None = None,
):
    """Teach the model all of D_f and a random share of D_r, in shuffled batches, in place.

    untrained: the incompetent teacher; ZRF is measured against the same network, as in the paper.
    batch_size: None takes what `defaults` says.
    """
    if batch_size is None:
        batch_size = defaults(model, split)["batch_size"]
    check(model, split, retain_share=retain_share)
    retain = split.retain.take(
        torch.randperm(len(split.retain))[: int(retain_share * len(split.retain))]
    )
    taught = [logits_of(model, retain, "D_r")] if len(retain) else []
    goals = torch.cat([*taught, logits_of(untrained, split.forget, "D_f")]).log_softmax(1)

    def loss(student, x, y, index):
        return F.kl_div(
            student(x).log_softmax(1), goals[index], log_target=True, reduction="batchmean"
        )

    data = batches(joined(retain, split.forget), model, batch_size, shuffle=True)
    return fit(model, data, adam(model, lr), epochs, loss=loss, what="bad teacher")


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
