"""SSD: Selective Synaptic Dampening. Foster, Schoepf, Brintrup, AAAI 2024, arXiv:2308.07707.

I_S = mean over batches of (gradient of the batch's mean cross-entropy)^2; where I_Df > alpha * I_D:
theta <- min(lambda * I_D / I_Df, 1) * theta. See ssd.py for the equations, the forget scripts for alpha and lambda.
"""

import ssd
from images import batches


def unlearn(model, split, *, alpha, lam, batch_size, measure="fisher", per_sample=False, full_importance=None, notes=None):
    """Dampen what matters more to D_f than alpha times to D, in place.

    full_importance: I_D of this model, where it is stored already. notes["selected"]: the share selected, in [0, 1];
    notes["selected_by_name"]: the share of each parameter tensor.
    """
    ssd.warn_at_ceiling(alpha, len(split.full), len(split.forget))

    def importance(images, what):  # in un-augmented, unshuffled batches
        return ssd.importance(model, batches(images, model, batch_size, what=what), measure=measure, per_sample=per_sample)

    if full_importance is None:
        full_importance = importance(split.full, "I_D")
    forget = importance(split.forget, "I_Df")
    shares = {}
    selected = ssd.dampen(model, full_importance, forget, alpha=alpha, lam=lam, shares=shares)
    if notes is not None:
        notes.update(selected=selected, selected_by_name=shares)
    return model.eval()
