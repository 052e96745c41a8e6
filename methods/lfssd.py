"""LFSSD: Loss-Free SSD, which needs no labels. Foster, Schoepf, Brintrup, ICLR 2024 Tiny Papers, arXiv:2402.19308.

I_S = mean over batches of |gradient of the batch's mean ||f(x)||_2^2|; selection and dampening as SSD, lambda 1.
"""

from methods import ssd
from methods._method import Method


def unlearn(
    model,
    split,
    *,
    alpha,
    lam,
    batch_size,
    measure="norm",
    per_sample=False,
    full_importance=None,
    notes=None,
):
    """SSD with the label-free measure; arguments as there."""
    return ssd.unlearn(
        model,
        split,
        alpha=alpha,
        lam=lam,
        batch_size=batch_size,
        measure=measure,
        per_sample=per_sample,
        full_importance=full_importance,
        notes=notes,
    )


METHOD = Method(
    unlearn,
    family="ssd",
    draws_for_class=False,
    ranges=ssd.METHOD.ranges,
)
