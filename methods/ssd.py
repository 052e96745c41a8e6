"""SSD: Selective Synaptic Dampening.

Foster, Schoepf, Brintrup: Fast Machine Unlearning Without Retraining Through Selective Synaptic
Dampening. AAAI 2024, arXiv:2308.07707.

    importance   I_S = mean over batches of S of ( gradient of the batch's mean cross-entropy )^2
    select       I_Df > alpha * I_D
    dampen       theta <- min( lambda * I_D / I_Df, 1 ) * theta        for the selected parameters

The equations are computed in ssd.py at the root. Defaults: alpha and lambda stand in the forget
scripts, for each network and data set.

Differs 1: Under `-protocol released` D is read as D_r, then D_f.
"""

from torch import nn

from methods._dampening import Importances, dampened, importance, note_suitability
from methods._method import Method
from splits import Split
from ssd import warn_at_ceiling


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    alpha: float,
    lam: float,
    batch_size: int,
    measure: str = "fisher",
    per_sample: bool = False,
    full_importance: Importances | None = None,
    notes: dict | None = None,
) -> nn.Module:
    """Dampen what matters more than alpha times as much to D_f as to D, in place.

    measure, per_sample: as for ssd.importance. full_importance: I_D of this model, where it is
    stored already. notes["selected"]: the share of parameters selected, in [0, 1];
    notes["selected_by_name"]: the share of each parameter tensor; notes["suitability"]: what the
    importances say beforehand.
    """
    warn_at_ceiling(alpha, len(split.full), len(split.forget))
    full = full_importance
    if full is None:
        full = importance(model, split.full, "I_D", batch_size, measure, per_sample)
    forget = importance(model, split.forget, "I_Df", batch_size, measure, per_sample)
    note_suitability(notes, model, full, forget, split)
    return dampened(model, full, forget, alpha, lam, notes)


METHOD = Method(
    unlearn,
    family="ssd",
    draws_for_class=False,
    heals=True,
    # Those of the authors' 50 trials.
    ranges={"alpha": (0.1, 100), "lam": (0.1, 5)},
    aliases=("ssd_tuning",),
)
