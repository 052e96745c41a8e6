"""Each sample's own gradients, for all samples of a batch at once. Needs torch alone and works on any nn.Module.

In eval mode samples do not see each other, so one backward pass of a loss summed over the batch leaves at every layer's
output each sample's own gradient, from which those of the layer's parameters follow (RULES). Where a parameter is not
used by exactly one such layer exactly once, or a layer's first axis is not the sample, torch.func.vmap does the whole
network. Several losses of the same outputs share the forward pass.
"""

from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

CHUNK_BYTES = (2**22, 2**28)  # of per-sample gradients held at a time: on a CPU what its cache holds, on a GPU


def jacobian(model, x, num_classes):
    """Every logit's gradient in all parameters, in their order: [B, C, P]; the model is in eval mode."""
    parameters = dict(model.named_parameters())
    sizes = [p.numel() for p in parameters.values()]
    result = x.new_zeros(len(x), num_classes, sum(sizes))
    part = dict(zip(parameters, result.split(sizes, dim=2), strict=True))
    for name, classes, samples, g, a in _factors(model, parameters, x, lambda logits, _: logits.T):
        mine = part[name][samples, classes]  # a view
        for at, k, product in [(slice(None), slice(None), g)] if a is None else _products(g, a):
            mine[at, k] = product.flatten(2).transpose(0, 1)
    return result


def per_sample_sums(model, parameters, x, losses_of, power):
    """Yields (name, sum over samples and losses of |gradient|^power [parameter's shape]); a name may come repeatedly."""
    for name, _, _, g, a in _factors(model, parameters, x, losses_of):
        if a is None:
            total = g.abs().pow(power).sum((0, 1))
        elif a.shape[-1] == 1 and power == 2:  # (g a)^2 = g^2 a^2: one product for all samples and losses
            total = torch.einsum("bgo,bgi->goi", g[..., 0].square().sum(0), a[..., 0].square())
        else:
            total = g.new_zeros(*g.shape[2:4], a.shape[2])
            for _, _, product in _products(g, a):
                if power == 1:
                    total += product.abs_().sum((0, 1))
                elif product.shape[0] * product.shape[1] == 1:
                    total.addcmul_(product[0, 0], product[0, 0])
                else:
                    total += product.square_().sum((0, 1))
        yield name, total.reshape(parameters[name].shape)


