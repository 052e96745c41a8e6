"""Bad teacher ("blindspot" in the released scripts). Chundawat et al., AAAI 2023, arXiv:2205.08096.

    loss = mean over the batch of KL( teacher(x) || student(x) )        temperature 1, no labels

teacher: on D_r the original model, on D_f one that has learned nothing. All defaults are the released SSD scripts'.
Differs: the released code divides the loss by the number of classes too, to which Adam is nearly blind.
"""

import copy
from dataclasses import replace

import torch
import torch.nn.functional as F

from common import UserError
from images import batches, joined
from models import ViT
from training import adam, fit

RANGES = {"lr": (1e-5, 1e-2), "epochs": (1, 5), "retain_share": (0.1, 1)}


def unlearn(model, split, *, untrained, epochs=1, lr=1e-4, retain_share=0.3, batch_size=256, vit_batch_size=128):
    """Teach the model all of D_f and a random share of D_r, in shuffled batches, in place.

    untrained: the incompetent teacher; ZRF is measured against the same network, as in the paper.
    """
    if retain_share > 1:
        raise UserError(f"retain_share={retain_share:g}: a share is at most 1")
    original = copy.deepcopy(model).eval()
    untrained.eval()
    retain = split.retain.take(torch.randperm(len(split.retain))[: int(retain_share * len(split.retain))])
    marked = [replace(part, labels=torch.full_like(part.labels, mark)) for part, mark in ((retain, 0), (split.forget, 1))]
    size = vit_batch_size if isinstance(model, ViT) else batch_size
    data = batches(joined(*marked), model, size, shuffle=True)

    def loss(student, x, is_forgotten):
        with torch.no_grad():
            goal = torch.where(is_forgotten[:, None] == 1, untrained(x), original(x)).log_softmax(1)
        return F.kl_div(student(x).log_softmax(1), goal, log_target=True, reduction="batchmean")

    return fit(model, data, adam(model, lr), epochs, loss=loss, what="bad teacher")
