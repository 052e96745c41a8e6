"""LFSSD: Loss-Free SSD, which needs no labels.

Foster, Schoepf, Brintrup: Loss-Free Machine Unlearning. ICLR 2024 Tiny Papers, arXiv:2402.19308.

    importance   I_S = mean over batches of S of |gradient of the batch's mean ||f(x)||_2^2|

Selection and dampening are SSD's. Defaults: alpha and lambda (1) stand in the forget
scripts.
"""

from torch import nn

from methods import ssd
from methods._dampening import Importances
from methods._method import Method
from splits import Split


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    alpha: float,
    lam: float,
    batch_size: int,
    measure: str = "norm",
    per_sample: bool = False,
    full_importance: Importances | None = None,
    notes: dict | None = None,
) -> nn.Module:
    """SSD with the label-free measure; arguments as for methods/ssd.py."""
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
