"""per_sample_gradients.py against a loop that does one sample at a time."""

import pytest
import torch
import torch.nn.functional as F
from oracles import Odd, assert_same, naive_importance, odd_batch, settled, small_net
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

import per_sample_gradients
import ssd
from per_sample_gradients import factors, gradient_blocks, per_sample_sums


@pytest.mark.parametrize("measure", ["fisher", "norm"])
@pytest.mark.parametrize("block_bytes", [2**28, 2000, 1])
def test_per_sample_equals_loop_on_odd_layers(measure, block_bytes, monkeypatch):
    monkeypatch.setattr(per_sample_gradients, "BLOCK_BYTES_ON_CPU", block_bytes)
    torch.manual_seed(0)
    model, (x, y) = settled(Odd()), odd_batch()
    batches = [(x[:7], y[:7]), (x[7:], y[7:])]
    importances = ssd.importance(model, batches, measure=measure, per_sample=True)
    assert_same(importances, naive_importance(model, batches, measure))
    assert importances["conv.weight"].norm() > 0
    assert importances["unused.weight"].norm() == 0


def one_gradient(model, x, sample, k):
    """The gradient of one sample's k-th logit, a tensor for each parameter."""
    logit = model(x[sample : sample + 1])[0, k]
    options = {"allow_unused": True, "materialize_grads": True}
    return torch.autograd.grad(logit, list(model.parameters()), **options)


@pytest.mark.parametrize("block_bytes", [2**28, 5000, 1])
def test_factors_multiplied_out_are_every_samples_gradients(block_bytes, monkeypatch):
    """Each logit is a loss: K = C."""
    monkeypatch.setattr(per_sample_gradients, "BLOCK_BYTES_ON_CPU", block_bytes)
    monkeypatch.setattr(per_sample_gradients, "OUTPUT_GRADIENT_ENTRIES", 9000)  # not all K at once
    torch.manual_seed(0)
    model, (x, _) = settled(Odd()).eval(), odd_batch(4)
    parameters = dict(model.named_parameters())
    gradients = {name: torch.zeros(5, 4, *p.shape) for name, p in parameters.items()}
    losses_taken = set()
    for factor in factors(model, parameters, x, lambda logits, samples: logits.T):
        losses_taken.add(factor.losses.start)
        part = gradients[factor.parameter][factor.losses, factor.samples]
        for losses, samples, block in gradient_blocks(factor):
            part[losses, samples] = block.reshape(part[losses, samples].shape)
    assert len(losses_taken) > 1
    for sample in range(4):
        for k in range(5):
            wanted = one_gradient(model, x, sample, k)
            for (name, value), g in zip(gradients.items(), wanted, strict=True):
                assert torch.allclose(value[k, sample], g, atol=1e-5), name


@pytest.mark.parametrize("power", [1, 2])
def test_sums_over_samples_and_losses(power):
    """A name may come repeatedly; its sums add up."""
    torch.manual_seed(0)
    model, x = small_net().eval(), torch.randn(3, 2, 4, 4)
    parameters = dict(model.named_parameters())
    sums = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for name, value in per_sample_sums(model, parameters, x, lambda z, samples: z.T, power):
        sums[name] += value
    wanted = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for sample in range(3):
        for k in range(3):
            for total, g in zip(wanted.values(), one_gradient(model, x, sample, k), strict=True):
                total += g.abs().pow(power)
    assert_same(sums, wanted)


# ---- where no rule applies ----


class Twice(nn.Module):
    """A layer used twice, its weight used again outside of it, or a parameter without a layer."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.a = nn.Linear(12, 12)
        self.b = nn.Linear(12, 4)
        self.shift = nn.Parameter(torch.randn(12))

    def forward(self, x):
        x = torch.tanh(self.a(x.flatten(1)))
        if self.kind == "called twice":
            x = self.a(x)
        if self.kind == "used outside":
            x = F.linear(x, self.a.weight)
        if self.kind == "free parameter":
            x = x + self.shift
        return self.b(x)


@pytest.mark.parametrize("kind", ["called twice", "used outside", "free parameter"])
def test_per_sample_equals_loop_where_no_layer_rule_applies(kind):
    torch.manual_seed(0)
    model, batch = Twice(kind), (torch.randn(6, 3, 4), torch.randint(4, (6,)))
    importances = ssd.importance(model, [batch], per_sample=True)
    assert_same(importances, naive_importance(model, [batch]))


class SequenceFirst(nn.Module):
    """Layers that see [T, B, F]: their first axis is not the sample, also where T = B."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 8)
        self.b = nn.Linear(8, 3)

    def forward(self, x):
        return self.b(torch.tanh(self.a(x.transpose(0, 1))).mean(0))


@pytest.mark.parametrize("batch_size", [5, 6])
def test_per_sample_equals_loop_where_the_sample_is_not_the_first_axis(batch_size):
    torch.manual_seed(0)
    model = SequenceFirst()
    batch = torch.randn(batch_size, 5, 4), torch.randint(3, (batch_size,))
    importances = ssd.importance(model, [batch], per_sample=True)
    assert_same(importances, naive_importance(model, [batch]))


def test_per_sample_takes_an_input_given_by_name():
    class ByName(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 3)

        def forward(self, x):
            return self.inner(input=x)

    torch.manual_seed(0)
    model, batch = ByName(), (torch.randn(5, 4), torch.randint(3, (5,)))
    importances = ssd.importance(model, [batch], per_sample=True)
    assert_same(importances, naive_importance(model, [batch]))


