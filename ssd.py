"""Selective Synaptic Dampening: forget without training. Needs torch alone and works on any nn.Module.

Foster, Schoepf, Brintrup: Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening,
AAAI 2024, arXiv:2308.07707. Its label-free measure ("norm"): Loss-Free SSD, arXiv:2402.19308.

    importance   I_S = mean over batches b of S of ( d/dtheta mean_{(x,y) in b} CE(f(x), y) )^2
    select       I_Df > alpha * I_D
    dampen       theta <- min( lam * I_D / I_Df, 1 ) * theta           for the selected parameters

D is all that the model was trained on, D_f included. Beware: gradients are squared batch by batch, so importances depend
on batch size and order, and published values of alpha belong to batches of 64 of a set sorted by class (128 of a shuffled
one for random forgetting). `per_sample=True` depends on neither.
"""

import warnings
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


def importance(model, batches, *, measure="fisher", per_sample=False):
    """How much each parameter matters for `batches`, an iterable of (x [B, ...], y [B] int64).

    measure: "fisher", the squared gradient of the cross-entropy (SSD); "norm", the absolute gradient of ||f(x)||_2^2,
    labels ignored (LFSSD). Batches weigh the same, a short last one too. per_sample: every sample's own gradient is
    squared (or its absolute value taken) instead of the batch mean's, and samples weigh the same.
    Returns {parameter name: tensor of the parameter's shape}, zero where no gradient flows. The model is run in eval
    mode and given back as it came. ValueError for an unknown measure or no batches.
    """
    if measure not in LOSSES:
        raise ValueError(f"measure is {measure!r}; it must be one of {', '.join(LOSSES)}")
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    device = next(iter(total.values())).device
    gradients = _sums_per_sample if per_sample else _of_batch_mean
    count = 0
    with _eval_mode(model):
        for x, y in batches:
            x, y = x.to(device), y.to(device)
            for name, value in gradients(model, parameters, x, y, measure):
                total[name] += value
            count += len(y) if per_sample else 1
    if count == 0:
        raise ValueError("there are no batches to take importances from")
    return {name: value / count for name, value in total.items()}


@torch.no_grad()
def dampen(model, full, forget, *, alpha, lam):
    """Shrink in place the parameters that matter more to the forget set than alpha times to the full set.

    full, forget: importances I_D and I_Df. alpha: smaller selects more. lam (lambda): smaller dampens further.
    Returns the share of parameters selected, in [0, 1]. ValueError for negative or NaN dials, importances that are not
    finite or not of this model; the model is then untouched.
    """
    if not (alpha >= 0 and lam >= 0):
        raise ValueError(f"alpha is {alpha} and lam {lam}; neither may be negative")
    parameters = dict(model.named_parameters())
    for name, p in parameters.items():
        for importances in (full, forget):
            if name not in importances or importances[name].shape != p.shape:
                raise ValueError(f"the importances hold nothing of {name}'s shape; they are another model's")
            if not torch.isfinite(importances[name]).all():
                raise ValueError(f"the importance of {name} is not finite; the model or its data are broken")
    selected = 0
    for name, p in parameters.items():
        i_full, i_forget = full[name].to(p), forget[name].to(p)
        chosen = i_forget > alpha * i_full
        factor = (lam * i_full / i_forget).clamp(max=1)
        p.copy_(torch.where(chosen, factor * p, p))
        selected += int(chosen.sum())
    return selected / max(1, sum(p.numel() for p in parameters.values()))


def unlearn(model, forget_batches, full_batches, *, alpha, lam, measure="fisher", per_sample=False):
    """Make `model` forget `forget_batches`: both importances, then `dampen`. Changes the model in place, returns it."""
    sizes = {"full": 0, "forget": 0}
    full = importance(model, _counted(full_batches, sizes, "full"), measure=measure, per_sample=per_sample)
    forget = importance(model, _counted(forget_batches, sizes, "forget"), measure=measure, per_sample=per_sample)
    warn_at_ceiling(alpha, sizes["full"], sizes["forget"])
    dampen(model, full, forget, alpha=alpha, lam=lam)
    return model


def warn_at_ceiling(alpha, full_size, forget_size):
    """Warn where alpha >= |D| / |D_f|: where D's batches over D_f are D_f's own, nothing can be selected any more."""
    if alpha >= full_size / forget_size:
        warnings.warn(f"alpha = {alpha:g} reaches |D| / |D_f| = {full_size / forget_size:.4g}: where D's "
                      "batches over D_f are D_f's own, nothing can be selected; take a smaller alpha", stacklevel=2)  # fmt: skip


def _counted(batches, sizes, name):
    for x, y in batches:
        sizes[name] += len(y)
        yield x, y


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


# ---- the two measures: a loss per sample, [B], and what its gradient is turned into ----

LOSSES = {
    "fisher": lambda logits, y: F.cross_entropy(logits, y, reduction="none"),
    "norm": lambda logits, y: logits.square().sum(1),
}
SIZES = {"fisher": torch.square, "norm": torch.abs}


def _of_batch_mean(model, parameters, x, y, measure):
    """(name, size of the gradient of the batch's mean loss), parameter by parameter."""
    loss = LOSSES[measure](model(x), y).mean()
    gradients = torch.autograd.grad(loss, parameters.values(), allow_unused=True)
    return [(name, SIZES[measure](g)) for name, g in zip(parameters, gradients, strict=True) if g is not None]


# ---- each sample's own gradient, for all samples of a batch at once ----

CHUNK_BYTES = 2**28  # of per-sample gradients held at a time


