"""What NPO and gradient ascent share: passes over D_f until the network no longer knows it."""

import warnings
from collections.abc import Callable

from torch import nn

import metrics
from common.errors import UserError
from learning.images import batches
from learning.training import check_trainable, epochs, sgd
from splits import Split


def check(
    model: nn.Module, split: Split, *, batch_size: int, threshold: float, **_: object
) -> None:
    """UserError where the settings cannot be, or BatchNorm cannot train on a D_f of one image."""
    if threshold > 1:
        raise UserError(f"threshold={threshold:g}: it is a share of D_f, between 0 and 1")
    check_trainable(model, batches(split.forget, model, batch_size, shuffle=True))


def climb(
    model: nn.Module,
    split: Split,
    loss: Callable,
    *,
    batch_size: int,
    lr: float,
    threshold: float,
    passes: int,
    notes: dict | None,
    title: str,
) -> nn.Module:
    """Train on D_f by a loss that unlearns it, un-augmented, in place; at least one pass.

    It ends after the pass at which at most the share `threshold` of D_f still gets its label from
    the network in eval mode, or after so many passes, with a warning. notes: gets forget_passes.
    """
    data = batches(split.forget, model, batch_size, shuffle=True)
    done, share = 0, 1.0
    for _ in epochs(model, data, sgd(model, lr), passes, loss=loss, title=title):
        done += 1
        share = share_known(model.eval(), split)
        if share <= threshold:
            break
    if share > threshold:
        warnings.warn(
            f"{title}: after {done} passes the network still gives {100 * share:.0f} % of D_f its "
            f"label, more than {100 * threshold:.0f} %; raise lr or passes with -set",
            stacklevel=2,
        )
    if notes is not None:
        notes["forget_passes"] = done
    return model.eval()


def share_known(model: nn.Module, split: Split) -> float:
    """The share of D_f, 0 to 1, to which the network in eval mode gives the label it was taught."""
    logits = metrics.logits_of(model, split.forget)  # [N, C]
    is_known = logits.argmax(1) == split.forget.labels.to(logits.device)
    return float(is_known.double().mean())  # through percent, 7 of 100 would be above 0.07
