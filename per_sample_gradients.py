"""Each sample's own gradients, for all samples of a batch at once. Needs torch alone and works on any nn.Module.

In eval mode samples do not see each other, so one backward pass of a loss summed over the batch
leaves at every layer's output each sample's own gradient, from which those of the layer's
parameters follow (RULES). Where a parameter is not used by exactly one such layer exactly once, or
a layer's first axis is not the sample, torch.func.vmap does the whole network. Where vmap has no
rule for something in it, a loop takes one sample at a time. Several losses of the same outputs
share the forward pass.

Networks in float16 and bfloat16 are taken as they are. Their gradients are multiplied, squared and
summed in float32.
"""

from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

CHUNK_BYTES = (
    2**22,
    2**28,
)  # of per-sample gradients held at a time: on a CPU what its cache holds, on a GPU


FLOAT16_ATTEMPTS = 6  # each with scales 256 times smaller than the one before


LARGEST_EXPONENT = 60  # of a scale, so that float32 holds scaled losses and unscaled gradients


def per_sample_sums(model, parameters, x, losses_of, power, check=None):
    """Yields (name, sum over samples and losses of |gradient|^power [parameter's shape]).

    A name may come repeatedly. Sums are float32, or float64 for parameters in float64.
    losses_of(logits [b, C], samples) -> [K, b]. check(what the model gives for x): called once,
    before any gradient is taken, to raise what the caller has against it.
    """
    for name, _, _, g, a in _factors(model, parameters, x, losses_of, check):
        if a is None:
            total = g.abs().pow(power).sum((0, 1))
        elif (
            a.shape[-1] == 1 and power == 2
        ):  # (g a)^2 = g^2 a^2: one product for all samples and losses
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
    buffer = g.new_empty(
        max(size, 1) * g[0, :, 0, ..., 0].numel() * a.shape[2]
    )  # fresh memory costs more than the product
    for samples in _slices(len(a), size // losses[0].stop):
        for k in losses:
            left, right = (
                g[samples, :, k].flatten(2, 3),
                a[samples].mT,
            )  # [b, groups, k O, L], [b, groups, L, I]
            out = buffer[: left[..., 0].numel() * a.shape[2]].view(*left.shape[:3], -1)
            product = torch.matmul(left, right, out=out)  # [b, groups, k O, I]
            yield samples, k, product.unflatten(2, (-1, g.shape[3])).permute(2, 0, 1, 3, 4)


# ---- half precision ----


def at_least_float32(tensor):
    """The tensor itself where it is float32 or float64, else in float32.

    Half precision holds too few digits for sums, and its range is too small for squares.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def computes_in_float16(model, logits):
    """Whether gradients pass through float16, which holds nothing below 6e-8 or above 65504."""
    kind = logits.device.type
    if torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16:
        return True
    return any(p.dtype == torch.float16 for p in model.parameters())


def loss_scale(at_logits):
    """The power of two [...] by which to multiply a loss whose gradient at the logits is [..., C].

    The gradient's largest entry becomes 0.5 to 1, however well the network has learned the sample.
    """
    exponent = torch.frexp(at_logits.abs().amax(-1)).exponent
    exponent = exponent.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT)
    return torch.ldexp(torch.ones_like(exponent, dtype=at_logits.dtype), -exponent)


def scaled(compute, scales):
    """(compute(scales), scales), where the scales are made smaller until float16 does not overflow.

    compute: scales -> gradients of losses times scales, tensors, or None where there is none.
    """
    gradients = compute(scales)
    for _ in range(FLOAT16_ATTEMPTS):
        if all(g is None or bool(torch.isfinite(g).all()) for g in gradients):
            break
        scales = scales / 256
        gradients = compute(scales)
    return gradients, scales


def unscaled(gradient, scales):
    """The gradient [..., parameter's shape] in float32, divided by its scales [...]."""
    more_axes = gradient.dim() - scales.dim()
    return at_least_float32(gradient) / scales.reshape(*scales.shape, *[1] * more_axes)


# ---- each layer's factors ----


def _factors(model, parameters, x, losses_of, check=None):
    """Yields (name, losses, samples, g, a): the gradients are g [k, b, groups, O, L] times a [b, groups, I, L] transposed.

    Where a is None they are g itself, [k, b, ...]. losses and samples are slices that say of which;
    parameters: {name: parameter}; x: [B, ...]; losses_of(logits [b, C], samples) -> [K, b]. A
    network that computes in bf16 (numerics.py) does not here: squares of single samples' gradients
    would keep two digits, and vmap knows no layers of mixed kinds.
    """
    numerics = getattr(model, "numerics", None)
    if numerics == "bf16":
        model.numerics = "fp32"
    try:
        yield from _factors_in_full(model, parameters, x, losses_of, check)
    finally:
        if numerics == "bf16":
            model.numerics = numerics


def _factors_in_full(model, parameters, x, losses_of, check):
    with _recorded_calls(model) as alone, torch.no_grad():
        model(x[:1])
    with _recorded_calls(model) as calls:
        logits = model(x)
    if check is not None:
        check(logits)
    in_float16 = computes_in_float16(model, logits)
    logits = at_least_float32(logits)
    losses = losses_of(logits, slice(0, len(x)))
    scales = _scales_of_each(losses, logits) if in_float16 else None
    uses = _uses(losses, parameters)
    layers = {
        m: [k for k, p in m.named_parameters(recurse=False) if uses.get(id(p))] for m in calls
    }
    covered = [id(m.get_parameter(k)) for m, keys in layers.items() for k in keys]
    first_axis_is_sample = _first_axis_is_sample(alone, 1) and _first_axis_is_sample(calls, len(x))
    used_once = all(len(inputs) == 1 for inputs in calls.values()) and all(
        count == 1 for count in uses.values()
    )
    all_in_known_layers = sorted(covered) == sorted(uses)
    if not (first_axis_is_sample and used_once and all_in_known_layers):
        yield from _factors_by_vmap(model, parameters, x, losses_of, len(losses), scales)
        return
    names, layers = (
        {id(p): name for name, p in parameters.items()},
        {m: keys for m, keys in layers.items() if keys},
    )
    outputs = [calls[m][0][1] for m in layers]
    for part in _slices(
        len(losses), 2**28 // sum(output.numel() for output in outputs)
    ):  # 1 GB of gradients at outputs
        part_scales = None if scales is None else scales[part]
        at_outputs, part_scales = _gradients_at(outputs, losses[part], part_scales)
        for (layer, keys), *g in zip(layers.items(), *at_outputs, strict=True):
            g = torch.stack(g)
            g = at_least_float32(g) if scales is None else unscaled(g, part_scales)
            a = at_least_float32(calls[layer][0][0].detach())
            found = RULES[type(layer)](layer, a, g)
            for key in keys:
                yield names[id(layer.get_parameter(key))], part, slice(0, len(x)), *found[key]


def _first_axis_is_sample(calls, count):
    """Whether the first axis of all recorded inputs is that of `count` samples."""
    for layer, found in calls.items():
        for a, _ in found:
            without_samples = isinstance(layer, nn.Conv2d) and a.dim() == 3
            if without_samples or len(a) != count:
                return False
    return True


def _scales_of_each(losses, logits):
    """Each loss's scale for float16, [K, B]."""
    at_logits = [torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0] for loss in losses]
    return loss_scale(torch.stack(at_logits))


def _gradients_at(outputs, losses, scales):
    """(the gradients of each of the losses [k, B] at the outputs, the scales [k, B] of these).

    scales: None where nothing is scaled.
    """
    if scales is None:
        gradients = [torch.autograd.grad(loss.sum(), outputs, retain_graph=True) for loss in losses]
        return gradients, None
    gradients, scales_taken = [], []
    for loss, scale in zip(losses, scales, strict=True):

        def compute(scale, loss=loss):
            return torch.autograd.grad((loss * scale).sum(), outputs, retain_graph=True)

        at_outputs, scale_taken = scaled(compute, scale)
        gradients.append(at_outputs)
        scales_taken.append(scale_taken)
    return gradients, torch.stack(scales_taken)


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
        return (
            output.clone()
        )  # what follows may work in place; the recorded output must stay this layer's own

    hooks = []
    for layer in model.modules():
        if _known(layer):  # prepended: a hook of the user's may change the output
            hooks.append(layer.register_forward_hook(record, prepend=True, with_kwargs=True))
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _known(layer):
    """Whether the layer computes what the rule for its type says."""
    if type(layer) not in RULES or "forward" in vars(layer):
        return False
    own = {name for name, _ in layer.named_parameters(recurse=False)}
    if not own <= {"weight", "bias"}:  # pruning and weight_norm make the weight of others
        return False
    if isinstance(layer, nn.Conv2d):
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return getattr(layer, "running_var", True) is not None  # else BatchNorm mixes the samples


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


def _factors_by_vmap(model, parameters, x, losses_of, count, scales):
    fixed = {name: p.detach() for name, p in model.named_parameters() if name not in parameters}
    fixed.update(model.named_buffers())
    values = {name: p.detach() for name, p in parameters.items()}

    def loss(values, x1, sample, k, scale):
        logits = torch.func.functional_call(model, (values, fixed), x1[None])
        value = losses_of(at_least_float32(logits), sample[None])[k, 0]
        return value if scale is None else value * scale

    in_dims = (None, 0, 0, None, None if scales is None else 0)
    vectorised = torch.func.vmap(torch.func.grad(loss), in_dims=in_dims)
    samples = torch.arange(len(x), device=x.device)
    # A forward() put in place of a layer's own may hold the parameters, which vmap cannot replace.
    by_loop = any("forward" in vars(module) for module in model.modules())

    def gradients(part, k, scales):
        nonlocal by_loop
        if not by_loop:
            try:
                by_name = vectorised(values, x[part], samples[part], k, scales)
                return [by_name[name] for name in values]
            except RuntimeError:  # vmap has no rule for something in the network, as for nn.GRU
                by_loop = True
        return _gradients_by_loop(model, parameters, x, losses_of, part, k, scales)

    with sdpa_kernel(SDPBackend.MATH):  # vmap has no rule for the fused kinds of attention
        for part in _slices(len(x), 2**26 // sum(p.numel() for p in values.values())):
            for k in range(count):
                if scales is None:
                    found = [at_least_float32(g) for g in gradients(part, k, None)]
                else:

                    def compute(scales, part=part, k=k):
                        return gradients(part, k, scales)

                    found, scales_taken = scaled(compute, scales[k, part])
                    found = [unscaled(g, scales_taken) for g in found]
                for name, g in zip(values, found, strict=True):
                    yield name, slice(k, k + 1), part, g[None], None


def _gradients_by_loop(model, parameters, x, losses_of, part, k, scales):
    """The gradients [b, ...] of the k-th loss of the samples in `part`, times scales [b]."""
    rows = []
    for place, sample in enumerate(range(part.start, part.stop)):
        one = slice(sample, sample + 1)
        loss = losses_of(at_least_float32(model(x[one])), one)[k, 0]
        if scales is not None:
            loss = loss * scales[place]
        wanted = list(parameters.values())
        rows.append(torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True))
    return [torch.stack(of_one_parameter) for of_one_parameter in zip(*rows, strict=True)]


# Each rule: (layer, input a [B, ...], gradients at the output g [K, B, ...]) -> {parameter: its
# factors (g, a)}


def _linear(layer, a, g):
    a, g = (
        v.reshape(*v.shape[:dims], -1, v.shape[-1]) for v, dims in ((a, 1), (g, 2))
    )  # [B, T, in], [K, B, T, out]
    return {"weight": (g.mT[:, :, None], a.mT[:, None]), "bias": (g.sum(2), None)}


def _conv2d(layer, a, g):
    columns = F.unfold(
        a, layer.kernel_size, layer.dilation, layer.padding, layer.stride
    )  # [B, in k k, L]
    columns = columns.unflatten(1, (layer.groups, -1))
    return {
        "weight": (g.flatten(3).unflatten(2, (layer.groups, -1)), columns),
        "bias": (g.sum((3, 4)), None),
    }


def _batch_norm(layer, a, g):
    shape = (1, -1) + (1,) * (a.dim() - 2)
    scale = (at_least_float32(layer.running_var) + layer.eps).rsqrt()
    standard = (a - layer.running_mean.view(shape)) * scale.view(shape)
    by_channel = (*g.shape[:3], -1)  # [K, B, C, positions]: one position where the input is [B, C]
    weight = (g * standard).reshape(by_channel).sum(3)
    bias = g.reshape(by_channel).sum(3)
    return {"weight": (weight, None), "bias": (bias, None)}


def _layer_norm(layer, a, g):
    standard = F.layer_norm(a, layer.normalized_shape, eps=layer.eps)
    shape = (*g.shape[:2], -1, *layer.normalized_shape)
    return {
        "weight": ((g * standard).reshape(shape).sum(2), None),
        "bias": (g.reshape(shape).sum(2), None),
    }


RULES = {
    nn.Linear: _linear,
    nn.Conv2d: _conv2d,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
}
