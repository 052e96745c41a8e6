"""What the methods of the SSD family share: importances, what they say beforehand, dampening."""

import math

from torch import Tensor, nn

import ssd
from learning.images import ImageSet, batches
from splits import Split

Importances = dict[str, Tensor]  # {parameter name: the importance of each of its entries}

ALPHAS = (1, 2, 5, 10, 20)  # of which a record says how much they would select


def importance(
    model: nn.Module,
    images: ImageSet,
    title: str,
    batch_size: int,
    measure: str,
    per_sample: bool,
) -> Importances:
    """I_S of a set of images, read un-augmented and in its own order.

    title: the set's name on the progress bar. measure, per_sample: as for ssd.importance.
    """
    data = batches(images, model, batch_size, title=title)
    return ssd.importance(model, data, measure=measure, per_sample=per_sample)


def note_suitability(
    notes: dict | None,
    model: nn.Module,
    full: Importances,
    forget: Importances,
    split: Split,
    denominator: str = "D",
    adaptive_alpha: float | None = None,
) -> None:
    """notes["suitability"]: what the importances say before the model changes.

    full: what I_Df is divided by: the importances of D, or those of D_r where `denominator` says
    so. adaptive_alpha: Adaptive SSD's, where the method has computed it. ssd.suitability could, but
    that takes twice as long as all of this.
    """
    if notes is None:
        return
    said = ssd.suitability(model, full, forget, alphas=ALPHAS)
    by_layer = {}
    for layer, overlap in said.overlap_by_layer.items():
        if not math.isnan(overlap):
            by_layer[layer or "(model)"] = overlap
    suitability: dict = {
        "denominator": denominator,
        "overlap_by_layer": by_layer,
        "selected": {f"{alpha:g}": share for alpha, share in said.selected.items()},
    }
    if not math.isnan(said.overlap):
        suitability["overlap"] = said.overlap
    if denominator == "D":
        suitability["ceiling"] = len(split.full) / len(split.forget)
    if adaptive_alpha is not None:
        suitability["adaptive_alpha"] = adaptive_alpha
    notes["suitability"] = suitability


def dampened(
    model: nn.Module,
    full: Importances,
    forget: Importances,
    alpha: float,
    lam: float,
    notes: dict | None,
) -> nn.Module:
    """The model, dampened in place and in eval mode.

    notes["selected"]: the share of all parameters selected, in [0, 1].
    notes["selected_by_name"]: the share of each parameter tensor.
    """
    selection = ssd.dampen(model, full, forget, alpha=alpha, lam=lam)
    if notes is not None:
        notes["selected"] = float(selection)
        notes["selected_by_name"] = selection.by_name
    return model.eval()
