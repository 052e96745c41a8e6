"""Selective Synaptic Dampening: forget without training. Needs torch alone and works on any nn.Module.

Foster, Schoepf, Brintrup: Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening,
AAAI 2024, arXiv:2308.07707. Its label-free measure ("norm"): Loss-Free SSD, arXiv:2402.19308; the norm not squared
("xlf"): Potion, arXiv:2406.09173. An alpha that nobody need choose: Adaptive SSD, arXiv:2402.10098.

    importance   I_S = mean over batches b of S of ( d/dtheta mean_{(x,y) in b} CE(f(x), y) )^2
    select       I_Df > alpha * I_D
    dampen       theta <- min( lam * I_D / I_Df, 1 ) * theta           for the selected parameters
    adaptive     alpha = p-th percentile of I_Df / I_D,   p = 100 - ln( 1 + 100 s |D_f| / |D| ),   s = 1

D is all that the model was trained on, D_f included. Beware: gradients are squared batch by batch, so importances depend
on batch size and order, and published values of alpha belong to batches of 64 of a set sorted by class (128 of a shuffled
one for random forgetting). `per_sample=True` depends on neither.

Networks in float16 and bfloat16 are taken as they are. Gradients are squared, summed and compared
in float32.
"""

import math
import warnings
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from per_sample_gradients import (
    at_least_float32,
    computes_in_float16,
    loss_scale,
    per_sample_sums,
    unscaled_gradients,
)

PARAMETER_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def importance(model, batches, *, measure="fisher", per_sample=False):
    """How much each parameter matters for `batches`, an iterable of (x [B, ...], y [B] integers).

    measure: "fisher", the squared gradient of the cross-entropy (SSD); "norm", the absolute
    gradient of ||f(x)||_2^2, labels ignored (LFSSD); "xlf", that of ||f(x)||_2 (Potion);
    "true_fisher", only with per_sample: squared gradients of the cross-entropy to every label, each
    weighted by the model's own probability for it.
    per_sample: every sample's own gradient is squared (or its absolute value taken), not the batch
    mean's, and samples weigh the same. Without it batches weigh the same, a short last one too.
    The model gives logits [B, C]. Batches without samples are left out.

    Returns {parameter name: tensor of the parameter's shape}, zero where no gradient flows. The
    tensors are float32, or float64 for parameters in float64. The model is run in eval mode and
    given back as it came.
    ValueError or TypeError, of one line, for: an unknown measure; a model without parameters that
    can be trained; gradients switched off; batches or logits of another form; labels that are not
    classes; no batches; importances that are not finite.
    """
    values, _ = _importance_and_size(model, batches, measure, per_sample)
    return values


def _importance_and_size(model, batches, measure, per_sample):
    """(what importance() returns, the number of samples that it was taken from)."""
    _check_measure(measure, per_sample)
    _check_batches(batches)
    _check_trainable(model)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {}
    for name, p in model.named_parameters():
        total[name] = at_least_float32(torch.zeros_like(p))
    device = next(iter(total.values())).device
    add = _add_samples if per_sample else _add_batch_mean
    batch_count, sample_count = 0, 0
    with _eval_mode(model):
        for number, batch in enumerate(batches, 1):
            x, y = _checked_pair(batch, number)
            if len(x) == 0:
                continue
            with torch.enable_grad():  # batches from a generator that is in torch.no_grad()
                add(total, model, parameters, x.to(device), y.to(device), measure, number)
            batch_count += 1
            sample_count += len(x)
            if batch_count == 1:  # what is wrong with the network is said before the other batches
                _check_finite(total)
    if batch_count == 0:
        reason = "the iterable is empty, or it is an iterator that was used up before"
        message = f"there are no batches to take importances from: {reason}"
        raise ValueError(f"{message}; give a list or a DataLoader")
    _check_finite(total)
    count = sample_count if per_sample else batch_count
    return {name: value / count for name, value in total.items()}, sample_count


@torch.no_grad()
def dampen(model, full, forget, *, alpha, lam, shares=None):
    """Shrink in place the parameters whose I_Df is more than alpha times their I_D.

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
        i_full = _beside(full[name], p)
        i_forget = _beside(forget[name], p)
        chosen = i_forget > alpha * i_full
        factor = (lam * i_full / i_forget).clamp(max=1)
        p.copy_(torch.where(chosen, factor * p, p))
        counts[name] = chosen.sum()
    torch.clear_autocast_cache()  # of the weights as they were
    counts = _at_once(counts)
    if shares is not None:
        for name, count in counts.items():
            shares[name] = count / max(1, parameters[name].numel())
    return sum(counts.values()) / max(1, sum(p.numel() for p in parameters.values()))


def _beside(importance, p):
    """The importance on p's device, in the wider precision of both and at least float32."""
    dtype = torch.promote_types(importance.dtype, p.dtype)
    return at_least_float32(importance.to(p.device, dtype))


