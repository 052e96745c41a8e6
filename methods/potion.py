"""Potion: heal a network of poison of which a part alone is known. Schoepf, Foster, Brintrup, DMLR, arXiv:2406.09173.

    I_S    = mean over batches of |gradient of the batch's mean ||f(x)||_2|           the norm is not squared ("XLF")
    alpha  = p-th percentile of I_Sf / I_R,   p = 100 - ln(1 + 100 s |S_f| / N),   lambda = 1
    search   s = 1/25; dampen the original; stop where acc(S_f) <= rho * the original's acc(S_f), else s <- 1.1 s   ("PTN")

S_f (here D_f): the known part, with the labels that the poison gave it; R (D_r): all other training images, undiscovered
poison among them; N = |D|. At most 500 steps; rho = 0.2. All defaults are the authors'.

Differs 1: Images are read un-augmented, in batches of the task's size. The authors' code reads
augmented ones in batches of 512.
Differs 2: The trigger is put on images of other classes than 0. The authors put it on images of
class 0 too.
Differs 3: rho is 0.2. The authors' code tries several values of rho.
"""

import copy
import warnings

from common.console import progress
from common.errors import UserError
from learning.images import batches
from learning.training import predict
from methods._dampening import dampened, importance
from methods._method import Method
from ssd import adaptive_alpha, sorted_ratios


def check(model, split, *, strength, growth, rho, **_):
    """UserError where the settings cannot be."""
    if not (growth > 1 and strength > 0 and rho < 1):
        raise UserError(
            "potion: it must be that growth > 1, strength > 0 and rho < 1, or the search goes nowhere"
        )


def unlearn(
    model,
    split,
    *,
    batch_size,
    strength=1 / 25,
    growth=1.1,
    rho=0.2,
    steps=500,
    measure="xlf",
    per_sample=False,
    notes=None,
):
    """Dampen further and further, always the original, until D_f's labels are forgotten; in place.

    Both importances are computed once and their ratios sorted once. notes: as Adaptive SSD's, and "search": how many
    networks were tried and at which strength s it ended.
    """
    check(model, split, strength=strength, growth=growth, rho=rho)
    how = {"batch_size": batch_size, "measure": measure, "per_sample": per_sample}
    rest, known = (
        importance(model, split.retain, "I_R", **how),
        importance(model, split.forget, "I_Sf", **how),
    )
    ratios, original = sorted_ratios(rest, known), copy.deepcopy(model.state_dict())

    def known_right():
        logits = predict(model, batches(split.forget, model, batch_size))
        return int((logits.argmax(1) == split.forget.labels.to(logits.device)).sum())

    goal, found = rho * known_right(), notes if notes is not None else {}
    for step in progress(range(1, steps + 1), "Potion"):
        model.load_state_dict(original)
        found["adaptive_alpha"] = adaptive_alpha(
            ratios, len(split.forget) / len(split.full), strength
        )
        dampened(model, rest, known, found["adaptive_alpha"], 1, found)
        found["search"] = {"steps": step, "strength": strength}
        if known_right() <= goal:
            return model.eval()
        strength *= growth
    warnings.warn(
        f"potion: in {steps} steps more than {goal:g} images of D_f still bear their labels",
        stacklevel=2,
    )
    return model.eval()


METHOD = Method(
    unlearn,
    family="ssd",
    heals=True,
    ranges={"rho": (0.05, 0.5)},
    check=check,
)
