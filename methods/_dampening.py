"""What the methods of the SSD family share: importances and dampening."""

from torch import Tensor, nn

import ssd
from learning.images import ImageSet, batches

Importances = dict[str, Tensor]  # {parameter name: the importance of each of its entries}


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
