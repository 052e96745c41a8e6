"""ASSD: Adaptive SSD, with no alpha to choose. Schoepf, Foster, Brintrup, arXiv:2402.10098.

    alpha = p-th percentile of I_Df / I_D over all parameters,   p = 100 - ln(1 + 100 |D_f| / |D|),   lambda = 1

so that ln(1 + 100 |D_f| / |D|) percent of the parameters are dampened; importances as SSD.

Differs 1: The importances of D divide those of D_f. The authors' notebook on tables divides by
those of D_r: `-set denominator=D_r`.
"""

from typing import Literal

from methods._dampening import dampened, importance
from methods._method import Method
from ssd import adaptive_alpha, sorted_ratios


def unlearn(
    model,
    split,
    *,
    batch_size,
    denominator: Literal["D", "D_r"] = "D",
    measure="fisher",
    per_sample=False,
    full_importance=None,
    notes=None,
):
    """Dampen the parameters of the largest I_Df / I_D, in place.

    denominator: whose importances D_f's are divided by (p goes by |D| in either case); only those of D are the same for
    every request and can be stored.
    notes["adaptive_alpha"]: the alpha that was found; the others as SSD's.
    """
    how = {"batch_size": batch_size, "measure": measure, "per_sample": per_sample}
    if denominator == "D_r":
        full_importance = importance(model, split.retain, "I_Dr", **how)
    full = full_importance or importance(model, split.full, "I_D", **how)
    forget = importance(model, split.forget, "I_Df", **how)
    alpha = adaptive_alpha(sorted_ratios(full, forget), len(split.forget) / len(split.full))
    if notes is not None:
        notes["adaptive_alpha"] = alpha
    return dampened(model, full, forget, alpha, 1, notes)


METHOD = Method(
    unlearn,
    family="ssd",
    draws_for_class=False,
    heals=True,
)
