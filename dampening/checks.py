"""What is refused, each in one line that names the way out.

First the settings, then the model, the batches and the importances. What a model gives: outputs.py.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dampening import processes
from dampening.blocks import row_blocks
from dampening.measures import MEASURES

SHOWN_LOSS = "loss=, as in loss=lambda model, batch: model(**batch).loss"
WANTED_BATCH = "batches must be pairs (x [B, ...], y [B]) of tensors"
OTHER_BATCHES = f"for dicts and others see ssd.importance, or give {SHOWN_LOSS}"


# ---- settings ----


def _brief(value):
    """A value as an error shows it: one line of at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def checked_number(name: str, value: Any, wanted: str) -> int | float:
    """The value as one of Python's numbers, 0 or more; `wanted` says what it must be."""
    is_scalar = hasattr(value, "item") and getattr(value, "ndim", 0) == 0
    number = value.item() if is_scalar else value  # NumPy's and torch's numbers
    message = f"{name} is {_brief(value)}; it must be {wanted}"
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(message)
    if not number >= 0:  # NaN is neither
        raise ValueError(message)
    return number


def checked_alpha(alpha: Any, or_else: str = "") -> float:
    """Alpha as one of Python's numbers; TypeError or ValueError where it is none, or negative."""
    return checked_number("alpha", alpha, f"a number, 0 or more, not negative{or_else}")


def checked_lam(lam: Any) -> float:
    """The same for lambda, which must be finite too."""
    wanted = "a finite number, 0 or more, not negative"
    lam = checked_number("lam", lam, wanted)
    if lam > torch.finfo(torch.float32).max:  # times an importance of 0 it is NaN
        raise ValueError(f"lam is {lam}; it must be {wanted}")
    return lam


def checked_share(share: Any) -> float:
    """|D_f| / |D| as one of Python's numbers."""
    wanted = "|D_f| / |D|, a number above 0 and at most 1"
    share = checked_number("share_forgotten", share, wanted)
    if not 0 < share <= 1:
        raise ValueError(f"share_forgotten is {share}; it must be {wanted}")
    return share


def check_measure(measure: Any, per_sample: bool, loss: Any) -> None:
    """ValueError or TypeError where importance cannot be measured so."""
    is_known = measure in list(MEASURES)  # also where it is no word, and cannot be hashed
    if not is_known or (measure == "true_fisher" and not per_sample):
        choices = ", ".join(MEASURES)
        wanted = f"one of {choices} (true_fisher: with per_sample)"
        raise ValueError(f"measure is {_brief(measure)}; it must be {wanted}")
    if loss is not None and not callable(loss):
        raise TypeError(f"loss is {_brief(loss)}; it must be a function of (model, batch)")
    if loss is not None and measure == "true_fisher":
        raise ValueError("true_fisher takes the cross-entropy to every label; omit loss=")


# ---- the model ----


