"""From a batch to the mean loss whose gradient is taken.

A batch is a pair (x, y), a dict of the model's arguments as HuggingFace's, or, where the caller
gives `loss=`, anything.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dampening import checks, outputs
from dampening.measures import Measure
from dampening.samples import size
from per_sample_gradients import at_least_float32

IGNORED_LABEL = -100  # of tokens that do not count, as torch and HuggingFace have it


class MeanLoss(NamedTuple):
    """A mean over the samples or tokens of a batch: what its importance is the gradient of."""

    value: Tensor  # scalar, float32 or wider
    size: Callable[[], int]  # of how many samples or tokens it is the mean
    logits: Tensor | None  # [N, C], through which all gradients pass, where they are known
    is_empty: bool = False  # whether no token counts; then it is 0


def mean_loss(
    model: nn.Module, batch: Any, number: int, measure: Measure, loss: Callable | None
) -> MeanLoss:
    """The mean loss of a batch, or the mean norm of its logits.

    number: the batch's, from 1, for messages. loss: as for ssd.importance.
    """
    if loss is not None:
        result = _by_callers_loss(model, batch, measure, loss)
    elif isinstance(batch, Mapping):
        result = _of_dict(model, batch, number, measure)
    else:
        x, y = batch[:2]
        logits = logits_in(model(x))
        _warn_of_unshifted_labels(x, y, logits, number)
        result = _of_logits(logits, y, number, measure)
    if not result.value.requires_grad:
        raise ValueError(outputs.NO_GRADIENT)
    if not bool(torch.isfinite(result.value)):
        outputs.raise_not_finite(model, list(_named_tensors(batch)), number)
    return result


def _named_tensors(batch):
    """(name, tensor) of a batch's tensors, as a message calls them."""
    if isinstance(batch, Mapping):
        for name, part in batch.items():
            if isinstance(part, Tensor):
                yield name, part
    elif isinstance(batch, tuple | list):
        for name, part in zip(("x", "y"), batch, strict=False):
            if isinstance(part, Tensor):
                yield name, part


def logits_in(output: Any) -> Tensor:
    """The logits in what a model gives: a tensor, an object with .logits, or a tuple of them first.

    Raises TypeError for anything else.
    """
    if isinstance(output, Tensor):
        return output
    logits = getattr(output, "logits", None)
    if logits is None and isinstance(output, tuple | list) and len(output) > 0:
        logits = output[0]
    if not isinstance(logits, Tensor):
        raise TypeError(f"the model gives a {type(output).__name__}; {outputs.WANTED_LOGITS}")
    return logits


def _of_logits(logits, y, number, measure):
    """The mean loss of logits [B, C] with labels [B], or of tokens: [B, T, V] with [B, T]."""
    outputs.check_logits(logits, y, number, measure)
    if logits.dim() == 3:
        counts = y != IGNORED_LABEL  # [B, T]
        if not bool(counts.any()):
            return _of_nothing(logits)
        logits, y = _counted(logits, counts), y[counts]
    logits = at_least_float32(logits)
    losses = measure.losses(logits, y)
    return MeanLoss(losses.mean(), partial(len, logits), logits)


def _of_nothing(logits):
    """The mean loss of a batch in which no token counts: 0, with gradients of 0."""
    zero = 0 * at_least_float32(logits).sum()
    return MeanLoss(zero, lambda: 0, None, is_empty=True)


def _counted(logits, counts):
    """The logits [N, V] of the tokens that count. logits: [B, T, V], counts: bool [B, T]."""
    if bool(counts.all()):
        return logits.flatten(0, 1)
    return logits[counts]


def _warn_of_unshifted_labels(x, y, logits, number):
    """Of tokens y is the target of the logits at the same position, which the input seldom is."""
    is_tokens = logits.dim() == 3 and not x.is_floating_point() and x.shape == y.shape
    if number == 1 and is_tokens and y.shape[1] > 1:
        counts = y != IGNORED_LABEL
        if bool(counts.any()) and torch.equal(x[counts], y[counts].to(x.dtype)):
            message = "the labels of the tokens are the tokens themselves"
            way_out = "shift them, or give dicts, of which the model takes its own loss"
            warnings.warn(f"{message}, not those that follow; {way_out}", stacklevel=2)


# ---- a dict ----


