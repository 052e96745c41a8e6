"""What is refused of what a model or a caller's loss gives, each in one line."""

from typing import Any

import torch
from torch import Tensor, nn

from dampening import checks, processes

WANTED_LOGITS = (
    "it must give logits [B, C], for labels [B], or of tokens [B, T, V], for labels [B, T]; "
    f"for any other model give {checks.SHOWN_LOSS}"
)
NOTHING_COUNTS = (
    "batch {number} has no token that counts: all are masked, or labelled -100; omit it"
)
NO_GRADIENT = (
    "no gradient flows from the loss to a parameter that is not frozen; "
    "the model must not detach its logits or run in torch.no_grad()"
)


def check_logits(logits: Tensor, y: Tensor, number: int, measure: Any) -> None:
    """Refuse what is no [B, C] or [B, T, V] of logits, and labels that are no classes of it."""
    shape = list(logits.shape)
    is_of_samples = len(shape) == 2 and shape[0] == len(y)
    is_of_tokens = len(shape) == 3 and shape[:2] == list(y.shape)
    if not is_of_samples and not is_of_tokens:
        labels = f"labels {list(y.shape)}"
        raise ValueError(f"the model gives {shape} for {len(y)} samples, {labels}; {WANTED_LOGITS}")
    check_any_logits(logits)
    num_classes = shape[-1]
    if num_classes < measure.least_classes:
        wanted = f"{measure.name} needs {measure.least_classes} or more"
        raise ValueError(f"the model gives {shape}, logits of {num_classes} classes; {wanted}")
    if measure.reads_labels:
        _check_labels(y, number, num_classes, ignored=-100 if is_of_tokens else None)


def check_any_logits(logits: Tensor) -> None:
    """Refuse what no norm can be taken of: [..., C] is wanted."""
    if not logits.is_floating_point():
        raise ValueError(f"the model gives {logits.dtype}, no floating point; {WANTED_LOGITS}")
    if not logits.requires_grad:
        raise ValueError(NO_GRADIENT)
    if logits.dim() == 0:
        way_out = "for norm and xlf loss= must give logits [..., C]"
        raise ValueError(f"loss= gives a scalar, which has no norm over classes; {way_out}")


def checked_count(count: Any) -> int:
    """Over how many terms a caller's loss is the mean, as one of Python's numbers."""
    if count is None:
        way_out = "let loss= give the pair (mean loss, number of terms)"
        raise ValueError(f"a batch does not say how many samples it holds; {way_out}")
    wanted = "loss= must give (mean loss, number of terms), a number of 0 or more"
    return int(checks.checked_number("the number of terms", count, wanted))


def check_scalar(value: Any) -> None:
    """Refuse what is no loss."""
    wanted = "loss(model, batch) must give a scalar, the batch's mean loss"
    if not isinstance(value, Tensor):
        raise TypeError(f"loss= gives a {type(value).__name__}; {wanted}")
    if value.numel() != 1:
        raise ValueError(f"loss= gives {list(value.shape)}; {wanted}; take its mean")
    if not value.is_floating_point():
        raise ValueError(f"loss= gives {value.dtype}; {wanted} in floating point")


def _check_labels(y, number, num_classes, ignored):
    """y: [B], or of tokens [B, T]. ignored: the label of tokens that do not count."""
    axes = "[B]" if ignored is None else "[B, T]"
    wanted = f"labels must be integers {axes} from 0 to {num_classes - 1}, the model's classes"
    is_integer = not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)
    if y.dim() != axes.count(",") + 1 or not is_integer:
        kind = f"{y.dtype} {list(y.shape)}"
        raise ValueError(f"the labels of batch {number} are {kind}; {wanted}")
    y = y.long()
    in_range = (y >= 0) & (y < num_classes)
    if ignored is not None:
        in_range |= y == ignored
    if not bool(in_range.all()):  # on a GPU cross_entropy would take the whole process down
        label = int(y[~in_range][0])
        raise ValueError(f"batch {number} has the label {label}; {wanted}")


def check_labels_of_dict(model: nn.Module, labels: Tensor, number: int, ignored: int) -> None:
    """Refuse labels that a model of HuggingFace's would look up out of range.

    This is for those models of which the number of classes is known: classifiers and language
    models. What others make of their labels is theirs.
    """
    num_classes = _num_classes(model, labels)
    if num_classes is None or num_classes < 2 or labels.is_floating_point():
        return
    _check_labels(labels, number, num_classes, ignored=ignored if labels.dim() > 1 else None)


def _num_classes(model, labels):
    """How many classes the labels of a model of HuggingFace's are of, or None."""
    network = getattr(model, "_orig_mod", model)  # of torch.compile
    name = type(network).__name__
    config = getattr(network, "config", None)
    if labels.dim() == 1 and "Classification" in name and "Token" not in name:
        return getattr(config, "num_labels", None)
    if labels.dim() == 2 and "TokenClassification" in name:
        return getattr(config, "num_labels", None)
    if labels.dim() == 2 and hasattr(network, "get_output_embeddings"):
        head = network.get_output_embeddings()
        return None if head is None else head.weight.shape[0]
    return None


def raise_not_finite(model: nn.Module, inputs: list[tuple[str, Tensor]], number: int) -> None:
    """Name what is not finite where a loss is not."""
    message = f"the loss of batch {number} is not finite"
    tensors = [*model.named_parameters(), *inputs, *model.named_buffers()]
    for name, tensor in tensors:
        if not bool(torch.isfinite(processes.local(tensor.detach())).all()):
            raise ValueError(f"{message}: {name} holds NaN or infinity; mend or omit it")
    reasons = "the network overflows, or its loss is a mean over nothing"
    raise ValueError(f"{message}: {reasons}; run it in a wider precision, or omit the batch")