def checked_parameters(model: Any) -> dict[str, nn.Parameter]:
    """{name: parameter} of a model that can be dampened."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {_brief(model)}; it must be a torch.nn.Module")
    processes.check_wrapper(model)
    parameters = dict(model.named_parameters())
    if any(_is_quantized(module) for module in model.modules()):
        message = "the model holds quantized layers, which have no gradients"
        raise ValueError(f"{message}; give the model as it was before quantization")
    if not parameters:
        raise ValueError("the model has no parameters to dampen; give the network itself")
    for name, p in parameters.items():
        reason = _reason_against(p)
        if reason is not None:
            raise ValueError(f"parameter {name} {reason}")
    _check_memory_is_not_shared(parameters)
    return parameters


def _check_memory_is_not_shared(parameters: dict[str, nn.Parameter]) -> None:
    """Two parameters in the same memory would be dampened twice."""
    names: dict[tuple, str] = {}
    for name, p in parameters.items():
        if processes.is_sharded(p) or p.data_ptr() == 0:  # 0: it has no memory of its own
            continue
        first = names.setdefault((p.device, p.data_ptr()), name)
        if first != name:
            way_out = "make them one parameter (model.a = model.b)"
            raise ValueError(f"parameters {first} and {name} share their memory; {way_out}")


def _is_quantized(module):
    origin = type(module).__module__
    return origin.startswith("torch.ao.nn.") and "quantized" in origin


PARAMETER_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _reason_against(p):
    """Why a parameter cannot be dampened, or None."""
    if nn.parameter.is_lazy(p):
        return "has no shape yet; run the model on one batch first"
    dtypes = "float16, bfloat16, float32 or float64 (not quantized)"
    reasons = [
        (processes.is_sharded(p) and not processes.is_by_fully_shard(p), processes.WANTED_SHARDS),
        (
            p.device.type == "meta",
            "is on the meta device, where it has no values; load the weights first",
        ),
        (
            p.layout != torch.strided,
            f"is a sparse tensor ({p.layout}); make it dense first (to_dense)",
        ),
        (p.dtype not in PARAMETER_DTYPES, f"is {p.dtype}; it must be {dtypes}"),
        (
            p.is_inference(),
            "was made in torch.inference_mode(); make or load the model outside of it",
        ),
    ]
    return next((reason for applies, reason in reasons if applies), None)


def check_trainable(model: nn.Module) -> None:
    """Besides the above, what gradients need."""
    parameters = checked_parameters(model)
    if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
        way_out = "call this outside torch.no_grad() and torch.inference_mode()"
        raise ValueError(f"importances need gradients; {way_out}")
    if not any(p.requires_grad for p in parameters.values()):
        way_out = "call requires_grad_(True) on the model or on the layers that may forget"
        raise ValueError(f"all parameters of the model are frozen; {way_out}")
    for name, p in parameters.items():
        if getattr(p, "_post_accumulate_grad_hooks", None):
            message = f"parameter {name} has a hook that runs when its gradient is there"
            reason = "it may change the weights, as an optimiser in the backward pass does"
            raise ValueError(f"{message}; {reason}; remove it first")
    for name, module in model.named_modules():
        is_embedding = isinstance(module, nn.Embedding | nn.EmbeddingBag)
        if is_embedding and module.sparse and module.weight.requires_grad:
            layer = name or type(module).__name__
            raise ValueError(f"layer {layer} gives sparse gradients; make it with sparse=False")


def check_per_sample(model: nn.Module) -> None:
    """Besides the above, what single samples' gradients need."""
    parameters = dict(model.named_parameters())
    for name, p in parameters.items():
        if processes.is_sharded(p):
            way_out = "gather the whole model on one device first, or omit per_sample"
            raise ValueError(
                f"parameter {name} is sharded, and per_sample needs it whole; {way_out}"
            )
    devices = sorted({str(p.device) for p in parameters.values()})
    if len(devices) > 1:
        places = ", ".join(devices)
        way_out = "move the model to one device, or omit per_sample"
        raise ValueError(f"the model's parameters lie on {places}; {way_out}")


# ---- batches ----


def check_batches(batches: Any) -> None:
    """TypeError for what is no iterable."""
    if not (hasattr(batches, "__iter__") or hasattr(batches, "__getitem__")):
        wanted = "an iterable of pairs (x [B, ...], y [B])"
        raise TypeError(f"batches is {_brief(batches)}; it must be {wanted}")


def checked_batch(batch: Any, number: int) -> Any:
    """A pair (x, y) of tensors with as many samples; a dict as it is."""
    if isinstance(batch, Mapping):
        return batch
    if not isinstance(batch, tuple | list):
        kind = type(batch).__name__
        raise TypeError(f"batch {number} is of type {kind}; {WANTED_BATCH}; {OTHER_BATCHES}")
    if len(batch) < 2:
        raise ValueError(f"batch {number} has {len(batch)} parts; {WANTED_BATCH}; {OTHER_BATCHES}")
    x, y = batch[:2]
    for title, part in (("x", x), ("y", y)):
        if not isinstance(part, Tensor):
            kind = type(part).__name__
            raise TypeError(
                f"{title} of batch {number} is of type {kind}; {WANTED_BATCH}; {OTHER_BATCHES}"
            )
    if x.dim() == 0 or y.dim() == 0 or len(x) != len(y):
        shapes = f"x {list(x.shape)} and y {list(y.shape)}"
        raise ValueError(
            f"batch {number} has {shapes}; {WANTED_BATCH}, with one label for each sample"
        )
    return x, y