def _of_dict(model, batch, number, measure):
    """The model's own loss of model(**batch) where it has one, else the loss of its logits."""
    inputs = {name: part for name, part in batch.items() if name != "labels"}
    labels = batch.get("labels")
    if not measure.reads_labels:
        logits = logits_in(model(**inputs))
        return _norm_of_dict(logits, labels, batch.get("attention_mask"), number, measure)
    if not isinstance(labels, Tensor):
        message = f"batch {number} is a dict without a tensor 'labels'"
        raise ValueError(f"{message}; add it, or give {checks.SHOWN_LOSS}")
    if not _takes_labels(model):
        return _of_logits(logits_in(model(**inputs)), labels, number, measure)
    outputs.check_labels_of_dict(model, labels, number, IGNORED_LABEL)
    if labels.dtype in (torch.int8, torch.uint8, torch.int16, torch.int32):
        labels = labels.long()  # the only one that torch's cross-entropy takes
    output = model(**inputs, labels=labels)
    value = _own_loss(output)
    if value is None:
        return _of_logits(logits_in(output), labels, number, measure)
    logits = getattr(output, "logits", None)
    has_tokens = labels.dim() == 2 and logits is not None
    if has_tokens and bool((labels[:, 1:] == IGNORED_LABEL).all()) and bool(value.isnan()):
        return _of_nothing(logits)  # a mean over nothing
    return MeanLoss(at_least_float32(value), partial(_label_count, value, logits, labels), None)


def _takes_labels(model):
    """Whether forward() may be given `labels`."""
    network = getattr(model, "_orig_mod", model)  # of torch.compile
    parameters = inspect.signature(network.forward).parameters.values()
    return any(p.name == "labels" or p.kind == p.VAR_KEYWORD for p in parameters)


def _own_loss(output):
    """The scalar loss in what a model gives for labels, or None."""
    value = getattr(output, "loss", None)
    if value is None and isinstance(output, tuple):
        scalars = [part for part in output if isinstance(part, Tensor) and part.dim() == 0]
        value = scalars[0] if scalars else None
    if value is None:
        return None
    if not isinstance(value, Tensor) or value.numel() != 1:
        kind = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"the model's own loss is {kind}, not a scalar; give {checks.SHOWN_LOSS}")
    return value.reshape(())


def _label_count(value, logits, labels):
    """Over how many labels a model's own loss is the mean.

    A causal language model leaves out the first label of each row; other models do not. Which it
    is, shows in the loss.
    """
    if labels.dim() < 2 or labels.is_floating_point():
        return len(labels)
    if labels.dim() > 2 or logits is None or logits.dim() != 3:
        message = "it cannot be seen over how many labels the model's own loss is the mean"
        way_out = "give loss=, which then gives the pair (mean loss, number of labels)"
        raise ValueError(f"{message}; {way_out}")
    without_first = F.pad(labels[:, 1:], (0, 1), value=IGNORED_LABEL)
    logits, value = at_least_float32(logits.detach()), value.detach()
    distances = {}
    for targets in (labels, without_first):
        ce = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED_LABEL)
        count = int((targets != IGNORED_LABEL).sum())
        distances[count] = float((ce - value).abs())
    return min(distances, key=distances.__getitem__)


def _norm_of_dict(logits, labels, attention_mask, number, measure):
    """The mean norm of the logits [B, C], or of the tokens' that count."""
    if logits.dim() == 3:
        counts = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
        for mask, ignored in ((labels, IGNORED_LABEL), (attention_mask, 0)):
            if isinstance(mask, Tensor) and mask.shape == counts.shape:
                counts = mask != ignored
                break
        if not bool(counts.any()):
            return _of_nothing(logits)
        logits = _counted(logits, counts)
    dummy_labels = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    return _of_logits(logits, dummy_labels, number, measure)


# ---- the caller's loss ----


def _by_callers_loss(model, batch, measure, loss):
    """fisher: of the scalar that `loss` gives; norms: of the logits [..., C] that it gives."""
    value = loss(model, batch)
    if measure.reads_labels:
        count = size(batch)
        if isinstance(value, tuple) and len(value) == 2:
            value, count = value
        outputs.check_scalar(value)
        count_of_terms = partial(outputs.checked_count, count)
        return MeanLoss(at_least_float32(value).reshape(()), count_of_terms, None)
    logits = logits_in(value)
    outputs.check_any_logits(logits)
    logits = at_least_float32(logits.reshape(-1, logits.shape[-1]))
    return MeanLoss(measure.losses(logits, None).mean(), partial(len, logits), logits)