def _at_once(scalars):
    """{name: tensor of one number} as Python's numbers, for which a GPU is waited for once."""
    return (
        dict(zip(scalars, torch.stack(list(scalars.values())).tolist(), strict=True))
        if scalars
        else {}
    )


def sorted_ratios(full, forget):
    """I_Df / I_D of all parameters in ascending order, [P' <= P]; left out: NaN and infinity, where I_D is 0.

    Sorting is what an adaptive alpha costs; any number of percentiles can then be read.
    float32, or float64 where an importance is. ValueError where nothing is left, where an
    importance is not finite, or where the two are of different models; TypeError for no dict.
    """
    _check_importances("I_D", full, full)
    _check_importances("I_Df", forget, full)
    ratios = []
    for name in full:
        i_full = _beside(full[name], forget[name])
        i_forget = _beside(forget[name], i_full)
        ratios.append((i_forget / i_full).flatten())
    ratios = torch.cat(ratios) if ratios else torch.zeros(0)
    ratios = ratios[torch.isfinite(ratios)].sort().values
    if not len(ratios):
        raise ValueError(
            "no parameter has a finite I_Df / I_D; the importances are zero, and the model or its data broken"
        )
    return ratios


def adaptive_alpha(ratios, share_forgotten, strength=1.0):
    """The alpha that leaves ln(1 + 100 s |D_f| / |D|) percent of the sorted ratios above it, linearly interpolated.

    share_forgotten: |D_f| / |D|, in (0, 1]; strength: s, of Potion's search (at most 100 percent are ever selected).
    """
    selected = min(100.0, math.log1p(100 * strength * share_forgotten))
    at = (1 - selected / 100) * (len(ratios) - 1)
    low, high = (float(ratios[int(position)]) for position in (at, math.ceil(at)))
    return low + (at - int(at)) * (high - low)


def unlearn(model, forget_batches, full_batches, *, alpha, lam, measure="fisher", per_sample=False):
    """Make `model` forget `forget_batches`: both importances, then `dampen`.

    The model is changed in place and returned.

    alpha: a number, or "adaptive" (with the paper's lam = 1: Adaptive SSD).
    forget_batches, full_batches, measure, per_sample: as for `importance`.
    Errors: as for `importance` and `dampen`. Settings are checked before any work. D_f is read
    before D, since it is the smaller: what is wrong with it, or with the network, is said early.
    """
    is_adaptive = isinstance(alpha, str) and alpha == "adaptive"
    if not is_adaptive:
        alpha = _checked_alpha(alpha, or_else=', or "adaptive"')
    lam = _checked_lam(lam)
    for batches in (forget_batches, full_batches):
        _check_batches(batches)
    if forget_batches is full_batches and iter(full_batches) is full_batches:
        message = "D_f and D are one iterator, which can be read only once"
        raise ValueError(f"{message}; give two lists or DataLoaders")
    forget, forget_size = _importance_and_size(model, forget_batches, measure, per_sample)
    full, full_size = _importance_and_size(model, full_batches, measure, per_sample)
    if is_adaptive:
        alpha = adaptive_alpha(sorted_ratios(full, forget), forget_size / full_size)
    else:
        warn_at_ceiling(alpha, full_size, forget_size)
    share_selected = dampen(model, full, forget, alpha=alpha, lam=lam)
    if share_selected == 0:
        message = "no parameter was selected, so the model is unchanged; take a smaller alpha"
        warnings.warn(message, stacklevel=2)
    return model


def warn_at_ceiling(alpha, full_size, forget_size):
    """Warn where alpha >= |D| / |D_f|: where D's batches over D_f are D_f's own, nothing can be selected any more."""
    if alpha >= full_size / forget_size:
        warnings.warn(
            f"alpha = {alpha:g} reaches |D| / |D_f| = {full_size / forget_size:.4g}: where D's "
            "batches over D_f are D_f's own, nothing can be selected; take a smaller alpha",
            stacklevel=2,
        )


