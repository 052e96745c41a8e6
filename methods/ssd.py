"""SSD: Selective Synaptic Dampening. Foster, Schoepf, Brintrup, AAAI 2024, arXiv:2308.07707.

I_S = mean over batches of (gradient of the batch's mean cross-entropy)^2; where I_Df > alpha * I_D:
theta <- min(lambda * I_D / I_Df, 1) * theta. See ssd.py for the equations, the forget scripts for alpha and lambda.

Differs 1: Under `-protocol released` D is read as D_r, then D_f.
"""

import ssd
from methods._dampening import dampened, importance
from methods._method import Method


def unlearn(
    model,
    split,
    *,
    alpha,
    lam,
    batch_size,
    measure="fisher",
    per_sample=False,
    full_importance=None,
    notes=None,
):
    """Dampen what matters more to D_f than alpha times to D, in place.

    full_importance: I_D of this model, where it is stored already. notes["selected"]: the share selected, in [0, 1];
    notes["selected_by_name"]: the share of each parameter tensor.
    """
    ssd.warn_at_ceiling(alpha, len(split.full), len(split.forget))
    how = {"batch_size": batch_size, "measure": measure, "per_sample": per_sample}
    full = full_importance or importance(model, split.full, "I_D", **how)
    forget = importance(model, split.forget, "I_Df", **how)
    return dampened(model, full, forget, alpha, lam, notes)


METHOD = Method(
    unlearn,
    family="ssd",
    draws_for_class=False,
    heals=True,
    ranges={"alpha": (0.1, 100), "lam": (0.1, 5)},  # those of the authors' 50 trials
    aliases=("ssd_tuning",),
)
