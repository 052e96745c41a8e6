"""ASSD: Adaptive SSD, with no alpha to choose.

Schoepf, Foster, Brintrup: Parameter-tuning-free data entry error unlearning with adaptive selective
synaptic dampening. arXiv:2402.10098.

    alpha = p-th percentile of I_Df / I_D over all parameters,   p = 100 - ln(1 + 100 |D_f| / |D|)
    lambda = 1

So ln(1 + 100 |D_f| / |D|) percent of the parameters are dampened. Importances are SSD's.

Differs 1: The importances of D divide those of D_f. The authors' notebook on tables divides by
those of D_r: `-set denominator=D_r`.
"""

from typing import Literal

from torch import nn

from methods._dampening import Importances, dampened, importance, note_suitability
from methods._method import Method
from splits import Split
from ssd import adaptive_alpha, sorted_ratios


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    batch_size: int,
    denominator: Literal["D", "D_r"] = "D",
    measure: str = "fisher",
    per_sample: bool = False,
    full_importance: Importances | None = None,
    notes: dict | None = None,
) -> nn.Module:
    """Dampen the parameters of the largest I_Df / I_D, in place.

    denominator: the set whose importances D_f's are divided by; p depends on |D| in either case.
    full_importance: I_D of this model, where it is stored already; D_r's cannot be, since they
    differ from request to request.
    notes["adaptive_alpha"]: the alpha that was found; the others are SSD's.
    """
    if denominator == "D_r":
        full = importance(model, split.retain, "I_Dr", batch_size, measure, per_sample)
    elif full_importance is None:
        full = importance(model, split.full, "I_D", batch_size, measure, per_sample)
    else:
        full = full_importance
    forget = importance(model, split.forget, "I_Df", batch_size, measure, per_sample)
    share_forgotten = len(split.forget) / len(split.full)
    alpha = adaptive_alpha(sorted_ratios(full, forget), share_forgotten)
    if notes is not None:
        notes["adaptive_alpha"] = alpha
    note_suitability(notes, model, full, forget, split, denominator, alpha)
    return dampened(model, full, forget, alpha, 1, notes)


METHOD = Method(
    unlearn,
    family="ssd",
    draws_for_class=False,
    heals=True,
)
