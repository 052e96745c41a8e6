"""Selective Synaptic Dampening: forget without training. Needs only torch; works on any nn.Module.

Foster, Schoepf, Brintrup: Fast Machine Unlearning Without Retraining Through Selective Synaptic
Dampening, AAAI 2024, arXiv:2308.07707.

    importance   I_S = mean over batches b of S of ( d/dtheta mean_{(x,y) in b} CE(f(x), y) )^2
    select       I_Df > alpha * I_D
    dampen       theta <- min( lam * I_D / I_Df, 1 ) * theta        for the selected parameters

D is all that the model was trained on, D_f included; f(x) are the logits. Variants:

    LFSSD        I_S = mean over batches b of S of | d/dtheta mean_{x in b} ||f(x)||_2^2 |
    Potion       the same, the norm not squared
    ASSD         alpha = p-th percentile of I_Df / I_D over all parameters,   lam = 1
                 p = 100 - ln( 1 + 100 |D_f| / |D| )

LFSSD is Loss-Free SSD, arXiv:2402.19308: it needs no labels. Potion: arXiv:2406.09173. ASSD is
Adaptive SSD, arXiv:2402.10098.

Gradients are squared batch by batch, so importances depend on the batch size and on the order of D.
Published values of alpha belong to batches of 64 of a set sorted by class, and for random
forgetting to batches of 128 of a shuffled set. A D_f smaller than a batch has a noisier mean
gradient than a full batch, and so larger importances. With `per_sample=True` importances depend on
neither.

Networks in float16 and bfloat16 are taken as they are. Gradients are squared, summed and compared
in float32.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from per_sample_gradients import (
    at_least_float32,
    computes_in_float16,
    loss_scale,
    per_sample_sums,
    unscaled_gradients,
)

Importances = dict[str, Tensor]  # {parameter name: tensor of the parameter's shape}


def importance(
    model: nn.Module,
    batches: Iterable[Sequence],
    *,
    measure: str = "fisher",
    per_sample: bool = False,
) -> Importances:
    """How much each parameter matters for `batches`.

    model: gives logits [B, C]. It is run in eval mode and given back as it came.
    batches: an iterable of (x [B, ...], y [B] integers). What follows y in a batch is ignored.
    Batches without samples are omitted.
    measure: "fisher", the squared gradient of the cross-entropy (SSD); "norm", the absolute
    gradient of ||f(x)||_2^2, labels ignored (LFSSD); "xlf", that of ||f(x)||_2 (Potion);
    "true_fisher", only with per_sample: squared gradients of the cross-entropy to every label, each
    weighted by the model's own probability for it (Fisher forgetting, arXiv:1911.04933).
    per_sample: every sample's own gradient is squared (or its absolute value taken), not the batch
    mean's, and samples weigh the same. Without it batches weigh the same, a short last one too.

    Returns {parameter name: tensor of the parameter's shape}, zero where no gradient flows. The
    tensors are float32, or float64 for parameters in float64.
    ValueError or TypeError, of one line, for: an unknown measure; a model without parameters that
    can be trained; gradients switched off; batches or logits of another form; labels that are not
    classes; no batches; importances that are not finite.
    """
    importances, _ = _importance_and_size(model, batches, measure, per_sample)
    return importances


def _importance_and_size(model, batches, measure, per_sample):
    """(what importance() returns, the number of samples that it was taken from)."""
    _check_measure(measure, per_sample)
    _check_batches(batches)
    _check_trainable(model)
    sums = {name: at_least_float32(torch.zeros_like(p)) for name, p in model.named_parameters()}
    device = next(iter(sums.values())).device
    add = _add_samples if per_sample else _add_batch_mean
    batch_count, sample_count = 0, 0
    with _eval_mode(model):
        for number, parts in enumerate(batches, 1):
            x, y = _checked_pair(parts, number)
            if len(x) == 0:
                continue
            batch = _Batch(number, x.to(device), y.to(device))
            with torch.enable_grad():  # the batches may come from a generator in torch.no_grad()
                add(sums, model, batch, MEASURES[measure])
            batch_count += 1
            sample_count += len(x)
            if batch_count == 1:
                _check_sums(sums)  # say what is wrong with the network before the other batches
    if batch_count == 0:
        reason = "the iterable is empty, or it is an iterator that was used up before"
        message = f"there are no batches to take importances from: {reason}"
        raise ValueError(f"{message}; give a list or a DataLoader")
    _check_sums(sums)
    count = sample_count if per_sample else batch_count
    return {name: value / count for name, value in sums.items()}, sample_count


@torch.no_grad()
def dampen(
    model: nn.Module,
    full: Importances,
    forget: Importances,
    *,
    alpha: float,
    lam: float,
    shares: dict[str, float] | None = None,
) -> float:
    """Shrink in place the parameters whose I_Df is more than alpha times their I_D.

    theta <- min( lam * I_D / I_Df, 1 ) * theta   where   I_Df > alpha * I_D

    full, forget: importances I_D and I_Df. alpha: smaller selects more. lam (lambda): smaller
    dampens further. All is computed in float32 or wider, whatever the parameters' precision.

    Returns the share of parameters selected, in [0, 1]; `shares`, a dict, takes that of each
    tensor, by name.
    ValueError or TypeError, of one line, for: alpha or lam that is not a number of 0 or more; a
    model that cannot be dampened; importances that are not finite or not of this model. The model
    is then untouched.
    """
    alpha = _checked_alpha(alpha)
    lam = _checked_lam(lam)
    parameters = _checked_parameters(model)
    for title, importances in (("I_D", full), ("I_Df", forget)):
        _check_importances(title, importances, parameters)
    counts = {}
    for name, p in parameters.items():
        i_full = _comparable(full[name], p)
        i_forget = _comparable(forget[name], p)
        is_selected = i_forget > alpha * i_full
        factor = (lam * i_full / i_forget).clamp(max=1)  # 0 / 0 is NaN, but not selected
        p.copy_(torch.where(is_selected, factor * p, p))
        counts[name] = is_selected.sum()
    torch.clear_autocast_cache()  # of the weights as they were
    counts = _numbers(counts)
    if shares is not None:
        for name, count in counts.items():
            shares[name] = count / max(1, parameters[name].numel())
    total = sum(p.numel() for p in parameters.values())
    return sum(counts.values()) / max(1, total)


def _comparable(importance, tensor):
    """The importance on the tensor's device, in the wider precision of both, float32 at least."""
    dtype = torch.promote_types(importance.dtype, tensor.dtype)
    return at_least_float32(importance.to(tensor.device, dtype))


def _numbers(scalars):
    """{name: tensor of one number} as Python's numbers. A GPU is waited for only once."""
    if not scalars:
        return {}
    values = torch.stack(list(scalars.values())).tolist()
    return dict(zip(scalars, values, strict=True))


def sorted_ratios(full: Importances, forget: Importances) -> Tensor:
    """I_Df / I_D of all parameters in ascending order, [at most P].

    NaN and infinity, where I_D is 0, are omitted. Sorting is what an adaptive alpha costs: any
    number of percentiles can then be read. float32, or float64 where an importance is that.
    ValueError where nothing is left, where an importance is not finite, or where the two are of
    different models; TypeError for no dict.
    """
    _check_importances("I_D", full, full)
    _check_importances("I_Df", forget, full)
    parts = []
    for name in full:
        i_full = _comparable(full[name], forget[name])
        i_forget = _comparable(forget[name], i_full)
        parts.append((i_forget / i_full).flatten())
    ratios = torch.cat(parts) if parts else torch.zeros(0)
    ratios = ratios[torch.isfinite(ratios)].sort().values
    if len(ratios) == 0:
        reason = "the importances are zero everywhere; the model or its data may be broken"
        raise ValueError(f"no parameter has a finite I_Df / I_D; {reason}")
    return ratios


def adaptive_alpha(ratios: Tensor, share_forgotten: float, strength: float = 1.0) -> float:
    """The p-th percentile of I_Df / I_D, p = 100 - ln(1 + 100 s |D_f| / |D|). arXiv:2402.10098.

    ratios: as `sorted_ratios` gives them. share_forgotten: |D_f| / |D|, in (0, 1]. strength: s, of
    Potion's search (arXiv:2406.09173). At most 100 percent are ever selected.
    """
    selected_percent = min(100.0, math.log1p(100 * strength * share_forgotten))
    # Linear interpolation between the two neighbours of this position.
    position = (1 - selected_percent / 100) * (len(ratios) - 1)
    below = float(ratios[int(position)])
    above = float(ratios[math.ceil(position)])
    return below + (position - int(position)) * (above - below)


def unlearn(
    model: nn.Module,
    forget_batches: Iterable[Sequence],
    full_batches: Iterable[Sequence],
    *,
    alpha: float | str,
    lam: float,
    measure: str = "fisher",
    per_sample: bool = False,
) -> nn.Module:
    """Make `model` forget `forget_batches`: both importances, then `dampen`.

    The model is changed in place and returned.

    alpha: a number, or "adaptive" (with the paper's lam = 1: Adaptive SSD).
    forget_batches, full_batches, measure, per_sample: as for `importance`.
    Warns where alpha is too large to select anything.
    Errors: as for `importance` and `dampen`. Settings are checked before any work. D_f is read
    before D, since it is the smaller: what is wrong with it, or with the network, is said early.
    """
    is_adaptive = isinstance(alpha, str) and alpha == "adaptive"
    threshold = None if is_adaptive else _checked_alpha(alpha, or_else=', or "adaptive"')
    lam = _checked_lam(lam)
    for batches in (forget_batches, full_batches):
        _check_batches(batches)
    if forget_batches is full_batches and iter(full_batches) is full_batches:
        message = "D_f and D are one iterator, which can be read only once"
        raise ValueError(f"{message}; give two lists or DataLoaders")
    forget, forget_size = _importance_and_size(model, forget_batches, measure, per_sample)
    full, full_size = _importance_and_size(model, full_batches, measure, per_sample)
    if threshold is None:
        threshold = adaptive_alpha(sorted_ratios(full, forget), forget_size / full_size)
    else:
        warn_at_ceiling(threshold, full_size, forget_size)
    share_selected = dampen(model, full, forget, alpha=threshold, lam=lam)
    if share_selected == 0:
        message = "no parameter was selected, so the model is unchanged; take a smaller alpha"
        warnings.warn(message, stacklevel=2)
    return model


def warn_at_ceiling(alpha: float, full_size: int, forget_size: int) -> None:
    """Warn where alpha >= |D| / |D_f|.

    Where D's batches over D_f are D_f's own, I_D is at least |D_f| / |D| of I_Df. Such an alpha
    then selects nothing.
    """
    ceiling = full_size / forget_size
    if alpha >= ceiling:
        message = f"alpha = {alpha:g} reaches |D| / |D_f| = {ceiling:.4g}"
        reason = "where D's batches over D_f are D_f's own, nothing can be selected"
        warnings.warn(f"{message}: {reason}; take a smaller alpha", stacklevel=2)


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Every module in eval mode, and each back in its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


# ---- the measures ----


class _Batch(NamedTuple):
    """One of the batches."""

    number: int  # from 1, for messages
    x: Tensor  # [B, ...]
    y: Tensor  # [B] integers


class Measure(NamedTuple):
    """A way to measure importance: the mean size of the gradients of some losses."""

    name: str
    losses: Callable  # (logits [B, C], y [B]) -> [K, B]: K losses of each sample
    power: int  # the gradients' size: their absolute values, to this power
    least_classes: int  # with fewer all gradients are zero
    reads_labels: bool = False


def _cross_entropies(logits, y):
    """CE(f(x), y), [1, B]."""
    return F.cross_entropy(logits, y.long(), reduction="none")[None]


def _squared_norms(logits, y):
    """||f(x)||_2^2, [1, B]."""
    return logits.square().sum(1)[None]


def _norms(logits, y):
    """||f(x)||_2, [1, B]."""
    return torch.linalg.vector_norm(logits, dim=1)[None]


def _weighted_cross_entropies(logits, y):
    """sqrt(p(c)) CE(f(x), c) for every label c, [C, B].

    The squares of its gradients are those of CE(f(x), c), weighted by p(c), the model's own
    probability.
    """
    log_p = F.log_softmax(logits, 1)
    return (-(log_p.detach() / 2).exp() * log_p).T


MEASURES = {
    "fisher": Measure("fisher", _cross_entropies, 2, least_classes=2, reads_labels=True),
    "norm": Measure("norm", _squared_norms, 1, least_classes=1),
    "xlf": Measure("xlf", _norms, 1, least_classes=1),
    "true_fisher": Measure("true_fisher", _weighted_cross_entropies, 2, least_classes=2),
}


def _trainable(model):
    """{name: parameter} of those that are not frozen."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _add_batch_mean(sums, model, batch, measure):
    """Add |gradient of the batch's mean loss|^power, all parameters at once."""
    output = model(batch.x)
    _check_logits(output, batch, measure)
    logits = at_least_float32(output)
    losses = measure.losses(logits, batch.y)
    _check_losses(losses, model, batch)
    parameters = _trainable(model)
    scales_loss = computes_in_float16(model, output)
    gradients = _gradients(losses.mean(), logits, list(parameters.values()), scales_loss)
    by_name = {n: g for n, g in zip(parameters, gradients, strict=True) if g is not None}
    _check_dense(by_name)
    used_sums = [sums[name] for name in by_name]
    gradients = list(by_name.values())
    if measure.power == 2:
        torch._foreach_addcmul_(used_sums, gradients, gradients)
    else:
        torch._foreach_add_(used_sums, torch._foreach_abs(gradients))


def _gradients(loss, logits, parameters, scales_loss):
    """The loss's gradients in the parameters, float32 or wider; None where there is none.

    scales_loss: in float16 small gradients would vanish unless the loss is scaled.
    """
    scale = None
    if scales_loss:
        (logit_gradients,) = torch.autograd.grad(loss, logits, retain_graph=True)
        scale = loss_scale(logit_gradients.flatten())

    def compute(scale):
        value = loss if scale is None else loss * scale
        options = {"allow_unused": True, "retain_graph": scales_loss}
        return torch.autograd.grad(value, parameters, **options)

    return unscaled_gradients(compute, scale)


def _add_samples(sums, model, batch, measure):
    """Add |gradient of each sample's own loss|^power, parameter by parameter."""

    def losses_of(logits, samples):
        return measure.losses(logits, batch.y[samples])

    def check(output):
        _check_logits(output, batch, measure)
        _check_losses(measure.losses(at_least_float32(output), batch.y), model, batch)

    parameters = _trainable(model)
    # Squares of single samples' gradients would keep two digits in the half precision of autocast.
    with torch.autocast(batch.x.device.type, enabled=False):
        parts = per_sample_sums(model, parameters, batch.x, losses_of, measure.power, check)
        for name, value in parts:
            sums[name] += value


# ---- what is refused, each in one line that names the way out ----
# First the settings, then the model, the batches, what the model gives, and the importances.


def _brief(value):
    """A value as an error shows it: one line of at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _checked_number(name, value, wanted):
    """The value as one of Python's numbers, 0 or more; `wanted` says what it must be."""
    is_scalar = hasattr(value, "item") and getattr(value, "ndim", 0) == 0
    number = value.item() if is_scalar else value  # NumPy's and torch's numbers
    message = f"{name} is {_brief(value)}; it must be {wanted}"
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(message)
    if not number >= 0:  # NaN is neither
        raise ValueError(message)
    return number


def _checked_alpha(alpha, or_else=""):
    return _checked_number("alpha", alpha, f"a number, 0 or more, not negative{or_else}")


def _checked_lam(lam):
    wanted = "a finite number, 0 or more, not negative"
    lam = _checked_number("lam", lam, wanted)
    if lam == math.inf:  # times an importance of 0 it is NaN
        raise ValueError(f"lam is {lam}; it must be {wanted}")
    return lam


def _check_measure(measure, per_sample):
    is_known = measure in list(MEASURES)  # also where it is no word, and cannot be hashed
    if not is_known or (measure == "true_fisher" and not per_sample):
        choices = ", ".join(MEASURES)
        wanted = f"one of {choices} (true_fisher: with per_sample)"
        raise ValueError(f"measure is {_brief(measure)}; it must be {wanted}")


def _checked_parameters(model):
    """{name: parameter} of a model that can be dampened."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {_brief(model)}; it must be a torch.nn.Module")
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
    devices = sorted({str(p.device) for p in parameters.values()})
    if len(devices) > 1:
        places = ", ".join(devices)
        raise ValueError(f"the model's parameters lie on {places}; move the model to one device")
    return parameters


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
        (hasattr(p, "device_mesh"), "is sharded; gather the whole model on one device first"),
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


def _check_trainable(model):
    """Besides the above, what gradients need."""
    parameters = _checked_parameters(model)
    if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
        way_out = "call this outside torch.no_grad() and torch.inference_mode()"
        raise ValueError(f"importances need gradients; {way_out}")
    if not any(p.requires_grad for p in parameters.values()):
        way_out = "call requires_grad_(True) on the model or on the layers that may forget"
        raise ValueError(f"all parameters of the model are frozen; {way_out}")
    for name, module in model.named_modules():
        is_embedding = isinstance(module, nn.Embedding | nn.EmbeddingBag)
        if is_embedding and module.sparse and module.weight.requires_grad:
            layer = name or type(module).__name__
            raise ValueError(f"layer {layer} gives sparse gradients; make it with sparse=False")


def _check_batches(batches):
    if not (hasattr(batches, "__iter__") or hasattr(batches, "__getitem__")):
        wanted = "an iterable of pairs (x [B, ...], y [B])"
        raise TypeError(f"batches is {_brief(batches)}; it must be {wanted}")


def _checked_pair(parts, number):
    """(x, y) of a batch's parts: tensors of as many samples."""
    wanted = "batches must be pairs (x [B, ...], y [B]) of tensors"
    if not isinstance(parts, tuple | list):
        raise TypeError(f"batch {number} is of type {type(parts).__name__}; {wanted}")
    if len(parts) < 2:
        raise ValueError(f"batch {number} has {len(parts)} parts; {wanted}")
    x, y = parts[:2]
    for title, part in (("x", x), ("y", y)):
        if not isinstance(part, Tensor):
            raise TypeError(f"{title} of batch {number} is of type {type(part).__name__}; {wanted}")
    if x.dim() == 0 or y.dim() == 0 or len(x) != len(y):
        shapes = f"x {list(x.shape)} and y {list(y.shape)}"
        raise ValueError(f"batch {number} has {shapes}; {wanted}, with one label for each sample")
    return _outside_inference_mode(x), _outside_inference_mode(y)


def _outside_inference_mode(tensor):
    """The tensor, or a copy that may take part in a backward pass."""
    return tensor.clone() if tensor.is_inference() else tensor


def _check_logits(logits, batch, measure):
    """Refuse what is no [B, C] of logits, and labels [B] that are no classes of it."""
    wanted = "it must give logits [B, C], for labels [B]"
    if not isinstance(logits, Tensor):
        kind = type(logits).__name__
        way_out = "wrap it in a module that returns only the logits"
        raise TypeError(f"the model gives a {kind}; {wanted}; {way_out}")
    shape = list(logits.shape)
    if len(shape) != 2 or shape[0] != len(batch.y):
        raise ValueError(f"the model gives {shape} for {len(batch.y)} samples; {wanted}")
    if not logits.is_floating_point():
        raise ValueError(f"the model gives {logits.dtype}; {wanted} in floating point")
    if not logits.requires_grad:
        message = "no gradient flows from the logits to a parameter that is not frozen"
        raise ValueError(f"{message}; the model must not detach them or run in torch.no_grad()")
    num_classes = shape[1]
    if num_classes < measure.least_classes:
        wanted = f"{measure.name} needs {measure.least_classes} or more"
        raise ValueError(f"the model gives {shape}, logits of {num_classes} classes; {wanted}")
    if measure.reads_labels:
        _check_labels(batch, num_classes)


def _check_labels(batch, num_classes):
    y = batch.y
    wanted = f"labels must be integers [B] from 0 to {num_classes - 1}, the model's classes"
    is_integer = not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)
    if y.dim() != 1 or not is_integer:
        kind = f"{y.dtype} {list(y.shape)}"
        raise ValueError(f"the labels of batch {batch.number} are {kind}; {wanted}")
    y = y.long()
    in_range = (y >= 0) & (y < num_classes)
    if not bool(in_range.all()):  # on a GPU cross_entropy would take the whole process down
        label = int(y[~in_range][0])
        raise ValueError(f"batch {batch.number} has the label {label}; {wanted}")