def _products(g, a):
    """Yields (samples, losses, g a^T [k, b, groups, O, I]), as many at a time as a processor's cache holds (a GPU: more).

    What is yielded is valid until the next is asked for: its memory is used again.
    """
    size = CHUNK_BYTES[a.device.type == "cuda"] // (4 * g[0, 0, ..., 0].numel() * a.shape[2])
    g = g.permute(1, 2, 0, 3, 4)  # [B, groups, K, O, L]
    losses = _slices(g.shape[2], size)
    buffer = g.new_empty(max(size, 1) * g[0, :, 0, ..., 0].numel() * a.shape[2])  # fresh memory costs more than the product
    for samples in _slices(len(a), size // losses[0].stop):
        for k in losses:
            left, right = g[samples, :, k].flatten(2, 3), a[samples].mT  # [b, groups, k O, L], [b, groups, L, I]
            out = buffer[: left[..., 0].numel() * a.shape[2]].view(*left.shape[:3], -1)
            product = torch.matmul(left, right, out=out)  # [b, groups, k O, I]
            yield samples, k, product.unflatten(2, (-1, g.shape[3])).permute(2, 0, 1, 3, 4)


def _factors(model, parameters, x, losses_of):
    """Yields (name, losses, samples, g, a): the gradients are g [k, b, groups, O, L] times a [b, groups, I, L] transposed.

    Where a is None they are g itself, [k, b, ...]. losses and samples are slices that say of which; parameters: {name: parameter};
    x: [B, ...]; losses_of(logits [b, C], samples) -> [K, b]. A network that computes in bf16 (numerics.py) does not here: squares
    of single samples' gradients would keep two digits, and vmap knows no layers of mixed kinds.
    """
    numerics = getattr(model, "numerics", None)
    if numerics == "bf16":
        model.numerics = "fp32"
    try:
        yield from _factors_in_full(model, parameters, x, losses_of)
    finally:
        if numerics == "bf16":
            model.numerics = numerics


def _factors_in_full(model, parameters, x, losses_of):
    with _recorded_calls(model) as alone, torch.no_grad():
        model(x[:1])
    with _recorded_calls(model) as calls:
        losses = losses_of(model(x), slice(0, len(x)))
    uses = _uses(losses, parameters)
    layers = {m: [k for k, p in m.named_parameters(recurse=False) if uses.get(id(p))] for m in calls}
    covered = [id(m.get_parameter(k)) for m, keys in layers.items() for k in keys]
    first_axis_is_sample = all(len(a) == n for found, n in ((alone, 1), (calls, len(x))) for m in found for a, _ in found[m])
    used_once = all(len(inputs) == 1 for inputs in calls.values()) and all(count == 1 for count in uses.values())
    all_in_known_layers = sorted(covered) == sorted(uses)
    if not (first_axis_is_sample and used_once and all_in_known_layers):
        yield from _factors_by_vmap(model, parameters, x, losses_of, len(losses))
        return
    names, layers = {id(p): name for name, p in parameters.items()}, {m: keys for m, keys in layers.items() if keys}
    outputs = [calls[m][0][1] for m in layers]
    for part in _slices(len(losses), 2**28 // sum(output.numel() for output in outputs)):  # 1 GB of gradients at outputs
        at_outputs = [torch.autograd.grad(loss.sum(), outputs, retain_graph=True) for loss in losses[part]]
        for (layer, keys), *g in zip(layers.items(), *at_outputs, strict=True):
            found = RULES[type(layer)](layer, calls[layer][0][0].detach(), torch.stack(g))
            for key in keys:
                yield names[id(layer.get_parameter(key))], part, slice(0, len(x)), *found[key]


def _slices(count, size):
    """Slices of range(count), `size` long, or 1 where that is less."""
    size = max(1, size)
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


@contextmanager
def _recorded_calls(model):
    """{layer: [(input, output), ...]} of every layer in RULES, filled by the forward passes inside the context."""
    calls = {}

    def record(layer, inputs, by_name, output):
        calls.setdefault(layer, []).append(([*inputs, *by_name.values()][0], output))
        return output.clone()  # what follows may work in place; the recorded output must stay this layer's own

    hooks = [layer.register_forward_hook(record, with_kwargs=True) for layer in model.modules() if _known(layer)]
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


def _factors_by_vmap(model, parameters, x, losses_of, count):
    fixed = {name: p.detach() for name, p in model.named_parameters() if name not in parameters}
    fixed.update(model.named_buffers())
    values = {name: p.detach() for name, p in parameters.items()}

    def loss(values, x1, sample, k):
        return losses_of(torch.func.functional_call(model, (values, fixed), x1[None]), sample[None])[k, 0]

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, None))
    samples = torch.arange(len(x), device=x.device)
    with sdpa_kernel(SDPBackend.MATH):  # vmap has no rule for the fused kinds of attention
        for part in _slices(len(x), 2**26 // sum(p.numel() for p in values.values())):
            for k in range(count):
                for name, g in gradients(values, x[part], samples[part], k).items():
                    yield name, slice(k, k + 1), part, g[None], None


# Each rule: (layer, input a [B, ...], gradients at the output g [K, B, ...]) -> {parameter: its factors (g, a)}


def _linear(layer, a, g):
    a, g = (v.reshape(*v.shape[:dims], -1, v.shape[-1]) for v, dims in ((a, 1), (g, 2)))  # [B, T, in], [K, B, T, out]
    return {"weight": (g.mT[:, :, None], a.mT[:, None]), "bias": (g.sum(2), None)}


def _conv2d(layer, a, g):
    columns = F.unfold(a, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # [B, in k k, L]
    columns = columns.unflatten(1, (layer.groups, -1))
    return {"weight": (g.flatten(3).unflatten(2, (layer.groups, -1)), columns), "bias": (g.sum((3, 4)), None)}


def _batch_norm(layer, a, g):
    shape = (1, -1) + (1,) * (a.dim() - 2)
    scale = (layer.running_var + layer.eps).rsqrt()
    standard = (a - layer.running_mean.view(shape)) * scale.view(shape)
    return {"weight": ((g * standard).flatten(3).sum(3), None), "bias": (g.flatten(3).sum(3), None)}


def _layer_norm(layer, a, g):
    standard = F.layer_norm(a, layer.normalized_shape, eps=layer.eps)
    shape = (*g.shape[:2], -1, *layer.normalized_shape)
    return {"weight": ((g * standard).reshape(shape).sum(2), None), "bias": (g.reshape(shape).sum(2), None)}


RULES = {nn.Linear: _linear, nn.Conv2d: _conv2d, nn.BatchNorm1d: _batch_norm, nn.BatchNorm2d: _batch_norm,
         nn.LayerNorm: _layer_norm}  # fmt: skip