@contextmanager
def _eval_mode(model):
    """Every module in eval mode, and each back in its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


# ---- the measures: K losses per sample, [K, B], and the power to which the size of their gradients is taken ----


def _rooted(log_p):
    """[C, B] of sqrt(p(c)) CE(f(x), c): the squares of its gradients are those of CE(f(x), c), weighted by p(c)."""
    return (-(log_p.detach() / 2).exp() * log_p).T


LOSSES = {
    "fisher": lambda logits, y: F.cross_entropy(logits, y.long(), reduction="none")[None],
    "norm": lambda logits, y: logits.square().sum(1)[None],
    "xlf": lambda logits, y: torch.linalg.vector_norm(logits, dim=1)[None],
    "true_fisher": lambda logits, y: _rooted(F.log_softmax(logits, 1)),
}


POWER = {"fisher": 2, "norm": 1, "xlf": 1, "true_fisher": 2}


def _add_batch_mean(total, model, parameters, x, y, measure, number):
    """Add the size of the gradient of the batch's mean loss, all parameters at once."""
    given = model(x)
    _check_logits(given, y, measure, number)
    logits = at_least_float32(given)
    losses = LOSSES[measure](logits, y)
    _check_losses(losses, model, x, number)
    in_float16 = computes_in_float16(model, given)
    gradients = _gradients(losses.mean(), logits, list(parameters.values()), in_float16)
    used = {name: g for name, g in zip(parameters, gradients, strict=True) if g is not None}
    _check_dense(used)
    sums = [total[name] for name in used]
    gradients = [at_least_float32(g) for g in used.values()]
    if POWER[measure] == 2:
        torch._foreach_addcmul_(sums, gradients, gradients)
    else:
        torch._foreach_add_(sums, torch._foreach_abs(gradients))


def _gradients(loss, logits, parameters, in_float16):
    """The loss's gradients in the parameters, None where there is none.

    in_float16: the loss is scaled, so that small gradients do not vanish, and they come in float32.
    """
    scale = None
    if in_float16:
        (logit_gradients,) = torch.autograd.grad(loss, logits, retain_graph=True)
        scale = loss_scale(logit_gradients.flatten())

    def compute(scale):
        value = loss if scale is None else loss * scale
        options = {"allow_unused": True, "retain_graph": in_float16}
        return torch.autograd.grad(value, parameters, **options)

    return unscaled_gradients(compute, scale)


def _add_samples(total, model, parameters, x, y, measure, number):
    """Add the size of each sample's own gradient, parameter by parameter."""

    def losses_of(logits, samples):
        return LOSSES[measure](logits, y[samples])

    def check(given):
        _check_logits(given, y, measure, number)
        _check_losses(LOSSES[measure](at_least_float32(given), y), model, x, number)

    # Squares of single samples' gradients would keep two digits in the half precision of autocast.
    with torch.autocast(x.device.type, enabled=False):
        sums = per_sample_sums(model, parameters, x, losses_of, POWER[measure], check)
        for name, value in sums:
            total[name] += value


# ---- what is refused, each in one line that names the way out ----


def _brief(value):
    """A value as an error shows it: one line of at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _checked_number(name, value, wanted):
    """The value as one of Python's numbers, 0 or more; `wanted` says what it must be."""
    is_scalar = hasattr(value, "item") and getattr(value, "ndim", 0) == 0
    number = value.item() if is_scalar else value  # NumPy's and torch's numbers
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"{name} is {_brief(value)}; it must be {wanted}")
    if not number >= 0:  # NaN is neither
        raise ValueError(f"{name} is {_brief(value)}; it must be {wanted}")
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
    is_known = measure in list(LOSSES)
    if not is_known or (measure == "true_fisher" and not per_sample):
        choices = ", ".join(LOSSES)
        wanted = f"one of {choices} (true_fisher: with per_sample)"
        raise ValueError(f"measure is {_brief(measure)}; it must be {wanted}")


def _check_batches(batches):
    if not (hasattr(batches, "__iter__") or hasattr(batches, "__getitem__")):
        wanted = "an iterable of pairs (x [B, ...], y [B])"
        raise TypeError(f"batches is {_brief(batches)}; it must be {wanted}")


def _checked_parameters(model):
    """{name: parameter} of a model that can be dampened."""
    if not isinstance(model, torch.nn.Module):
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


def _reason_against(p):
    """Why a parameter cannot be dampened, or None."""
    if torch.nn.parameter.is_lazy(p):
        return "has no shape yet; run the model on one batch first"
    if hasattr(p, "device_mesh"):
        return "is sharded; gather the whole model on one device first"
    if p.device.type == "meta":
        return "is on the meta device, where it has no values; load the weights first"
    if p.layout != torch.strided:
        return f"is a sparse tensor ({p.layout}); make it dense first (to_dense)"
    if p.dtype not in PARAMETER_DTYPES:
        return f"is {p.dtype}; it must be float16, bfloat16, float32 or float64 (not quantized)"
    if p.is_inference():
        return "was made in torch.inference_mode(); make or load the model outside of it"
    return None


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
        is_embedding = isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag)
        if is_embedding and module.sparse and module.weight.requires_grad:
            layer = name or type(module).__name__
            raise ValueError(f"layer {layer} gives sparse gradients; make it with sparse=False")


def _check_dense(gradients):
    for name, g in gradients.items():
        if g.layout != torch.strided:
            raise ValueError(f"the gradient of {name} is sparse; make its layer with sparse=False")


