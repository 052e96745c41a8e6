"""ssd.py on networks in float16 and bfloat16, in float64, and under autocast.

Half precision is held against float32 copies of the same weights.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from oracles import assert_close_on_scale, assert_same, naive_importance, small_net
from torch import nn

import ssd

HALVES = [torch.bfloat16, torch.float16]
WAYS = [("fisher", False), ("norm", False), ("xlf", False), ("fisher", True), ("true_fisher", True)]


def vmapped_net():
    """No rule for its first layer."""
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))


def looped_net():
    """vmap has no rule for its first layer either."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent = nn.GRU(6, 4, batch_first=True)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.recurrent(x)[0][:, -1])

    return Net()


NETS = {
    "rules": (small_net, (2, 4, 4)),
    "vmap": (vmapped_net, (2, 6)),
    "loop": (looped_net, (2, 6)),
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(("measure", "per_sample"), WAYS)
@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_importances_are_float32s(dtype, measure, per_sample, net):
    torch.manual_seed(0)
    make, shape = NETS[net]
    model = make().to(dtype)
    batches = [(torch.randn(n, *shape).to(dtype), torch.randint(3, (n,))) for n in (5, 5, 2)]
    importances = ssd.importance(model, batches, measure=measure, per_sample=per_sample)
    wanted = naive_importance(model, batches, measure, per_sample=per_sample)
    assert all(value.dtype == torch.float32 for value in importances.values())
    tolerance = {torch.bfloat16: 0.06, torch.float16: 0.008}[dtype]  # 8 and 11 bits of mantissa
    assert_close_on_scale(importances, wanted, tolerance, floor=1e-3)


@pytest.mark.parametrize(("measure", "per_sample"), [WAYS[0], WAYS[1], WAYS[3]])
@pytest.mark.parametrize("dtype", HALVES)
def test_a_thousand_batches_in_half_precision_sum_as_one(dtype, measure, per_sample):
    """The mean over 1,000 times the same batch is that batch's; a sum in bfloat16 stops at 256."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)
    batch = torch.randn(3, 4).to(dtype), torch.tensor([0, 1, 2])
    of_one = ssd.importance(model, [batch], measure=measure, per_sample=per_sample)
    of_many = ssd.importance(model, [batch] * 1000, measure=measure, per_sample=per_sample)
    for name, value in of_one.items():
        assert torch.allclose(of_many[name], value, rtol=1e-4, atol=0), name


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("per_sample", [False, True])
def test_small_float16_gradients_of_a_sure_network_do_not_vanish(per_sample, net):
    """Where p is within 1e-5 of 1, half of the gradients are below float16's smallest number."""
    torch.manual_seed(0)
    make, shape = NETS[net]
    model = make()
    *_, head = (module for module in model.modules() if isinstance(module, nn.Linear))
    head.weight.data.mul_(0.1)
    head.bias.data = torch.tensor([12.0, 0.0, 0.0])
    model = model.half()
    batches = [(torch.randn(16, *shape).half(), torch.zeros(16, dtype=torch.int64))]
    importances = ssd.importance(model, batches, per_sample=per_sample)
    wanted = naive_importance(model, batches, per_sample=per_sample)
    assert 0 < torch.cat([value.flatten() for value in wanted.values()]).norm() < 1e-9
    assert_close_on_scale(importances, wanted, 0.02, floor=1e-4)


def test_batch_norm_of_a_small_variance_in_float16():
    """eps = 1e-8 is 0 in float16."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(4, eps=1e-8), nn.Linear(4, 3)).half()
    model[0].running_var.zero_()
    x, y = (1e-4 * torch.randn(6, 4)).half(), torch.arange(6) % 3
    importances = ssd.importance(model, [(x, y)], per_sample=True)
    assert_close_on_scale(importances, naive_importance(model, [(x, y)]), 0.01, floor=0)


class Steep(nn.Module):
    """Its first weight's gradients are 400,000 times those at the logits: beyond float16."""

    def __init__(self, kind):
        super().__init__()
        layers = {"rules": nn.Linear(2, 2, bias=False), "vmap": nn.Conv1d(2, 2, 1, bias=False)}
        self.kind = kind
        self.first = layers[kind]
        self.second = nn.Linear(2, 2, bias=False)
        weight = torch.tensor([[1e-3, -2e-3], [1e-3, 1e-3]])
        self.first.weight.data = weight.view(self.first.weight.shape)
        self.second.weight.data = torch.tensor([[200.0, 300.0], [400.0, -200.0]])

    def forward(self, x):
        if self.kind == "vmap":
            return self.second(self.first(x[:, :, None])[:, :, 0])
        return self.second(self.first(x))


@pytest.mark.parametrize("kind", ["rules", "vmap"])
@pytest.mark.parametrize("per_sample", [False, True])
def test_large_float16_gradients_do_not_overflow(per_sample, kind):
    model = Steep(kind).half()
    batches = [(torch.tensor([[1000.0, 900.0], [800.0, -700.0]]).half(), torch.tensor([0, 1]))]
    importances = ssd.importance(model, batches, measure="norm", per_sample=per_sample)
    wanted = naive_importance(model, batches, "norm", per_sample=per_sample)
    assert_close_on_scale(importances, wanted, 0.02, floor=0)


@pytest.fixture(scope="module")
def sure():
    """(a network that is sure of eight classes of noisy images, x [400, 1, 8, 8], y [400])."""
    torch.manual_seed(0)
    centres = torch.randn(8, 1, 8, 8)
    y = torch.arange(400) // 50
    x = centres[y] + 0.7 * torch.randn(400, 1, 8, 8)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 8),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert F.cross_entropy(model(x), y).item() < 1e-4
    return model, x, y


