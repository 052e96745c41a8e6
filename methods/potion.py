"""Potion: heal a network of poison of which only a part is known.

Schoepf, Foster, Brintrup: Potion: Towards Poison Unlearning. DMLR, arXiv:2406.09173.

    XLF      I_S = mean over batches of S of |gradient of the batch's mean ||f(x)||_2|   (no square)
             alpha = p-th percentile of I_Sf / I_R,   p = 100 - ln(1 + 100 s |S_f| / N)
             lambda = 1
    PTN      s = 1/25; dampen the original; stop where acc(S_f) <= rho * the original's acc(S_f),
             else s <- 1.1 s

S_f (here D_f) is the known part, with the labels that the poison gave it. R (here D_r) is all other
training images, undiscovered poison among them; N = |D|. There are at most 500 steps, and rho is
0.2. Defaults: the authors'.

Differs 1: Images are read un-augmented, in batches of the task's size. The authors' code reads
augmented ones in batches of 512.
Differs 2: The trigger is put on images of other classes than 0. The authors put it on images of
class 0 too.
Differs 3: rho is 0.2. The authors' code tries several values of rho.
"""

import copy
import warnings

from torch import nn

from common.console import progress
from common.errors import UserError
from learning.images import ImageSet, batches
from learning.training import predict
from methods._dampening import dampened, importance, note_suitability
from methods._method import Method
from splits import Split
from ssd import adaptive_alpha, sorted_ratios


def check(
    model: nn.Module, split: Split, *, strength: float, growth: float, rho: float, **_: object
) -> None:
    """UserError where the settings cannot be."""
    if not (growth > 1 and strength > 0 and rho < 1):
        raise UserError(
            "potion: it must be that growth > 1, strength > 0 and rho < 1, "
            "or the search goes nowhere"
        )


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    batch_size: int,
    strength: float = 1 / 25,
    growth: float = 1.1,
    rho: float = 0.2,
    steps: int = 500,
    measure: str = "xlf",
    per_sample: bool = False,
    notes: dict | None = None,
) -> nn.Module:
    """Dampen further and further, always the original, until D_f's labels are forgotten; in place.

    Both importances are computed once, and their ratios sorted once. notes["search"]: how many
    networks were tried, and at which strength s it ended; the others are Adaptive SSD's.
    notes["suitability"] is of the original. Warns if `steps` do not suffice; the last network is
    kept.
    """
    check(model, split, strength=strength, growth=growth, rho=rho)
    retain = importance(model, split.retain, "I_R", batch_size, measure, per_sample)
    forget = importance(model, split.forget, "I_Sf", batch_size, measure, per_sample)
    ratios = sorted_ratios(retain, forget)
    share_forgotten = len(split.forget) / len(split.full)

    original = copy.deepcopy(model.state_dict())
    most_right = rho * count_right(model, split.forget, batch_size)
    notes = {} if notes is None else notes
    of_assd = adaptive_alpha(ratios, share_forgotten)
    note_suitability(notes, model, retain, forget, split, "D_r", of_assd)
    for step in progress(range(1, steps + 1), "Potion"):
        model.load_state_dict(original)
        alpha = adaptive_alpha(ratios, share_forgotten, strength)
        notes["adaptive_alpha"] = alpha
        dampened(model, retain, forget, alpha, 1, notes)
        notes["search"] = {"steps": step, "strength": strength}
        if count_right(model, split.forget, batch_size) <= most_right:
            return model.eval()
        strength *= growth
    message = (
        f"potion: in {steps} steps more than {most_right:g} images of D_f still bear their labels"
    )
    warnings.warn(message, stacklevel=2)
    return model.eval()


def count_right(model: nn.Module, images: ImageSet, batch_size: int) -> int:
    """How many images the model gives their labels."""
    logits = predict(model, batches(images, model, batch_size))
    labels = images.labels.to(logits.device)
    return int((logits.argmax(1) == labels).sum())


METHOD = Method(
    unlearn,
    family="ssd",
    draws_for_class=False,
    heals=True,
    ranges={"rho": (0.05, 0.5)},
    check=check,
)