def _checked_pair(batch, number):
    """(x, y) of a batch: tensors of as many samples."""
    wanted = "batches must be pairs (x [B, ...], y [B]) of tensors"
    if not isinstance(batch, tuple | list):
        raise TypeError(f"batch {number} is of type {type(batch).__name__}; {wanted}")
    if len(batch) < 2:
        raise ValueError(f"batch {number} has {len(batch)} parts; {wanted}")
    batch = batch[:2]
    for title, part in zip("xy", batch, strict=True):
        if not isinstance(part, torch.Tensor):
            raise TypeError(f"{title} of batch {number} is of type {type(part).__name__}; {wanted}")
    x, y = (_outside_inference_mode(part) for part in batch)
    if x.dim() == 0 or y.dim() == 0 or len(x) != len(y):
        shapes = f"x {list(x.shape)} and y {list(y.shape)}"
        raise ValueError(f"batch {number} has {shapes}; {wanted}, with one label for each sample")
    return x, y


def _outside_inference_mode(tensor):
    """The tensor, or a copy that may take part in a backward pass."""
    return tensor.clone() if tensor.is_inference() else tensor


def _check_logits(logits, y, measure, number):
    """Refuse what is no [B, C] of logits, and labels [B] that are no classes of it."""
    wanted = "it must give logits [B, C], for labels [B]"
    if not isinstance(logits, torch.Tensor):
        kind = type(logits).__name__
        way_out = "wrap it in a module that returns only the logits"
        raise TypeError(f"the model gives a {kind}; {wanted}; {way_out}")
    shape = list(logits.shape)
    if len(shape) != 2 or shape[0] != len(y):
        raise ValueError(f"the model gives {shape} for {len(y)} samples; {wanted}")
    if not logits.is_floating_point():
        raise ValueError(f"the model gives {logits.dtype}; {wanted} in floating point")
    if not logits.requires_grad:
        message = "no gradient flows from the logits to a parameter that is not frozen"
        raise ValueError(f"{message}; the model must not detach them or run in torch.no_grad()")
    num_classes = shape[1]
    least = 1 if measure in ("norm", "xlf") else 2
    if num_classes < least:
        wanted = f"{measure} needs {least} or more"
        raise ValueError(f"the model gives {shape}, logits of {num_classes} classes; {wanted}")
    if measure == "fisher":
        _check_labels(y, num_classes, number)


def _check_labels(y, num_classes, number):
    wanted = f"labels must be integers [B] from 0 to {num_classes - 1}, the model's classes"
    is_integer = not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)
    if y.dim() != 1 or not is_integer:
        kind = f"{y.dtype} {list(y.shape)}"
        raise ValueError(f"the labels of batch {number} are {kind}; {wanted}")
    y = y.long()
    in_range = (y >= 0) & (y < num_classes)
    if not bool(in_range.all()):  # on a GPU cross_entropy would take the whole process down
        label = int(y[~in_range][0])
        raise ValueError(f"batch {number} has the label {label}; {wanted}")


def _check_losses(losses, model, x, number):
    """Name what is not finite where a loss is not."""
    if bool(torch.isfinite(losses).all()):
        return
    tensors = [*model.named_parameters(), ("x", x), *model.named_buffers()]
    for name, tensor in tensors:
        if not bool(torch.isfinite(tensor).all()):
            cause = f"{name} holds NaN or infinity; mend it or leave it out"
            raise ValueError(f"the loss of batch {number} is not finite: {cause}")
    cause = "the network overflows; run it in a wider precision"
    raise ValueError(f"the loss of batch {number} is not finite: {cause}")


def _check_finite(total):
    """Refuse sums of which any is not finite."""
    finite = {name: torch.isfinite(value).all() for name, value in total.items()}
    for name, is_finite in _at_once(finite).items():
        if not is_finite:
            reason = "its gradients hold NaN or overflow"
            way_out = "look for NaN in the weights and the data"
            raise ValueError(f"the importance of {name} is not finite: {reason}; {way_out}")


def _check_importances(title, importances, shaped):
    """Refuse importances that are not finite numbers of 0 or more for each tensor of `shaped`."""
    wanted = "it must be what importance() returned, {parameter name: tensor}"
    if not isinstance(importances, dict):
        raise TypeError(f"{title} is of type {type(importances).__name__}; {wanted}")
    sound = {}
    for name, tensor in shaped.items():
        value = importances.get(name)
        is_real = isinstance(value, torch.Tensor) and not value.is_complex()
        if not is_real or value.shape != tensor.shape:
            message = f"{title} holds nothing of {name}'s shape and is another model's"
            raise ValueError(f"{message}; {wanted}")
        sound[name] = (torch.isfinite(value) & (value >= 0)).all()
    for name, is_sound in _at_once(sound).items():
        if not is_sound:
            way_out = "look for NaN in the model and its data"
            raise ValueError(f"{title} of {name} is not finite or is negative; {way_out}")