def accuracy(model, x, y):
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
def test_a_class_is_forgotten_in_every_precision(sure, dtype, per_sample):
    model, x, y = copy.deepcopy(sure[0]).to(dtype), sure[1].to(dtype), sure[2]
    full = list(zip(x.split(10), y.split(10), strict=True))
    assert accuracy(model, x, y) == 1
    ssd.unlearn(model, full[15:20], full, alpha=4, lam=0.5, per_sample=per_sample)
    assert all(p.dtype == dtype for p in model.parameters())
    kept = y != 3
    assert accuracy(model, x[~kept], y[~kept]) == 0
    assert accuracy(model, x[kept], y[kept]) >= 0.95


@pytest.mark.parametrize("per_sample", [False, True])
def test_an_adaptive_alpha_is_float32s_in_half_precision(sure, per_sample):
    x, y = sure[1], sure[2]
    alphas = []
    for dtype in (torch.float32, *HALVES):
        model = copy.deepcopy(sure[0]).to(dtype)
        full = list(zip(x.to(dtype).split(10), y.split(10), strict=True))
        i_full = ssd.importance(model, full, per_sample=per_sample)
        i_forget = ssd.importance(model, full[15:20], per_sample=per_sample)
        alphas.append(ssd.adaptive_alpha(ssd.sorted_ratios(i_full, i_forget), 1 / 8))
    assert alphas[1] == pytest.approx(alphas[0], rel=0.05)
    assert alphas[2] == pytest.approx(alphas[0], rel=0.05)


def test_dampen_compares_small_importances_of_a_half_precision_model_in_float32():
    """In float16 1e-9 and 3e-9 are both 0; weights -1, 2, 4 by min(0.5 * I_D / I_Df, 1)."""
    model = nn.Linear(3, 1, bias=False).half()
    model.weight.data = torch.tensor([[-1.0, 2.0, 4.0]]).half()
    full = {"weight": torch.tensor([[1e-9, 1e-9, 1e-9]])}
    forget = {"weight": torch.tensor([[1e-9, 3e-9, 2e-9]])}
    assert ssd.dampen(model, full, forget, alpha=1.5, lam=0.5) == 2 / 3
    assert torch.equal(model.weight, torch.tensor([[-1.0, 2 / 6, 1.0]]).half())


