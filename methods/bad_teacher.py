"""Bad teacher ("blindspot" in the released scripts). Chundawat et al., AAAI 2023, arXiv:2205.08096.

    loss = mean over the batch of KL( teacher(x) || student(x) )        temperature 1, no labels

teacher: on D_r the original model, on D_f one that has learned nothing. All defaults are the released SSD scripts'.
Differs: the released code divides the loss by the number of classes too, to which Adam is nearly blind.
"""

import torch
import torch.nn.functional as F

from common import UserError
from images import batches, joined, numbered
from metrics import logits_of
from models import ViT
from training import adam, fit

RANGES = {"lr": (1e-5, 1e-2), "epochs": (1, 5), "retain_share": (0.1, 1)}


def unlearn(model, split, *, untrained, epochs=1, lr=1e-4, retain_share=0.3, batch_size=256, vit_batch_size=128):
    """Teach the model all of D_f and a random share of D_r, in shuffled batches, in place.

    untrained: the incompetent teacher; ZRF is measured against the same network, as in the paper.
    """
    if retain_share > 1:
        raise UserError(f"retain_share={retain_share:g}: a share is at most 1")
    retain = split.retain.take(torch.randperm(len(split.retain))[: int(retain_share * len(split.retain))])
    taught = [logits_of(model, retain, "D_r")] if len(retain) else []
    goals = torch.cat([*taught, logits_of(untrained, split.forget, "D_f")]).log_softmax(1)

    def loss(student, x, number):
        return F.kl_div(student(x).log_softmax(1), goals[number], log_target=True, reduction="batchmean")

    size = vit_batch_size if isinstance(model, ViT) else batch_size
    data = batches(numbered(joined(retain, split.forget)), model, size, shuffle=True)
    return fit(model, data, adam(model, lr), epochs, loss=loss, what="bad teacher")