def check_any_batch(count: int) -> None:
    """ValueError where there was no batch."""
    if count == 0:
        reason = "the iterable is empty, or it is an iterator that was used up before"
        message = f"there are no batches to take importances from: {reason}"
        raise ValueError(f"{message}; give a list or a DataLoader")


def share_of(forget_size: int | None, full_size: int | None) -> float:
    """|D_f| / |D|, which the adaptive alpha needs. ValueError where it is not known."""
    if forget_size is None or full_size is None:
        message = 'alpha="adaptive" needs the numbers of samples, and the batches do not say them'
        way_out = "give tuples, dicts, or lists with an entry for each sample"
        raise ValueError(f"{message}; {way_out}")
    return min(1.0, forget_size / full_size)


def check_store(store: Any) -> None:
    """ValueError for what is no device."""
    try:
        torch.zeros(0, device=store)
    except (RuntimeError, TypeError) as error:
        wanted = 'a device that is there, such as "cpu"'
        raise ValueError(f"store is {_brief(store)}; it must be {wanted}") from error


def check_wide_enough(in_float16: bool) -> None:
    """Gradients in float16 must be scaled, which several processes do not agree upon."""
    if in_float16:
        way_out = "convert the model to bfloat16 or float32"
        raise ValueError(f"float16 is not supported with several processes; {way_out}")


# ---- importances ----


def check_sums(sums: dict[str, Tensor]) -> None:
    """Refuse sums of which any is not finite."""
    broken = {}
    for name, value in sums.items():
        part = processes.local(value)
        count = torch.zeros((), dtype=torch.int64, device=part.device)
        for rows in row_blocks(part):
            count += (~torch.isfinite(part[rows])).sum()
        broken[name] = count
    for name, count in processes.totals(broken, sums).items():
        if count:
            reason = "its gradients hold NaN or overflow"
            way_out = "look for NaN in the weights and the data"
            raise ValueError(f"the importance of {name} is not finite: {reason}; {way_out}")


def check_importances(title: str, importances: Any, tensors: Mapping[str, Tensor]) -> None:
    """Refuse importances that are not finite numbers of 0 or more for each of the tensors."""
    wanted = "it must be what importance() returned, {parameter name: tensor}"
    if not isinstance(importances, dict):
        raise TypeError(f"{title} is of type {type(importances).__name__}; {wanted}")
    broken = {}
    for name, tensor in tensors.items():
        value = importances.get(name)
        is_real = isinstance(value, Tensor) and not value.is_complex()
        if value is None or not is_real or value.shape != tensor.shape:
            message = f"{title} holds nothing of {name}'s shape and is another model's"
            raise ValueError(f"{message}; {wanted}")
        if not processes.are_sharded_alike(value, tensor):
            way_out = "take both from one model, or load it with torch.distributed.checkpoint"
            raise ValueError(f"{title} of {name} is not sharded as the parameter is; {way_out}")
        if (
            value.layout != torch.strided
            or value.dtype not in PARAMETER_DTYPES
            or value.device.type == "meta"
        ):
            kind = f"{value.dtype}, {value.layout}, on {value.device}"
            raise ValueError(f"{title} of {name} is {kind}; {wanted}")
        part = processes.local(value)
        count = torch.zeros((), dtype=torch.int64, device=part.device)
        for rows in row_blocks(part):
            is_sound = torch.isfinite(part[rows]) & (part[rows] >= 0)
            count += (~is_sound).sum()
        broken[name] = count
    for name, count in processes.totals(broken, tensors).items():
        if count:
            way_out = "look for NaN in the model and its data"
            raise ValueError(f"{title} of {name} is not finite or is negative; {way_out}")