# ---- layers of other shapes ----


class Wrapped(nn.Module):
    """A layer, tanh, and a linear head on what `view` makes of it."""

    def __init__(self, layer, features, view=None):
        super().__init__()
        self.layer = layer
        self.view = view or (lambda layer, x: layer(x).flatten(1))
        self.head = nn.Linear(features, 4)

    def forward(self, x):
        return self.head(torch.tanh(self.view(self.layer, x)))


def after_linear(norm, features):
    return Wrapped(nn.Sequential(nn.Linear(6, 8), norm), features)


def without_statistics():
    """Its statistics are the batch's in eval mode too, as with track_running_stats=False."""
    layer = nn.BatchNorm1d(3)
    layer.running_mean = layer.running_var = None
    return layer


def pruned():
    layer = nn.Linear(6, 5)
    prune.l1_unstructured(layer, "weight", 0.3)
    return layer


def hooked():
    layer = nn.Linear(6, 5)
    layer.register_forward_hook(lambda layer, inputs, output: output.square())
    return layer


def patched():
    layer = nn.Linear(6, 5)
    weight = layer.weight
    layer.forward = lambda x: F.linear(x, weight.square(), layer.bias)
    return layer


def attention():
    layer = nn.MultiheadAttention(6, 2, batch_first=True)
    return Wrapped(layer, 6, lambda layer, x: layer(x, x, x)[0].mean(1))


def recurrent():
    layer = nn.GRU(6, 5, batch_first=True)
    return Wrapped(layer, 5, lambda layer, x: layer(x)[0][:, -1])


def norm_of_all_positions():
    def view(layer, x):
        return layer(x.flatten(0, 1)).reshape(-1, 18)

    return Wrapped(nn.BatchNorm1d(6), 18, view)


def convolution_without_samples():
    return Wrapped(nn.Conv2d(1, 3, 3), 12, lambda layer, x: layer(x.squeeze(0)).view(1, -1))


def circular():
    return nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")


def norm_without_affine():
    return after_linear(nn.BatchNorm1d(8, affine=False), 8)


def padding_in_words():
    return Wrapped(nn.Conv2d(2, 3, 3, padding="same"), 48)


LAYERS = {  # name: (the network, shape of x)
    "BatchNorm1d on [B, C]": (lambda: after_linear(nn.BatchNorm1d(8), 8), (7, 6)),
    "BatchNorm1d on [B, C, L]": (lambda: after_linear(nn.BatchNorm1d(3), 24), (7, 3, 6)),
    "BatchNorm1d on [B T, C]": (norm_of_all_positions, (7, 3, 6)),
    "BatchNorm1d on [B, C], no affine": (norm_without_affine, (7, 6)),
    "BatchNorm without statistics": (lambda: Wrapped(without_statistics(), 12), (7, 3, 4)),
    "LayerNorm over two axes": (lambda: after_linear(nn.LayerNorm((3, 8)), 48), (7, 2, 3, 6)),
    "LayerNorm over all axes": (lambda: after_linear(nn.LayerNorm((3, 8)), 24), (7, 3, 6)),
    "LayerNorm without bias": (lambda: after_linear(nn.LayerNorm(8, bias=False), 24), (7, 3, 6)),
    "Linear with two more axes": (lambda: Wrapped(nn.Linear(6, 5), 30), (7, 2, 3, 6)),
    "Conv2d without samples": (convolution_without_samples, (1, 1, 4, 4)),
    "Conv2d, padding in words": (padding_in_words, (7, 2, 4, 4)),
    "Conv2d, circular": (lambda: Wrapped(circular(), 48), (7, 2, 4, 4)),
    "Conv1d": (lambda: Wrapped(nn.Conv1d(2, 3, 3), 12), (7, 2, 6)),
    "Conv3d": (lambda: Wrapped(nn.Conv3d(1, 2, 3), 16), (7, 1, 4, 4, 4)),
    "ConvTranspose2d": (lambda: Wrapped(nn.ConvTranspose2d(2, 3, 2), 75), (7, 2, 4, 4)),
    "GroupNorm": (lambda: Wrapped(nn.GroupNorm(2, 4), 12), (7, 4, 3)),
    "attention": (attention, (7, 3, 6)),
    "GRU": (recurrent, (7, 3, 6)),
    "GRUCell": (lambda: Wrapped(nn.GRUCell(6, 5), 5), (7, 6)),
    "pruned": (lambda: Wrapped(pruned(), 5), (7, 6)),
    "weight_norm": (lambda: Wrapped(weight_norm(nn.Linear(6, 5)), 5), (7, 6)),
    "a hook of the user's": (lambda: Wrapped(hooked(), 5), (7, 6)),
    "another forward": (lambda: Wrapped(patched(), 5), (7, 6)),
}


@pytest.mark.parametrize("measure", ["fisher", "norm"])
@pytest.mark.parametrize("layer", LAYERS)
def test_per_sample_equals_loop_on_layers_of_other_shapes(layer, measure):
    torch.manual_seed(0)
    make, shape = LAYERS[layer]
    model, x = make(), torch.randn(shape)
    settled(model)
    y = torch.randint(4, (len(x),))
    importances = ssd.importance(model, [(x, y)], measure=measure, per_sample=True)
    assert_same(importances, naive_importance(model, [(x, y)], measure))
