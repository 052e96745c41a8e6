"""ALFSSD: Adaptive SSD's alpha with Loss-Free SSD's measure; no labels and no alpha. arXiv:2402.10098 with arXiv:2402.19308."""

from typing import Literal

from methods import assd
from methods._method import Method


def unlearn(
    model,
    split,
    *,
    batch_size,
    denominator: Literal["D", "D_r"] = "D",
    measure="norm",
    per_sample=False,
    full_importance=None,
    notes=None,
):
    """Adaptive SSD with the label-free measure; arguments as there."""
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
