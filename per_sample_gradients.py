"""Each sample's own gradients, for all samples of a batch at once. Needs only torch.

It works on any nn.Module in eval mode, where samples do not see each other. One backward pass of a
loss, summed over the batch, leaves each sample's own gradient at every layer's output. From it and
the layer's input follow the gradients of the layer's parameters (RULES). They come as factors,
products that are not multiplied out yet (Factor).

The rules do not suffice where a parameter is not used by exactly one such layer exactly once, or
where a layer's first axis is not the sample. There torch.func.vmap does the whole network. Where
vmap has no rule for something in it, a loop takes one sample at a time.

Networks in float16 and bfloat16 are taken as they are. Their gradients are multiplied, squared and
summed in float32.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

# How much memory single samples' gradients may take at a time.
BLOCK_BYTES_ON_CPU = 2**22  # what a processor's cache holds
BLOCK_BYTES_ON_GPU = 2**28
BLOCK_ENTRIES_BY_VMAP = 2**26
OUTPUT_GRADIENT_ENTRIES = 2**28  # at all layers' outputs: 1 GB in float32

FLOAT16_RETRIES = 6  # each with scales 256 times smaller than the one before
LARGEST_EXPONENT = 60  # of a scale, so that float32 holds scaled losses and unscaled gradients


@dataclass(frozen=True)
class Factor:
    """The gradients of one parameter, for some losses of some samples, as a product.

    A single gradient is output_gradient input^T: a sum over L positions, for each of the layer's
    groups apart. Where input is None, output_gradient holds the gradients themselves.
    """

    parameter: str  # its name
    losses: slice  # which k of the K losses
    samples: slice  # which b of the B samples
    output_gradient: Tensor  # [k, b, groups, O, L], or without input [k, b, parameter's shape]
    input: Tensor | None  # [b, groups, I, L]


def per_sample_sums(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    losses_of: Callable,
    power: int,
    check: Callable | None = None,
    logits_in: Callable | None = None,
) -> Iterator[tuple[str, Tensor]]:
    """Yields (name, sum over samples and losses of |gradient|^power [parameter's shape]).

    A name may come repeatedly: its sums add up. They are float32, or float64 for parameters in
    float64. power: 1 or 2. The other arguments: as for `factors`.
    """
    for factor in factors(model, parameters, x, losses_of, check, logits_in):
        total = _sum_of_powers(factor, power)
        yield factor.parameter, total.reshape(parameters[factor.parameter].shape)


def _sum_of_powers(factor, power):
    """The sum over samples and losses of |gradient|^power."""
    g, a = factor.output_gradient, factor.input
    if a is None:
        return g.abs().pow(power).sum((0, 1))
    if a.shape[-1] == 1 and power == 2:
        # One position: (g a)^2 = g^2 a^2, so that one product does for all samples and losses.
        return torch.einsum("bgo,bgi->goi", g[..., 0].square().sum(0), a[..., 0].square())
    total = g.new_zeros(*g.shape[2:4], a.shape[2])  # [groups, O, I]
    for _, _, gradients in gradient_blocks(factor):
        is_single = gradients.shape[0] * gradients.shape[1] == 1
        if power == 1:
            total += gradients.abs_().sum((0, 1))
        elif is_single:
            total.addcmul_(gradients[0, 0], gradients[0, 0])
        else:
            total += gradients.square_().sum((0, 1))
    return total


def gradient_blocks(factor: Factor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yields (losses, samples, gradients [k, b, groups, O, I]), a part of the factor's at a time.

    losses, samples: slices of the factor's own. Without input there is one block, [k, b, *P] with
    the parameter's shape P. A block is valid until the next is asked for: its memory is used again,
    since fresh memory costs more than the product.
    """
    g, a = factor.output_gradient, factor.input
    if a is None:
        yield slice(None), slice(None), g
        return
    num_losses, num_samples, num_groups, num_outputs, _ = g.shape
    num_inputs = a.shape[2]
    entries = num_groups * num_outputs * num_inputs  # of one gradient
    block_bytes = BLOCK_BYTES_ON_GPU if a.device.type == "cuda" else BLOCK_BYTES_ON_CPU
    capacity = max(1, block_bytes // (4 * entries))  # gradients in a block
    buffer = g.new_empty(capacity * entries)
    g = g.permute(1, 2, 0, 3, 4)  # [B, groups, K, O, L]
    losses_at_once = min(capacity, num_losses)
    for samples in _slices(num_samples, capacity // losses_at_once):
        right = a[samples].mT  # [b, groups, L, I]
        for losses in _slices(num_losses, losses_at_once):
            left = g[samples, :, losses].flatten(2, 3)  # [b, groups, k O, L]
            shape = (*left.shape[:3], num_inputs)  # [b, groups, k O, I]
            product = buffer[: math.prod(shape)].view(shape)
            torch.matmul(left, right, out=product)
            gradients = product.unflatten(2, (-1, num_outputs))  # [b, groups, k, O, I]
            yield losses, samples, gradients.permute(2, 0, 1, 3, 4)


def _slices(count, size):
    """Slices of range(count), each `size` long, or 1 where that is less; the last may be short."""
    size = max(1, size)
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


# ---- half precision ----


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor itself where it is float32 or float64, else in float32.

    Half precision holds too few digits for sums, and its range is too small for squares.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def computes_in_float16(model: nn.Module, logits: Tensor) -> bool:
    """Whether gradients pass through float16, which holds nothing below 6e-8 or above 65504.

    logits: what the model gave just now, for the device on which it computes.
    """
    device = logits.device.type
    if torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16:
        return True
    return any(p.dtype == torch.float16 for p in model.parameters())


def loss_scale(logit_gradients: Tensor) -> Tensor:
    """The power of two [...] by which to multiply a loss with these gradients at the logits.

    logit_gradients: [..., C]. The largest of the C becomes 0.5 to 1, however well the network has
    learned the sample.
    """
    exponent = torch.frexp(logit_gradients.abs().amax(-1)).exponent
    exponent = exponent.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT)
    return torch.ldexp(torch.ones_like(exponent, dtype=logit_gradients.dtype), -exponent)


def unscaled_gradients(compute: Callable, scales: Tensor | None) -> list[Tensor | None]:
    """The gradients of losses, computed at these scales and divided by them again.

    scales: [...], one for each loss; None: the losses are not scaled, compute(None) is called.
    compute(scales) -> the gradients [..., parameter's shape] of the losses times their scales, one
    for each parameter, None where there is none. While these overflow, it is called again with
    smaller scales. Returns them in float32, or float64 where they are that.
    """
    gradients = compute(scales)
    if scales is None:
        return [None if g is None else at_least_float32(g) for g in gradients]
    for _ in range(FLOAT16_RETRIES):
        if all(g is None or bool(torch.isfinite(g).all()) for g in gradients):
            break
        scales = scales / 256
        gradients = compute(scales)
    return [None if g is None else _divided(g, scales) for g in gradients]


def _divided(gradient, scales):
    """The gradient [..., parameter's shape] in float32, divided by its scales [...]."""
    further_axes = [1] * (gradient.dim() - scales.dim())
    return at_least_float32(gradient) / scales.reshape(*scales.shape, *further_axes)


# ---- the factors of a batch ----


def factors(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    losses_of: Callable,
    check: Callable | None = None,
    logits_in: Callable | None = None,
) -> Iterator[Factor]:
    """Yields Factors that together hold the gradient of every loss of every sample.

    The gradients are those in the parameters. A Factor covers several samples and losses.

    model: in eval mode. parameters: {name: parameter of the model}; of one that no loss depends on
    there may be no factor. x: [B, ...].
    losses_of(logits [b, C], samples) -> [K, b]: K losses of each of these samples; `samples` is a
    slice, or a tensor [b], of their positions in x.
    check(what the model gives for x): called once, before any gradient is taken, to raise what the
    caller has against it. logits_in(what the model gives) -> its logits [b, C]; None: the model
    gives only these.
    """
    with _without_bf16(model):
        yield from _factors(model, parameters, x, losses_of, check, logits_in or _itself)


def _itself(output):
    return output


@contextmanager
def _without_bf16(model):
    """A network that this project lets compute in bf16 (learning/numerics.py) does not here.

    Squares of single samples' gradients would keep two digits, and vmap refuses layers of mixed
    precision.
    """
    is_bf16 = getattr(model, "numerics", None) == "bf16"
    if is_bf16:
        model.numerics = "fp32"
    try:
        yield
    finally:
        if is_bf16:
            model.numerics = "bf16"


def _factors(model, parameters, x, losses_of, check, logits_in):
    """Factors by the layers' rules; by torch.func.vmap where they do not suffice. x: [B, ...]."""
    with _recorded_calls(model) as calls_for_one, torch.no_grad():
        model(x[:1])
    with _recorded_calls(model) as calls:
        output = model(x)
    if check is not None:
        check(output)
    logits = logits_in(output)  # [B, C]
    in_float16 = computes_in_float16(model, logits)
    logits = at_least_float32(logits)
    losses = losses_of(logits, slice(0, len(x)))  # [K, B]
    scales = _scale_of_each(losses, logits) if in_float16 else None  # [K, B]
    uses = _uses(losses, parameters)
    keys_of = _used_keys(calls, uses)
    sample_comes_first = _first_axis_is(1, calls_for_one) and _first_axis_is(len(x), calls)
    if sample_comes_first and _rules_suffice(calls, keys_of, uses):
        yield from _factors_by_rules(parameters, calls, keys_of, losses, scales)
        return
    # vmap has no rule for the fused kinds of attention. The loop computes as vmap does.
    with sdpa_kernel(SDPBackend.MATH):
        yield from _factors_by_vmap(model, parameters, x, losses_of, logits_in, len(losses), scales)


@contextmanager
def _recorded_calls(model):
    """{layer: [(input, output), ...]} of every layer that a rule fits, from forward passes inside.

    The context fills it.
    """
    calls = {}

    def record(layer, inputs, inputs_by_name, output):
        layer_input = [*inputs, *inputs_by_name.values()][0]
        calls.setdefault(layer, []).append((layer_input, output))
        # What follows may work in place. The recorded output must stay this layer's own.
        return output.clone()

    hooks = []
    for layer in model.modules():
        if _has_rule(layer):
            # Prepended: a hook of the user's may change the output.
            hooks.append(layer.register_forward_hook(record, prepend=True, with_kwargs=True))
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _has_rule(layer):
    """Whether the layer computes what the rule for its type says."""
    if type(layer) not in RULES or "forward" in vars(layer):
        return False
    names = {name for name, _ in layer.named_parameters(recurse=False)}
    if not names <= {"weight", "bias"}:
        return False  # pruning and weight_norm compute the weight from other parameters
    if isinstance(layer, nn.Conv2d):
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        return layer.running_var is not None  # else it takes the batch's own and mixes the samples
    return True


def _uses(losses, parameters):
    """{id(parameter): how many operations in the graph of `losses` read it}, if any does."""
    ids = {id(p) for p in parameters.values()}
    uses, seen, to_visit = {}, set(), [losses.grad_fn]
    while to_visit:
        for node, _ in to_visit.pop().next_functions:
            parameter_id = id(getattr(node, "variable", None))
            if parameter_id in ids:
                uses[parameter_id] = uses.get(parameter_id, 0) + 1
            elif node is not None and node not in seen:
                seen.add(node)
                to_visit.append(node)
    return uses


def _used_keys(calls, uses):
    """{layer: which of "weight" and "bias" the losses depend on} of all recorded layers."""
    keys_of = {}
    for layer in calls:
        own_parameters = layer.named_parameters(recurse=False)
        keys_of[layer] = [key for key, p in own_parameters if id(p) in uses]
    return keys_of


def _rules_suffice(calls, keys_of, uses):
    """Whether every parameter is used once, by a recorded layer that is called once."""
    called_once = all(len(calls_of_layer) == 1 for calls_of_layer in calls.values())
    used_once = all(count == 1 for count in uses.values())
    covered = []
    for layer, keys in keys_of.items():
        covered += [id(layer.get_parameter(key)) for key in keys]
    return called_once and used_once and sorted(covered) == sorted(uses)


def _first_axis_is(count, calls):
    """Whether the first axis of all recorded inputs is that of `count` samples."""
    for layer, calls_of_layer in calls.items():
        for layer_input, _ in calls_of_layer:
            lacks_samples = isinstance(layer, nn.Conv2d) and layer_input.dim() == 3
            if lacks_samples or len(layer_input) != count:
                return False
    return True


def _scale_of_each(losses, logits):
    """Each loss's scale for float16, [K, B]."""
    gradients = []
    for loss in losses:
        gradients += torch.autograd.grad(loss.sum(), logits, retain_graph=True)
    return loss_scale(torch.stack(gradients))


# ---- by the layers' rules ----


def _factors_by_rules(parameters, calls, keys_of, losses, scales):
    """Factors of all samples at once. One backward pass for each of the losses [K, B]."""
    names = {id(p): name for name, p in parameters.items()}
    layers = [layer for layer, keys in keys_of.items() if keys]
    inputs, outputs = [], []
    for layer in layers:
        ((layer_input, output),) = calls[layer]
        inputs.append(layer_input)
        outputs.append(output)
    entries = sum(output.numel() for output in outputs)
    all_samples = slice(0, losses.shape[1])
    for part in _slices(len(losses), OUTPUT_GRADIENT_ENTRIES // entries):
        part_scales = None if scales is None else scales[part]
        by_loss = _output_gradients(outputs, losses[part], part_scales)
        by_layer = zip(*by_loss, strict=True)
        for layer, layer_input, gradients in zip(layers, inputs, by_layer, strict=True):
            a = at_least_float32(layer_input.detach())  # [B, ...]
            g = torch.stack(gradients)  # [k, B, ...]
            by_key = RULES[type(layer)](layer, a, g)
            for key in keys_of[layer]:
                name = names[id(layer.get_parameter(key))]
                yield Factor(name, part, all_samples, *by_key[key])


def _output_gradients(outputs, losses, scales):
    """For each of the losses [k, B] its gradients at the outputs; scales: [k, B] or None."""

    def compute(scale, loss):
        value = loss if scale is None else loss * scale
        return torch.autograd.grad(value.sum(), outputs, retain_graph=True)

    gradients = []
    for k, loss in enumerate(losses):
        scale = None if scales is None else scales[k]
        gradients.append(unscaled_gradients(partial(compute, loss=loss), scale))
    return gradients


# Each rule: (layer, a: its input [B, ...], g: gradients at its output [K, B, ...]) -> {parameter:
# (output_gradient, input) of its Factor}. Per sample and loss, by the chain rule:


def _linear(layer, a, g):
    """y_t = W a_t + b at positions t:  dW = sum_t g_t a_t^T,  db = sum_t g_t."""
    a = a.reshape(len(a), -1, a.shape[-1])  # [B, T, I]
    g = g.reshape(*g.shape[:2], -1, g.shape[-1])  # [K, B, T, O]
    return {"weight": (g.mT[:, :, None], a.mT[:, None]), "bias": (g.sum(2), None)}


def _conv2d(layer, a, g):
    """At each position a linear layer of the patch a_t below the kernel, in every group apart."""
    patches = F.unfold(a, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    patches = patches.unflatten(1, (layer.groups, -1))  # [B, groups, I, T]
    by_group = g.flatten(3).unflatten(2, (layer.groups, -1))  # [K, B, groups, O, T]
    return {"weight": (by_group, patches), "bias": (g.sum((3, 4)), None)}


def _batch_norm(layer, a, g):
    """y = w z + b with z = (a - mean) / sqrt(var + eps):  dw = sum_t g_t z_t,  db = sum_t g_t."""
    shape = (1, -1) + (1,) * (a.dim() - 2)  # channels are the second axis
    scale = (at_least_float32(layer.running_var) + layer.eps).rsqrt()
    z = (a - layer.running_mean.view(shape)) * scale.view(shape)
    by_channel = (*g.shape[:3], -1)  # [K, B, C, T]: one position where the input is [B, C]
    weight = (g * z).reshape(by_channel).sum(3)
    bias = g.reshape(by_channel).sum(3)
    return {"weight": (weight, None), "bias": (bias, None)}


def _layer_norm(layer, a, g):
    """y_t = w z_t + b with z_t standardised:  dw = sum_t g_t z_t,  db = sum_t g_t."""
    z = F.layer_norm(a, layer.normalized_shape, eps=layer.eps)
    shape = (*g.shape[:2], -1, *layer.normalized_shape)  # [K, B, T, normalised shape]
    weight = (g * z).reshape(shape).sum(2)
    bias = g.reshape(shape).sum(2)
    return {"weight": (weight, None), "bias": (bias, None)}


RULES = {
    nn.Linear: _linear,
    nn.Conv2d: _conv2d,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
}


# ---- for every other network ----


def _factors_by_vmap(model, parameters, x, losses_of, logits_in, num_losses, scales):
    """Factors without input: by vmap, and from where it has no rule by a loop over samples."""
    entries = sum(p.numel() for p in parameters.values())
    by_loop = partial(_gradients_by_loop, model, parameters, x, losses_of, logits_in)
    compute = partial(_gradients_by_vmap, model, parameters, x, losses_of, logits_in)
    # A forward() put in place of a layer's own may hold the parameters, which vmap cannot replace.
    if any("forward" in vars(module) for module in model.modules()):
        compute = by_loop
    for samples in _slices(len(x), BLOCK_ENTRIES_BY_VMAP // entries):
        for k in range(num_losses):
            block_scales = None if scales is None else scales[k, samples]
            try:
                gradients = unscaled_gradients(partial(compute, samples, k), block_scales)
            except RuntimeError:
                if compute is by_loop:
                    raise
                compute = by_loop  # vmap has no rule for something in the network, as for nn.GRU
                gradients = unscaled_gradients(partial(compute, samples, k), block_scales)
            for name, g in zip(parameters, gradients, strict=True):
                yield Factor(name, slice(k, k + 1), samples, g[None], None)


def _gradients_by_vmap(model, parameters, x, losses_of, logits_in, samples, k, scales):
    """The gradients [b, parameter's shape] of the k-th loss of some samples, times scales [b]."""
    values = {name: p.detach() for name, p in parameters.items()}
    fixed = {name: p.detach() for name, p in model.named_parameters() if name not in parameters}
    fixed.update(model.named_buffers())

    def loss(values, one_x, sample, scale):
        logits = logits_in(torch.func.functional_call(model, (values, fixed), one_x[None]))
        value = losses_of(at_least_float32(logits), sample[None])[k, 0]
        return value if scale is None else value * scale

    in_dims = (None, 0, 0, None if scales is None else 0)
    positions = torch.arange(len(x), device=x.device)
    gradients_of_all = torch.func.vmap(torch.func.grad(loss), in_dims=in_dims)
    by_name = gradients_of_all(values, x[samples], positions[samples], scales)
    return [by_name[name] for name in parameters]


def _gradients_by_loop(model, parameters, x, losses_of, logits_in, samples, k, scales):
    """The same, one forward and one backward pass for each sample."""
    rows = []
    for row, position in enumerate(range(samples.start, samples.stop)):
        sample = slice(position, position + 1)
        logits = at_least_float32(logits_in(model(x[sample])))
        loss = losses_of(logits, sample)[k, 0]
        if scales is not None:
            loss = loss * scales[row]
        options = {"allow_unused": True, "materialize_grads": True}
        rows.append(torch.autograd.grad(loss, list(parameters.values()), **options))
    return [torch.stack(gradients) for gradients in zip(*rows, strict=True)]