def test_ratios_of_half_precision_importances_are_float32():
    full = {"a": torch.tensor([1e-6, 3.0]).half()}
    forget = {"a": torch.tensor([1.0, 1.0]).half()}
    ratios = ssd.sorted_ratios(full, forget)
    assert ratios.dtype == torch.float32
    assert ratios[0] == pytest.approx(1 / 3, rel=1e-6)
    assert ratios[1] == pytest.approx(1e6, rel=0.05)  # float16 holds nothing above 65504


def test_float64_stays_float64():
    torch.manual_seed(0)
    model, batch = small_net().double(), (torch.randn(4, 2, 4, 4).double(), torch.arange(4) % 3)
    for per_sample in (False, True):
        importances = ssd.importance(model, [batch], per_sample=per_sample)
        wanted = naive_importance(model, [batch], per_sample=per_sample, dtype=torch.float64)
        assert all(value.dtype == torch.float64 for value in importances.values())
        assert_same(importances, wanted, tolerance=1e-12)
        assert ssd.sorted_ratios(importances, importances).dtype == torch.float64


@pytest.mark.parametrize("per_sample", [False, True])
def test_another_default_dtype_changes_nothing(per_sample):
    torch.manual_seed(0)
    model, x, y = small_net(), torch.randn(4, 2, 4, 4), torch.tensor([0, 1, 2, 0])
    full, forget = [(x, y)], [(x[:2], y[:2])]
    twin = copy.deepcopy(model)
    wanted = ssd.importance(model, full, per_sample=per_sample)
    ssd.unlearn(model, forget, full, alpha=0.7, lam=0.5, per_sample=per_sample)
    torch.set_default_dtype(torch.float64)
    try:
        importances = ssd.importance(twin, full, per_sample=per_sample)
        ssd.unlearn(twin, forget, full, alpha=0.7, lam=0.5, per_sample=per_sample)
    finally:
        torch.set_default_dtype(torch.float32)
    assert_same(importances, wanted, tolerance=0)
    for p, q in zip(twin.parameters(), model.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize(("measure", "per_sample"), WAYS)
@pytest.mark.parametrize("dtype", HALVES)
def test_importances_under_autocast(dtype, measure, per_sample):
    """Single samples' are taken in full, as in networks that compute in bf16."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    batches = [(torch.randn(5, 4), torch.randint(3, (5,))) for _ in range(20)]
    wanted = ssd.importance(model, batches, measure=measure, per_sample=per_sample)
    with torch.autocast("cpu", dtype):
        importances = ssd.importance(model, batches, measure=measure, per_sample=per_sample)
    assert all(value.dtype == torch.float32 for value in importances.values())
    assert_same(importances, wanted, tolerance=1e-6 if per_sample else 0.03)
    if not per_sample:  # autocast did reach it
        error = importances["0.weight"] - wanted["0.weight"]
        assert error.norm() > 1e-5 * wanted["0.weight"].norm()


def test_float16_autocast_keeps_small_gradients():
    """Of a mean over 64 samples of which the network is sure to 1e-6."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    model[2].bias.data = torch.tensor([14.0, 0.0])
    batches = [(torch.randn(64, 4), torch.zeros(64, dtype=torch.int64))]
    wanted = ssd.importance(model, batches)
    with torch.autocast("cpu", torch.float16):
        importances = ssd.importance(model, batches)
    assert_close_on_scale(importances, wanted, 0.03, floor=0)


def test_a_network_is_dampened_for_autocast_too():
    """Autocast keeps casts of the weights; it must not go on with those from before."""
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.arange(6) % 3
    with torch.autocast("cpu", torch.bfloat16):
        model(x)
        ssd.unlearn(model, [(x[:2], y[:2])], [(x, y)], alpha=0.1, lam=0)
        inside = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(inside, model(x))
