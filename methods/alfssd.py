"""ALFSSD: Adaptive SSD's alpha with Loss-Free SSD's measure; no labels and no alpha to choose.

Schoepf, Foster, Brintrup, arXiv:2402.10098, with Foster, Schoepf, Brintrup, arXiv:2402.19308.

    importance   I_S = mean over batches of S of |gradient of the batch's mean ||f(x)||_2^2|

alpha and lambda are Adaptive SSD's.
"""

from typing import Literal

from torch import nn

from methods import assd
from methods._dampening import Importances
from methods._method import Method
from splits import Split


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    batch_size: int,
    denominator: Literal["D", "D_r"] = "D",
    measure: str = "norm",
    per_sample: bool = False,
    full_importance: Importances | None = None,
    notes: dict | None = None,
) -> nn.Module:
    """Adaptive SSD with the label-free measure; arguments as for methods/assd.py."""
    return assd.unlearn(
        model,
        split,
        batch_size=batch_size,
        denominator=denominator,
        measure=measure,
        per_sample=per_sample,
        full_importance=full_importance,
        notes=notes,
    )


METHOD = Method(
    unlearn,
    family="ssd",
    draws_for_class=False,
    heals=True,
)