def _check_losses(losses, model, batch):
    """Name what is not finite where a loss is not."""
    if bool(torch.isfinite(losses).all()):
        return
    message = f"the loss of batch {batch.number} is not finite"
    tensors = [*model.named_parameters(), ("x", batch.x), *model.named_buffers()]
    for name, tensor in tensors:
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{message}: {name} holds NaN or infinity; mend or omit it")
    raise ValueError(f"{message}: the network overflows; run it in a wider precision")


def _check_dense(gradients):
    for name, g in gradients.items():
        if g.layout != torch.strided:
            raise ValueError(f"the gradient of {name} is sparse; make its layer with sparse=False")


def _check_sums(sums):
    """Refuse sums of which any is not finite."""
    finite = {name: torch.isfinite(value).all() for name, value in sums.items()}
    for name, is_finite in _numbers(finite).items():
        if not is_finite:
            reason = "its gradients hold NaN or overflow"
            way_out = "look for NaN in the weights and the data"
            raise ValueError(f"the importance of {name} is not finite: {reason}; {way_out}")


def _check_importances(title, importances, tensors):
    """Refuse importances that are not finite numbers of 0 or more for each of the tensors."""
    wanted = "it must be what importance() returned, {parameter name: tensor}"
    if not isinstance(importances, dict):
        raise TypeError(f"{title} is of type {type(importances).__name__}; {wanted}")
    sound = {}
    for name, tensor in tensors.items():
        value = importances.get(name)
        is_real = isinstance(value, Tensor) and not value.is_complex()
        if not is_real or value.shape != tensor.shape:
            message = f"{title} holds nothing of {name}'s shape and is another model's"
            raise ValueError(f"{message}; {wanted}")
        sound[name] = (torch.isfinite(value) & (value >= 0)).all()
    for name, is_sound in _numbers(sound).items():
        if not is_sound:
            way_out = "look for NaN in the model and its data"
            raise ValueError(f"{title} of {name} is not finite or is negative; {way_out}")