def _sums_per_sample(model, parameters, x, y, measure):
    """(name, sum over samples of the size of each one's own gradient), parameter by parameter, chunk by chunk.

    In eval mode samples do not see each other, so one backward pass of the summed loss leaves at every layer's output
    each sample's own gradient, from which the layer's parameters' gradients per sample follow (RULES).
    Where a parameter is not used by exactly one such layer exactly once, or a layer's first axis is not the sample,
    torch.func.vmap does the whole network.
    """
    with _recorded_calls(model) as alone, torch.no_grad():
        model(x[:1])
    with _recorded_calls(model) as calls:
        losses = LOSSES[measure](model(x), y)
    uses = _uses(losses, parameters)
    layers = {m: [k for k, p in m.named_parameters(recurse=False) if uses.get(id(p))] for m in calls}
    covered = [id(m.get_parameter(k)) for m, keys in layers.items() for k in keys]
    by_sample = all(len(a) == n for found, n in ((alone, 1), (calls, len(x))) for m in found for a, _ in found[m])
    once = all(len(inputs) == 1 for inputs in calls.values()) and all(count == 1 for count in uses.values())
    if not (by_sample and once and sorted(covered) == sorted(uses)):
        yield from _sums_by_vmap(model, parameters, x, y, measure)
        return
    names, layers = {id(p): name for name, p in parameters.items()}, {m: keys for m, keys in layers.items() if keys}
    at_outputs = torch.autograd.grad(losses.sum(), [calls[m][0][1] for m in layers])
    for (layer, keys), at_output in zip(layers.items(), at_outputs, strict=True):
        a = calls[layer][0][0].detach()
        per_sample = 4 * max(sum(layer.get_parameter(k).numel() for k in keys), 9 * a[0].numel())
        chunk = max(1, CHUNK_BYTES // per_sample)
        for a_part, g_part in zip(a.split(chunk), at_output.split(chunk), strict=True):
            gradients = RULES[type(layer)](layer, a_part, g_part)
            for k in keys:
                yield names[id(layer.get_parameter(k))], SIZES[measure](gradients[k]()).sum(0)


@contextmanager
def _recorded_calls(model):
    """{layer: [(input, output), ...]} of every layer in RULES, filled by the forward passes inside the context."""
    calls = {}

    def record(layer, inputs, output):
        calls.setdefault(layer, []).append((inputs[0], output))
        return output.clone()  # what follows may work in place; the recorded output must stay this layer's own

    hooks = [layer.register_forward_hook(record) for layer in model.modules() if _known(layer)]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _known(layer):
    plain = getattr(layer, "padding_mode", "zeros") == "zeros" and not isinstance(getattr(layer, "padding", 0), str)
    return type(layer) in RULES and plain and getattr(layer, "track_running_stats", True)


def _uses(losses, parameters):
    """{id(parameter): how many operations in the graph of `losses` read it}, of those that any reads."""
    ids = {id(p) for p in parameters.values()}
    uses, seen, stack = {}, set(), [losses.grad_fn]
    while stack:
        for node, _ in stack.pop().next_functions:
            variable = getattr(node, "variable", None)
            if id(variable) in ids:
                uses[id(variable)] = uses.get(id(variable), 0) + 1
            elif node is not None and node not in seen:
                seen.add(node)
                stack.append(node)
    return uses


def _sums_by_vmap(model, parameters, x, y, measure):
    fixed = {name: p.detach() for name, p in model.named_parameters() if name not in parameters}
    fixed.update(model.named_buffers())

    def loss(values, x1, y1):
        return LOSSES[measure](torch.func.functional_call(model, (values, fixed), x1[None]), y1[None])[0]

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    values = {name: p.detach() for name, p in parameters.items()}
    chunk = max(1, CHUNK_BYTES // (4 * sum(p.numel() for p in values.values())))
    with sdpa_kernel(SDPBackend.MATH):  # vmap has no rule for the fused kinds of attention
        for x_part, y_part in zip(x.split(chunk), y.split(chunk), strict=True):
            for name, g in gradients(values, x_part, y_part).items():
                yield name, SIZES[measure](g).sum(0)


# Each rule: (layer, input a [B, ...], gradient at the output g [B, ...]) -> {parameter: its gradient per sample, [B, ...]}


def _linear(layer, a, g):
    a, g = a.reshape(len(a), -1, a.shape[-1]), g.reshape(len(g), -1, g.shape[-1])  # [B, T, in], [B, T, out]
    return {"weight": lambda: g.transpose(1, 2) @ a, "bias": lambda: g.sum(1)}


def _conv2d(layer, a, g):
    batch, groups = len(a), layer.groups
    columns = F.unfold(a, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # [B, in k k, L]
    columns = columns.view(batch * groups, -1, columns.shape[-1])
    flat = g.reshape(batch * groups, g.shape[1] // groups, -1)  # [B groups, out / groups, L]
    weight = layer.weight.shape
    return {"weight": lambda: (flat @ columns.transpose(1, 2)).view(batch, *weight), "bias": lambda: g.sum((2, 3))}


def _batch_norm(layer, a, g):
    shape = (1, -1) + (1,) * (a.dim() - 2)
    scale = (layer.running_var + layer.eps).rsqrt()
    standard = (a - layer.running_mean.view(shape)) * scale.view(shape)
    return {"weight": lambda: (g * standard).flatten(2).sum(2), "bias": lambda: g.flatten(2).sum(2)}


def _layer_norm(layer, a, g):
    standard = F.layer_norm(a, layer.normalized_shape, eps=layer.eps)
    shape = (len(a), -1, *layer.normalized_shape)
    return {"weight": lambda: (g * standard).reshape(shape).sum(1), "bias": lambda: g.reshape(shape).sum(1)}


RULES = {nn.Linear: _linear, nn.Conv2d: _conv2d, nn.BatchNorm1d: _batch_norm, nn.BatchNorm2d: _batch_norm,
         nn.LayerNorm: _layer_norm}  # fmt: skip
