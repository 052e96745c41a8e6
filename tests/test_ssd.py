"""ssd.py against closed forms, hand-worked numbers and a loop that does one sample at a time."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

import per_sample_gradients
import ssd


def loop_over_samples(model, x, y, measure):
    """The slow oracle: one backward pass a sample, sizes averaged."""
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    model.eval()
    for i in range(len(x)):
        logits = model(x[i : i + 1])
        loss = F.cross_entropy(logits, y[i : i + 1]) if measure == "fisher" else (logits**2).sum()
        per_sample_gradients = torch.autograd.grad(
            loss, list(model.parameters()), allow_unused=True
        )
        for (name, _), g in zip(model.named_parameters(), per_sample_gradients, strict=True):
            if g is not None:
                total[name] += g**2 if measure == "fisher" else g.abs()
    return {name: value / len(x) for name, value in total.items()}


def assert_same(got, wanted, tolerance=1e-4):
    assert got.keys() == wanted.keys()
    for (
        name
    ) in wanted:  # float noise below the scale of the whole network's importances does not count
        error = (got[name] - wanted[name]).norm()
        assert error <= tolerance * wanted[name].norm() + 1e-12, name


class Odd(nn.Module):
    """Grouped, dilated, strided convolutions, in-place ReLU, LayerNorm over a sequence, an unused layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=2, dilation=2)
        self.bn = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.grouped = nn.Conv2d(8, 12, (1, 3), groups=4, bias=False)
        self.norm = nn.LayerNorm(12)
        self.mix = nn.Linear(12, 6)
        self.head = nn.Linear(6, 5)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.grouped(self.relu(self.bn(self.conv(x))))
        return self.head(torch.tanh(self.mix(self.norm(x.flatten(2).transpose(1, 2)))).mean(1))


class SequenceFirst(nn.Module):
    """Layers that see [T, B, F]: their first axis is not the sample, and as long as the batch where T = B."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.b(torch.tanh(self.a(x.transpose(0, 1))).mean(0))


class Twice(nn.Module):
    """One layer used twice, a weight used again outside its layer, a parameter that no layer owns: vmap's business."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.a, self.b = kind, nn.Linear(12, 12), nn.Linear(12, 4)
        self.shift = nn.Parameter(torch.randn(12))

    def forward(self, x):
        x = torch.tanh(self.a(x.flatten(1)))
        if self.kind == "called twice":
            x = self.a(x)
        if self.kind == "used outside":
            x = F.linear(x, self.a.weight)
        return self.b(x + self.shift if self.kind == "free parameter" else x)


def settled(model):
    """Running statistics that differ from the initial ones, so that train and eval mode differ."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def odd_batch(count=11):
    return torch.randn(count, 3, 9, 8), torch.randint(5, (count,))


@pytest.mark.parametrize("measure", ["fisher", "norm"])
@pytest.mark.parametrize("chunk_bytes", [2**28, 2000, 1])
def test_per_sample_equals_loop_on_odd_layers(measure, chunk_bytes, monkeypatch):
    monkeypatch.setattr(per_sample_gradients, "BLOCK_BYTES_ON_CPU", chunk_bytes)
    torch.manual_seed(0)
    model, (x, y) = settled(Odd()), odd_batch()
    got = ssd.importance(model, [(x[:7], y[:7]), (x[7:], y[7:])], measure=measure, per_sample=True)
    assert_same(got, loop_over_samples(model, x, y, measure))
    assert got["conv.weight"].norm() > 0 and got["unused.weight"].norm() == 0


@pytest.mark.parametrize("kind", ["called twice", "used outside", "free parameter"])
def test_per_sample_equals_loop_where_no_layer_rule_applies(kind):
    torch.manual_seed(0)
    model, x, y = Twice(kind), torch.randn(6, 3, 4), torch.randint(4, (6,))
    assert_same(
        ssd.importance(model, [(x, y)], per_sample=True), loop_over_samples(model, x, y, "fisher")
    )


@pytest.mark.parametrize("batch", [5, 6])
def test_per_sample_equals_loop_where_the_sample_is_not_the_first_axis(batch):
    torch.manual_seed(0)
    model, x, y = SequenceFirst(), torch.randn(batch, 5, 4), torch.randint(3, (batch,))
    assert_same(
        ssd.importance(model, [(x, y)], per_sample=True), loop_over_samples(model, x, y, "fisher")
    )


def test_per_sample_does_not_depend_on_batches_and_batch_importance_does():
    torch.manual_seed(0)
    model, (x, y) = Odd(), odd_batch(12)
    order = torch.randperm(12)
    one = ssd.importance(model, [(x, y)], per_sample=True)
    parts = ssd.importance(
        model, list(zip(x[order].split(5), y[order].split(5), strict=True)), per_sample=True
    )
    assert_same(parts, one)
    batch = ssd.importance(model, [(x, y)])
    assert (batch["head.weight"] - one["head.weight"]).norm() > 0.1 * one["head.weight"].norm()


@pytest.mark.parametrize("per_sample", [False, True])
def test_linear_model_closed_form(per_sample):
    """Of softmax regression the gradient of the cross-entropy is (p - onehot) x^T."""
    torch.manual_seed(0)
    model = nn.Linear(7, 3)
    batches = [
        (torch.randn(n, 7), torch.randint(3, (n,))) for n in (4, 4, 1)
    ]  # the short batch weighs as the others
    terms = []
    for x, y in batches:
        error = (torch.softmax(model(x), 1) - F.one_hot(y, 3)).detach()
        each = error[:, :, None] * x[:, None, :]
        terms += [each**2] if per_sample else [each.mean(0, keepdim=True) ** 2]
    got = ssd.importance(model, batches, per_sample=per_sample)["weight"]
    assert torch.allclose(got, torch.cat(terms).mean(0), atol=1e-7)


def test_norm_measure_closed_form_and_label_free():
    """d ||Wx + b||^2 / dW = 2 (Wx + b) x^T, absolute value of the batch's mean."""
    torch.manual_seed(0)
    model, x = nn.Linear(5, 3), torch.randn(6, 5)
    wanted = (2 * model(x)[:, :, None] * x[:, None, :]).mean(0).abs().detach()
    one, other = (
        ssd.importance(model, [(x, torch.full((6,), label))], measure="norm") for label in (0, 2)
    )
    assert torch.allclose(one["weight"], wanted, atol=1e-6)
    assert torch.equal(one["weight"], other["weight"])


def test_dampen_by_hand():
    """theta 1..5; I_D 1 1 1 0 0; I_Df 1 3 8 2 0; alpha 2, lambda 1.5: the middle three are selected."""
    model = nn.Linear(5, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    full, forget = (
        torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0]]),
        torch.tensor([[1.0, 3.0, 8.0, 2.0, 0.0]]),
    )
    share = ssd.dampen(model, {"weight": full}, {"weight": forget}, alpha=2, lam=1.5)
    assert share == 3 / 5
    assert torch.allclose(model.weight, torch.tensor([[1.0, 2 * 0.5, 3 * 1.5 / 8, 0.0, 5.0]]))


def test_dampen_never_enlarges_and_infinite_alpha_changes_nothing():
    torch.manual_seed(0)
    model = Odd()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    full, forget = (
        {name: torch.rand_like(p).round(decimals=1) for name, p in before.items()} for _ in range(2)
    )
    assert ssd.dampen(model, full, forget, alpha=float("inf"), lam=1) == 0
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert (
        ssd.dampen(model, full, forget, alpha=0.2, lam=3) > 0.5
    )  # lambda I_D / I_Df > 1 for many: they stay
    assert all((p.abs() <= before[name].abs()).all() for name, p in model.named_parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alpha": -1}, "negative"),
        ({"lam": float("nan")}, "negative"),
        ({"forget": {"weight": torch.full((1, 2), float("nan"))}}, "finite"),
        ({"full": {"weight": torch.ones(2, 2)}}, "another model"),
        ({"full": {}}, "another model"),
    ],
)
def test_dampen_refuses_and_leaves_the_model(change, words):
    model = nn.Linear(2, 1, bias=False)
    before = model.weight.detach().clone()
    given = {
        "full": {"weight": torch.ones(1, 2)},
        "forget": {"weight": torch.ones(1, 2)},
        "alpha": 0.1,
        "lam": 0,
        **change,
    }
    with pytest.raises(ValueError, match=words):
        ssd.dampen(model, given.pop("full"), given.pop("forget"), **given)
    assert torch.equal(model.weight, before)


def test_importance_leaves_nothing_behind():
    model = Odd()
    model.bn.eval()
    model.unused.requires_grad_(False)
    for per_sample in (False, True):
        ssd.importance(model, [odd_batch()], per_sample=per_sample)
    assert model.training and model.mix.training and not model.bn.training
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_importance_runs_in_eval_mode_and_keeps_statistics():
    torch.manual_seed(0)
    model = Odd()
    statistics = model.bn.running_mean.clone()
    x, y = odd_batch()
    first = ssd.importance(model, [(x, y)])
    assert torch.equal(model.bn.running_mean, statistics)
    assert_same(ssd.importance(model.eval(), [(x, y)]), first, tolerance=0)


def test_importance_refuses_no_batches_and_unknown_measures():
    with pytest.raises(ValueError, match="no batches"):
        ssd.importance(nn.Linear(2, 2), [])
    with pytest.raises(ValueError, match="fisher, norm"):
        ssd.importance(nn.Linear(2, 2), [], measure="hessian")
    with pytest.raises(
        ValueError, match="per_sample"
    ):  # the mean's gradients to every label say nothing
        ssd.importance(
            nn.Linear(2, 2),
            [(torch.ones(1, 2), torch.zeros(1, dtype=torch.int64))],
            measure="true_fisher",
        )


def test_per_sample_takes_an_input_given_by_name():
    class ByName(nn.Linear):
        def forward(self, x):
            return self.inner(input=x)

    torch.manual_seed(0)
    model, x, y = ByName(1, 1), torch.randn(5, 4), torch.randint(3, (5,))
    model.inner = nn.Linear(4, 3)
    assert_same(
        ssd.importance(model, [(x, y)], per_sample=True), loop_over_samples(model, x, y, "fisher")
    )


def test_unlearn_is_the_three_steps_and_warns_at_the_ceiling():
    torch.manual_seed(0)
    x, y = torch.randn(40, 4), torch.arange(40) // 10
    models = [nn.Linear(4, 4) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    full, forget = list(zip(x.split(10), y.split(10), strict=True)), [(x[:10], y[:10])]
    assert ssd.unlearn(models[0], forget, full, alpha=1.5, lam=0.5) is models[0]
    i_full, i_forget = ssd.importance(models[1], full), ssd.importance(models[1], forget)
    assert ssd.dampen(models[1], i_full, i_forget, alpha=1.5, lam=0.5) > 0
    assert torch.equal(models[0].weight, models[1].weight)
    with pytest.warns(UserWarning, match="smaller alpha"):
        ssd.unlearn(models[0], forget, full, alpha=4, lam=1)


def test_nothing_is_selected_above_the_ceiling():
    """Where D's batches over D_f are D_f's own, I_D >= |D_f| / |D| I_Df: alpha = |D| / |D_f| selects nothing."""
    torch.manual_seed(0)
    x, y = torch.randn(40, 4), torch.arange(40) // 10
    model = nn.Linear(4, 4)
    full = ssd.importance(model, zip(x.split(10), y.split(10), strict=True))
    forget = ssd.importance(model, [(x[:10], y[:10])])
    assert (
        ssd.dampen(model, full, forget, alpha=4.001, lam=0)
        == 0
        < ssd.dampen(model, full, forget, alpha=3, lam=0)
    )


def test_import_needs_torch_alone():
    code = (
        "import sys; before = set(sys.modules); import torch; torch_brings = set(sys.modules); import ssd; "
        "print(sorted(n for n in set(sys.modules) - torch_brings if not n.startswith('torch.')))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ssd.__file__.rsplit("/", 1)[0],
    )
    assert out.stdout.strip() == "['gradients', 'ssd']"


# ---- half precision ----

HALVES = [torch.bfloat16, torch.float16]
WAYS = [("fisher", False), ("norm", False), ("xlf", False), ("fisher", True), ("true_fisher", True)]


def loop_in_float32(model, batches, measure, per_sample):
    """The slow oracle: float32 copies of the weights, one backward pass for each gradient."""
    model = copy.deepcopy(model).float().eval()
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    count = 0
    for x, y in batches:
        size = 1 if per_sample else len(x)
        for part_x, part_y in zip(x.split(size), y.split(size), strict=True):
            count += 1
            for loss in plain_losses(model(part_x.float()), part_y, measure):
                parameters = list(model.parameters())
                options = {"allow_unused": True, "retain_graph": True}
                per_sample_gradients = torch.autograd.grad(loss, parameters, **options)
                for value, g in zip(total.values(), per_sample_gradients, strict=True):
                    if g is not None:
                        value += g.abs() if measure in ("norm", "xlf") else g.square()
    return {name: value / count for name, value in total.items()}


def plain_losses(logits, y, measure):
    """Losses whose gradients are taken one by one; true_fisher: every label's, times sqrt(p)."""
    if measure == "fisher":
        return [F.cross_entropy(logits, y)]
    if measure == "norm":
        return [logits.square().sum(1).mean()]
    if measure == "xlf":
        return [logits.square().sum(1).sqrt().mean()]
    log_p = F.log_softmax(logits, 1)[0]
    return [-log_p[label] * log_p[label].detach().div(2).exp() for label in range(len(log_p))]


def small_net():
    """Linear, convolution, both BatchNorms and LayerNorm: every rule."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 8),
        nn.BatchNorm1d(8),
        nn.Tanh(),
        nn.LayerNorm(8),
        nn.Linear(8, 3),
    )


def vmapped_net():
    """No rule for its first layer."""
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))


def looped_net():
    """vmap has no rule for its first layer either."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent, self.head = nn.GRU(6, 4, batch_first=True), nn.Linear(4, 3)

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
    got = ssd.importance(model, batches, measure=measure, per_sample=per_sample)
    wanted = loop_in_float32(model, batches, measure, per_sample)
    assert all(value.dtype == torch.float32 for value in got.values())
    scale = torch.cat([value.flatten() for value in wanted.values()]).norm()
    bound = {torch.bfloat16: 0.06, torch.float16: 0.008}[dtype]  # 8 and 11 bits of mantissa
    for name, value in wanted.items():
        assert (got[name] - value).norm() <= bound * (value.norm() + 1e-3 * scale), name


@pytest.mark.parametrize(("measure", "per_sample"), [WAYS[0], WAYS[1], WAYS[3]])
@pytest.mark.parametrize("dtype", HALVES)
def test_a_thousand_batches_in_half_precision_sum_as_one(dtype, measure, per_sample):
    """The mean over 1,000 times the same batch is that batch's; a sum in bfloat16 stops at 256."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)
    batch = torch.randn(3, 4).to(dtype), torch.tensor([0, 1, 2])
    one = ssd.importance(model, [batch], measure=measure, per_sample=per_sample)
    got = ssd.importance(model, [batch] * 1000, measure=measure, per_sample=per_sample)
    for name, value in one.items():
        assert torch.allclose(got[name], value, rtol=1e-4, atol=0), name


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("per_sample", [False, True])
def test_small_float16_gradients_of_a_sure_network_do_not_vanish(per_sample, net):
    """Where p is within 1e-5 of 1, half of the gradients are below float16's smallest number."""
    torch.manual_seed(0)
    make, shape = NETS[net]
    model = make()
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    head.weight.data.mul_(0.1)
    head.bias.data = torch.tensor([12.0, 0.0, 0.0])
    model = model.half()
    batches = [(torch.randn(16, *shape).half(), torch.zeros(16, dtype=torch.int64))]
    got = ssd.importance(model, batches, per_sample=per_sample)
    wanted = loop_in_float32(model, batches, "fisher", per_sample)
    scale = torch.cat([value.flatten() for value in wanted.values()]).norm()
    assert 0 < scale < 1e-9
    for name, value in wanted.items():
        assert (got[name] - value).norm() <= 0.02 * (value.norm() + 1e-4 * scale), name


def test_batch_norm_of_a_small_variance_in_float16():
    """eps = 1e-8 is 0 in float16."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(4, eps=1e-8), nn.Linear(4, 3)).half()
    model[0].running_var.zero_()
    x, y = (1e-4 * torch.randn(6, 4)).half(), torch.arange(6) % 3
    got = ssd.importance(model, [(x, y)], per_sample=True)
    wanted = loop_in_float32(model, [(x, y)], "fisher", True)
    for name, value in wanted.items():
        assert (got[name] - value).norm() <= 0.01 * value.norm(), name


class Steep(nn.Module):
    """Its first weight's gradients are 400,000 times those at the logits: beyond float16."""

    def __init__(self, kind):
        super().__init__()
        layer = {"rules": nn.Linear(2, 2, bias=False), "vmap": nn.Conv1d(2, 2, 1, bias=False)}
        self.kind, self.first, self.second = kind, layer[kind], nn.Linear(2, 2, bias=False)
        weight = torch.tensor([[1e-3, -2e-3], [1e-3, 1e-3]])
        self.first.weight.data = weight.view(self.first.weight.shape)
        self.second.weight.data = torch.tensor([[200.0, 300.0], [400.0, -200.0]])

    def forward(self, x):
        hidden = self.first(x[:, :, None])[:, :, 0] if self.kind == "vmap" else self.first(x)
        return self.second(hidden)


@pytest.mark.parametrize("kind", ["rules", "vmap"])
@pytest.mark.parametrize("per_sample", [False, True])
def test_large_float16_gradients_do_not_overflow(per_sample, kind):
    model = Steep(kind).half()
    batches = [(torch.tensor([[1000.0, 900.0], [800.0, -700.0]]).half(), torch.tensor([0, 1]))]
    got = ssd.importance(model, batches, measure="norm", per_sample=per_sample)
    wanted = loop_in_float32(model, batches, "norm", per_sample)
    for name, value in wanted.items():
        assert (got[name] - value).norm() <= 0.02 * value.norm(), name


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
        parts = [ssd.importance(model, part, per_sample=per_sample) for part in (full, full[15:20])]
        alphas.append(ssd.adaptive_alpha(ssd.sorted_ratios(*parts), 1 / 8))
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
    full, forget = {"a": torch.tensor([1e-6, 3.0])}, {"a": torch.tensor([1.0, 1.0])}
    half = [{"a": part["a"].half()} for part in (full, forget)]
    got = ssd.sorted_ratios(*half)  # float16 holds nothing above 65504
    assert got.dtype == torch.float32 and got[0] == pytest.approx(1 / 3, rel=1e-6)
    assert got[1] == pytest.approx(1e6, rel=0.05)


def test_float64_stays_float64():
    torch.manual_seed(0)
    model, x, y = small_net().double(), torch.randn(4, 2, 4, 4).double(), torch.tensor([0, 1, 2, 0])
    for per_sample in (False, True):
        got = ssd.importance(model, [(x, y)], per_sample=per_sample)
        assert all(value.dtype == torch.float64 for value in got.values())
    assert_same(got, loop_over_samples(model, x, y, "fisher"), tolerance=1e-12)
    assert ssd.sorted_ratios(got, got).dtype == torch.float64


@pytest.mark.parametrize("per_sample", [False, True])
def test_another_default_dtype_changes_nothing(per_sample):
    torch.manual_seed(0)
    model, x, y = small_net(), torch.randn(4, 2, 4, 4), torch.tensor([0, 1, 2, 0])
    wanted = ssd.importance(model, [(x, y)], per_sample=per_sample)
    other = copy.deepcopy(model)
    ssd.unlearn(model, [(x[:2], y[:2])], [(x, y)], alpha=0.7, lam=0.5, per_sample=per_sample)
    torch.set_default_dtype(torch.float64)
    try:
        assert_same(ssd.importance(other, [(x, y)], per_sample=per_sample), wanted, tolerance=0)
        ssd.unlearn(other, [(x[:2], y[:2])], [(x, y)], alpha=0.7, lam=0.5, per_sample=per_sample)
    finally:
        torch.set_default_dtype(torch.float32)
    for p, wanted in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.equal(p, wanted)


@pytest.mark.parametrize(("measure", "per_sample"), WAYS)
@pytest.mark.parametrize("dtype", HALVES)
def test_importances_under_autocast(dtype, measure, per_sample):
    """Single samples' are taken in full, as in networks that compute in bf16 (numerics.py)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    batches = [(torch.randn(5, 4), torch.randint(3, (5,))) for _ in range(20)]
    wanted = ssd.importance(model, batches, measure=measure, per_sample=per_sample)
    with torch.autocast("cpu", dtype):
        got = ssd.importance(model, batches, measure=measure, per_sample=per_sample)
    assert all(value.dtype == torch.float32 for value in got.values())
    assert_same(got, wanted, tolerance=1e-6 if per_sample else 0.03)
    if not per_sample:  # autocast did reach it
        assert (got["0.weight"] - wanted["0.weight"]).norm() > 1e-5 * wanted["0.weight"].norm()


def test_float16_autocast_keeps_small_gradients():
    """Of a mean over 64 samples of which the network is sure to 1e-6."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    model[2].bias.data = torch.tensor([14.0, 0.0])
    batches = [(torch.randn(64, 4), torch.zeros(64, dtype=torch.int64))]
    wanted = ssd.importance(model, batches)
    with torch.autocast("cpu", torch.float16):
        got = ssd.importance(model, batches)
    for name, value in wanted.items():
        assert (got[name] - value).norm() <= 0.03 * value.norm(), name


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


# ---- layers of other shapes, each against the loop over samples ----


class Wrapped(nn.Module):
    """A layer, tanh, and a linear head on what `view` makes of it."""

    def __init__(self, layer, features, view=None):
        super().__init__()
        self.layer, self.view = layer, view or (lambda layer, x: layer(x).flatten(1))
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
    view = lambda layer, x: layer(x.flatten(0, 1)).reshape(-1, 18)
    return Wrapped(nn.BatchNorm1d(6), 18, view)


def convolution_without_samples():
    return Wrapped(nn.Conv2d(1, 3, 3), 12, lambda layer, x: layer(x.squeeze(0)).view(1, -1))


def circular():
    return nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")


LAYERS = {  # name: (the network, shape of x)
    "BatchNorm1d on [B, C]": (lambda: after_linear(nn.BatchNorm1d(8), 8), (7, 6)),
    "BatchNorm1d on [B, C, L]": (lambda: after_linear(nn.BatchNorm1d(3), 24), (7, 3, 6)),
    "BatchNorm1d on [B T, C]": (norm_of_all_positions, (7, 3, 6)),
    "BatchNorm1d on [B, C], no affine": (
        lambda: after_linear(nn.BatchNorm1d(8, affine=False), 8),
        (7, 6),
    ),
    "BatchNorm without statistics": (lambda: Wrapped(without_statistics(), 12), (7, 3, 4)),
    "LayerNorm over two axes": (lambda: after_linear(nn.LayerNorm((3, 8)), 48), (7, 2, 3, 6)),
    "LayerNorm over all axes": (lambda: after_linear(nn.LayerNorm((3, 8)), 24), (7, 3, 6)),
    "LayerNorm without bias": (lambda: after_linear(nn.LayerNorm(8, bias=False), 24), (7, 3, 6)),
    "Linear with two more axes": (lambda: Wrapped(nn.Linear(6, 5), 30), (7, 2, 3, 6)),
    "Conv2d without samples": (convolution_without_samples, (1, 1, 4, 4)),
    "Conv2d, padding in words": (
        lambda: Wrapped(nn.Conv2d(2, 3, 3, padding="same"), 48),
        (7, 2, 4, 4),
    ),
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
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d) and module.running_var is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    y = torch.randint(4, (len(x),))
    got = ssd.importance(model, [(x, y)], measure=measure, per_sample=True)
    assert_same(got, loop_over_samples(model, x, y, measure))


@pytest.mark.parametrize("per_sample", [False, True])
def test_tied_parameters_are_counted_once(per_sample):
    """Both uses give one gradient; one name in the importances; dampened once, by half."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    x, y = torch.randn(6, 4), torch.randint(4, (6,))
    got = ssd.importance(model, [(x, y)], per_sample=per_sample)
    assert list(got) == ["0.weight", "0.bias", "2.bias"]
    assert_same(got, loop_in_float32(model, [(x, y)], "fisher", per_sample))
    before = model[0].weight.detach().clone()
    full = {name: torch.ones_like(value) for name, value in got.items()}
    forget = {name: torch.full_like(value, 2) for name, value in got.items()}
    assert ssd.dampen(model, full, forget, alpha=1, lam=1) == 1
    assert model[2].weight is model[0].weight
    assert torch.equal(model[2].weight, before / 2)


# ---- frozen parameters, empty batches, iterators ----


@pytest.mark.parametrize("per_sample", [False, True])
def test_frozen_parameters_have_no_importance_and_are_never_selected(per_sample):
    torch.manual_seed(0)
    model, x, y = small_net(), torch.randn(6, 2, 4, 4), torch.randint(3, (6,))
    wanted = ssd.importance(model, [(x, y)], per_sample=per_sample)
    model[4].weight.requires_grad_(False)
    model[0].requires_grad_(False)
    frozen = {"4.weight", "0.weight", "0.bias"}
    full = ssd.importance(model, [(x, y)], per_sample=per_sample)
    forget = ssd.importance(model, [(x[:1], y[:1])], per_sample=per_sample)
    for name, value in full.items():
        assert torch.equal(value, torch.zeros_like(value) if name in frozen else wanted[name]), name
    shares = {}
    before = copy.deepcopy(model.state_dict())
    assert ssd.dampen(model, full, forget, alpha=0, lam=0, shares=shares) > 0.2
    assert {name for name, share in shares.items() if share == 0} == frozen
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in frozen)


@pytest.mark.parametrize("per_sample", [False, True])
def test_empty_batches_are_left_out(per_sample):
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.randint(3, (6,))
    pairs = [(x[:4], y[:4]), (x[4:], y[4:])]
    with_empty = [(x[:0], y[:0]), pairs[0], (x[:0], y[:0]), pairs[1]]
    wanted = ssd.importance(model, pairs, per_sample=per_sample)
    assert_same(ssd.importance(model, with_empty, per_sample=per_sample), wanted, tolerance=0)
    with pytest.raises(ValueError, match="no batches"):
        ssd.importance(model, [(x[:0], y[:0])], per_sample=per_sample)


def test_an_iterator_can_be_read_once_and_is_refused_after():
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.randint(3, (6,))
    before = copy.deepcopy(model.state_dict())
    used = iter([(x, y)])
    ssd.importance(model, used)
    with pytest.raises(ValueError, match=r"used up before; give a list or a DataLoader"):
        ssd.importance(model, used)
    with pytest.raises(ValueError, match=r"used up before"):
        ssd.unlearn(model, used, [(x, y)], alpha=1, lam=1)
    once = iter([(x, y)])
    with pytest.raises(ValueError, match="one iterator, which can be read only once"):
        ssd.unlearn(model, once, once, alpha=1, lam=1)
    assert len(list(once)) == 1  # refused before anything was read
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_two_iterators_do_as_two_lists():
    torch.manual_seed(0)
    models, x, y = [nn.Linear(4, 3)], torch.randn(12, 4), torch.arange(12) // 4
    models.append(copy.deepcopy(models[0]))
    full = list(zip(x.split(4), y.split(4), strict=True))
    ssd.unlearn(models[0], full[:1], full, alpha=1.1, lam=0.5)
    ssd.unlearn(models[1], iter(full[:1]), iter(full), alpha=1.1, lam=0.5)
    assert torch.equal(models[0].weight, models[1].weight)


def test_batches_from_a_generator_that_switches_gradients_off():
    def batches():
        with torch.no_grad():
            yield x, y
            yield 2 * x, y

    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.randint(3, (6,))
    got = ssd.importance(model, batches())
    assert_same(got, ssd.importance(model, [(x, y), (2 * x, y)]), tolerance=0)
    with torch.inference_mode():
        made_in_it = 1 * x
    assert_same(ssd.importance(model, [(made_in_it, y), (2 * x, y)]), got, tolerance=0)


def test_labels_of_any_integer_type():
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.randint(3, (6,))
    wanted = ssd.importance(model, [(x, y)])
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert_same(ssd.importance(model, [(x, y.to(dtype))]), wanted, tolerance=0)


def test_nothing_selected_is_said():
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 4), torch.randn(40, 4), torch.arange(40) // 10
    full = list(zip(x.split(10), y.split(10), strict=True))
    with pytest.warns(UserWarning, match="no parameter was selected"):
        ssd.unlearn(model, full[:1], full, alpha=3.9999, lam=1)


# ---- what is refused: one line that names the way out, before any work ----


def one_line(error, words):
    """The message of a refusal, which is one line and holds `words`."""
    message = str(error.value)
    assert "\n" not in message and words in message, message
    return message


class Unread:
    """Batches that fail the test when they are read."""

    def __iter__(self):
        raise AssertionError("the batches were read before the settings were checked")


BAD_NUMBERS = [-1, -1e-9, float("nan"), "10", "adaptiv", None, True, False, [10], 1j]
BAD_NUMBERS += [torch.ones(2), torch.tensor(True)]


@pytest.mark.parametrize("value", BAD_NUMBERS, ids=str)
@pytest.mark.parametrize("setting", ["alpha", "lam"])
def test_bad_settings_are_refused_before_any_importance(setting, value):
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    settings = {"alpha": 1, "lam": 1, setting: value}
    with pytest.raises((TypeError, ValueError)) as error:
        ssd.unlearn(model, Unread(), Unread(), **settings)
    one_line(error, f"{setting} is ")
    one_line(error, "number, 0 or more")
    importances = {name: torch.ones_like(p) for name, p in model.named_parameters()}
    with pytest.raises((TypeError, ValueError)) as error:
        ssd.dampen(model, importances, importances, **settings)
    one_line(error, "number, 0 or more")
    assert torch.equal(model.weight, before)


def test_infinite_lam_is_refused_and_adaptive_is_no_word_for_dampen():
    model = nn.Linear(2, 2)
    importances = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    with pytest.raises(ValueError, match="finite"):
        ssd.unlearn(model, Unread(), Unread(), alpha=1, lam=float("inf"))
    with pytest.raises(TypeError, match="alpha is 'adaptive'; it must be a number"):
        ssd.dampen(model, importances, importances, alpha="adaptive", lam=1)
    with pytest.raises(TypeError, match='or "adaptive"'):
        ssd.unlearn(model, Unread(), Unread(), alpha="Adaptive", lam=1)


def test_numbers_of_other_libraries_are_settings():
    numpy = pytest.importorskip("numpy")
    importances = [{"weight": torch.full((1, 2), value)} for value in (1.0, 4.0)]
    for number in (2, numpy.float32(2), numpy.int64(2), torch.tensor(2.0)):
        model = nn.Linear(2, 1, bias=False)
        model.weight.data.fill_(8)
        assert ssd.dampen(model, *importances, alpha=number, lam=number) == 1
        assert model.weight.tolist() == [[4, 4]]


@pytest.mark.parametrize("measure", ["hessian", None, ["fisher"]])
def test_unknown_measures_are_refused_before_any_work(measure):
    with pytest.raises(ValueError) as error:
        ssd.unlearn(nn.Linear(2, 2), Unread(), Unread(), alpha=1, lam=1, measure=measure)
    one_line(error, "one of fisher, norm, xlf")


class WithParameter(nn.Module):
    """A linear model with one more parameter."""

    def __init__(self, values, trainable=False):
        super().__init__()
        self.extra = nn.Parameter(values, requires_grad=trainable)
        self.linear = nn.Linear(2, 2)

    def forward(self, x):
        return self.linear(x)


def sparse_embedding():
    return nn.Sequential(nn.Embedding(9, 2, sparse=True), nn.Flatten(), nn.Linear(2, 2))


def made_in_inference_mode():
    with torch.inference_mode():
        return nn.Linear(2, 2)


def quantized():
    class Linear(nn.Linear):
        """As torch's dynamically quantized layers, which not every machine can make."""

    Linear.__module__ = "torch.ao.nn.quantized.dynamic.modules.linear"
    return nn.Sequential(nn.Linear(2, 2), Linear(2, 2))


def with_parameter(values, trainable=False):
    return lambda: WithParameter(values, trainable)


def frozen():
    return nn.Linear(2, 2).requires_grad_(False)


ONES = torch.ones(2)
MODELS = {  # name: (the model, words of the refusal)
    "no module": (lambda: lambda x: x, "must be a torch.nn.Module"),
    "no parameters": (nn.Flatten, "has no parameters"),
    "all frozen": (frozen, "are frozen; call requires_grad_"),
    "complex": (with_parameter(ONES.to(torch.complex64), True), "extra is torch.complex64"),
    "integer": (with_parameter(ONES.to(torch.int8)), "extra is torch.int8"),
    "float8": (with_parameter(ONES.to(torch.float8_e4m3fn)), "extra is torch.float8"),
    "meta": (lambda: nn.Linear(2, 2, device="meta"), "meta device"),
    "half meta": (with_parameter(ONES.to("meta")), "extra is on the meta device"),
    "lazy": (lambda: nn.LazyLinear(2), "run the model on one batch first"),
    "sparse": (with_parameter(torch.eye(2).to_sparse()), "extra is a sparse tensor"),
    "sparse gradients": (sparse_embedding, "layer 0 gives sparse gradients; make it with"),
    "inference mode": (made_in_inference_mode, "was made in torch.inference_mode()"),
    "quantized": (quantized, "quantized layers"),
}
NEED_GRADIENTS = ("all frozen", "sparse gradients")  # and can be dampened


@pytest.mark.parametrize("kind", MODELS)
def test_models_that_cannot_forget_are_refused_before_any_work(kind):
    make, words = MODELS[kind]
    model = make()
    for per_sample in (False, True):
        with pytest.raises((TypeError, ValueError)) as error:
            ssd.importance(model, Unread(), per_sample=per_sample)
        one_line(error, words)
    with pytest.raises((TypeError, ValueError)) as error:
        ssd.unlearn(model, Unread(), Unread(), alpha=1, lam=1)
    one_line(error, words)
    if kind not in NEED_GRADIENTS:
        with pytest.raises((TypeError, ValueError)) as error:
            ssd.dampen(model, {}, {}, alpha=1, lam=1)
        one_line(error, words)


def test_a_sharded_parameter_is_refused():
    class Sharded(torch.Tensor):
        device_mesh = "of four processes"

    model = nn.Linear(2, 2)
    del model.weight
    model.weight = torch.ones(2, 2).as_subclass(Sharded)
    model.register_parameter("part", None)
    model._parameters["part"] = model.weight
    with pytest.raises(ValueError) as error:
        ssd.importance(model, Unread())
    one_line(error, "part is sharded; gather the whole model")


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_switched_off_are_refused(off):
    model = nn.Linear(2, 2)
    for per_sample in (False, True):
        with off(), pytest.raises(ValueError) as error:
            ssd.importance(model, Unread(), per_sample=per_sample)
        one_line(error, "outside torch.no_grad()")


def test_sparse_gradients_of_a_function_are_refused():
    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(9, 3))

        def forward(self, x):
            return F.embedding(x, self.table, sparse=True).sum(1)

    with pytest.raises(ValueError) as error:
        ssd.importance(Looks(), [(torch.randint(9, (4, 2)), torch.tensor([0, 1, 2, 0]))])
    one_line(error, "table is sparse")


class Gives(nn.Module):
    """Logits [B, 3] as `change` alters them."""

    def __init__(self, change):
        super().__init__()
        self.linear, self.change = nn.Linear(4, 3), change

    def forward(self, x):
        return self.change(self.linear(x))


class ModelOutput(dict):
    """As HuggingFace's: a dict with attributes."""

    logits = property(lambda self: self["logits"])


OUTPUTS = {  # name: (what becomes of the logits, words of the refusal)
    "tuple": (lambda z: (z, z), "gives a tuple; it must give logits [B, C]"),
    "dict": (lambda z: {"logits": z}, "gives a dict"),
    "ModelOutput": (lambda z: ModelOutput(logits=z), "gives a ModelOutput"),
    "None": (lambda z: None, "gives a NoneType"),
    "tokens": (lambda z: z[:, None].expand(-1, 3, -1), "gives [6, 3, 3] for 6 samples"),
    "one axis": (lambda z: z[:, 0], "gives [6] for 6 samples"),
    "one sum": (lambda z: z.sum(), "gives [] for 6 samples"),
    "transposed": (lambda z: z.T, "gives [3, 6] for 6 samples"),
    "detached": (lambda z: z.detach(), "no gradient flows"),
    "labels": (lambda z: z.argmax(1, keepdim=True).expand(-1, 3), "gives torch.int64"),
}


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("measure", ["fisher", "norm", "xlf"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_what_are_no_logits_is_refused(output, measure, per_sample):
    change, words = OUTPUTS[output]
    x, y = torch.randn(6, 4), torch.randint(3, (6,))
    with pytest.raises((TypeError, ValueError)) as error:
        ssd.importance(Gives(change), [(x, y)], measure=measure, per_sample=per_sample)
    one_line(error, words)


@pytest.mark.parametrize("measure", ["fisher", "norm"])
@pytest.mark.parametrize("per_sample", [False, True])
def test_logits_of_tokens_are_refused_with_labels_of_tokens_too(per_sample, measure):
    """[B, T, V] with T = V has cross-entropies, of the wrong axis."""
    model, x, y = nn.Linear(5, 4), torch.randn(6, 4, 5), torch.randint(4, (6, 4))
    with pytest.raises(ValueError) as error:
        ssd.importance(model, [(x, y)], measure=measure, per_sample=per_sample)
    one_line(error, "gives [6, 4, 4] for 6 samples; it must give logits [B, C], for labels [B]")


def test_one_logit_has_no_cross_entropy_and_is_refused():
    """Its softmax is 1 whatever the weights, so all importances were 0 without a word."""
    x, y = torch.randn(6, 4), torch.zeros(6, dtype=torch.int64)
    for measure, per_sample in (("fisher", False), ("fisher", True), ("true_fisher", True)):
        with pytest.raises(ValueError) as error:
            ssd.importance(nn.Linear(4, 1), [(x, y)], measure=measure, per_sample=per_sample)
        one_line(error, "2 or more")
    assert ssd.importance(nn.Linear(4, 1), [(x, y)], measure="norm")["weight"].norm() > 0


X, Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
BATCHES = {  # name: (the batches, words of the refusal)
    "no iterable": (5, "an iterable of pairs"),
    "None": (None, "an iterable of pairs"),
    "a pair": ((X, Y), "batch 1 is of type Tensor; batches must be pairs"),
    "a tensor": (X, "batch 1 is of type Tensor; batches must be pairs"),
    "dicts": ([{"x": X, "y": Y}], "batch 1 is of type dict; batches must be pairs"),
    "a dict": ({"x": X, "y": Y}, "batch 1 is of type str; batches must be pairs"),
    "x alone": ([(X,)], "batch 1 has 1 parts"),
    "triples": ([(X, Y, Y)], "batch 1 has 3 parts"),
    "the second": ([(X, Y), (X, Y, Y)], "batch 2 has 3 parts"),
    "x a dict": ([({"input": X}, Y)], "x of batch 1 is of type dict"),
    "x two tensors": ([((X, X), Y)], "x of batch 1 is of type tuple"),
    "y a list": ([(X, [0] * 6)], "y of batch 1 is of type list"),
    "no labels": ([(X, None)], "y of batch 1 is of type NoneType"),
    "too few labels": ([(X, Y[:5])], "x [6, 4] and y [5]"),
    "no samples but labels": ([(X[:0], Y)], "x [0, 4] and y [6]"),
    "one label": ([(X, Y[0])], "x [6, 4] and y []"),
}
LABELS = {  # name: (labels, words of the refusal)
    "floats": (Y.float(), "torch.float32 [6]; labels must be integers [B] from 0 to 2"),
    "truths": (Y == 0, "torch.bool [6]; labels must be integers"),
    "probabilities": (F.one_hot(Y, 3).float(), "torch.float32 [6, 3]; labels must be integers"),
    "a column": (Y[:, None], "torch.int64 [6, 1]; labels must be integers"),
    "too large": (Y + 1, "the label 3; labels must be integers [B] from 0 to 2"),
    "negative": (Y - 1, "the label -1; labels must be integers"),
    "to be ignored": (torch.where(Y == 0, -100, Y), "the label -100; labels must be integers"),
}


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("measure", ["fisher", "norm"])
@pytest.mark.parametrize("kind", BATCHES)
def test_what_are_no_batches_is_refused(kind, measure, per_sample):
    batches, words = BATCHES[kind]
    with pytest.raises((TypeError, ValueError)) as error:
        ssd.importance(nn.Linear(4, 3), batches, measure=measure, per_sample=per_sample)
    one_line(error, words)


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("kind", LABELS)
def test_what_are_no_labels_is_refused(kind, per_sample):
    y, words = LABELS[kind]
    with pytest.raises(ValueError) as error:
        ssd.importance(nn.Linear(4, 3), [(X, y)], per_sample=per_sample)
    one_line(error, words)


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_loss_that_is_not_finite_is_named_at_its_batch(per_sample):
    def later():
        raise AssertionError("batches after the broken one were read")
        yield

    def chained(*parts):
        for part in parts:
            yield from part

    broken_x = X.clone()
    broken_x[2, 1] = float("nan")
    with pytest.raises(ValueError) as error:
        batches = chained([(X, Y), (broken_x, Y)], later())
        ssd.importance(nn.Linear(4, 3), batches, per_sample=per_sample)
    one_line(error, "the loss of batch 2 is not finite: x holds NaN")
    for value in ("nan", "inf"):
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))
        model[1].weight.data[0, 0] = float(value)
        with pytest.raises(ValueError) as error:
            forget = chained([(X, Y)], later())
            ssd.unlearn(model, forget, Unread(), alpha=1, lam=1, per_sample=per_sample)
        one_line(error, "the loss of batch 1 is not finite: 1.weight holds NaN")
    model = nn.Linear(4, 3).half()
    model.weight.data.fill_(60000)
    with pytest.raises(ValueError) as error:
        ssd.importance(model, [(X.abs().half() + 1, Y)], per_sample=per_sample)
    one_line(error, "overflows")


@pytest.mark.parametrize("per_sample", [False, True])
def test_gradients_that_are_not_finite_are_named_at_the_first_batch(per_sample):
    """The square root of 0 is 0, and its gradient NaN or infinite."""

    def batches():
        yield X, Y
        raise AssertionError("batches after the broken one were read")

    model = Gives(lambda z: (z - z.detach()).abs().sqrt() + z)
    with pytest.raises(ValueError) as error:
        ssd.importance(model, batches(), per_sample=per_sample)
    one_line(error, "the importance of linear.weight is not finite")


def test_infinite_logits_of_classes_that_are_ruled_out_are_logits():
    model = Gives(lambda z: torch.where(torch.tensor([True, True, False]), z, -torch.inf))
    for per_sample in (False, True):
        got = ssd.importance(model, [(X, Y % 2)], per_sample=per_sample)
        assert got["linear.weight"][:2].norm() > 0 == got["linear.weight"][2].norm()


@pytest.mark.parametrize(
    ("importances", "words"),
    [
        (None, "NoneType; it must be what importance() returned"),
        ([torch.ones(1, 2)], "of type list; it must be"),
        (torch.ones(1, 2), "of type Tensor; it must be"),
        ({}, "nothing of weight's shape"),
        ({"weight": [[1.0, 1.0]]}, "nothing of weight's shape"),
        ({"weight": torch.ones(2)}, "nothing of weight's shape"),
        ({"weight": torch.ones(1, 2, dtype=torch.complex64)}, "nothing of weight's shape"),
        ({"weight": -torch.ones(1, 2)}, "weight is not finite or is negative"),
        ({"weight": torch.full((1, 2), float("inf"))}, "weight is not finite or is negative"),
    ],
)
@pytest.mark.parametrize("which", ["I_D", "I_Df"])
def test_what_are_no_importances_is_refused(importances, words, which):
    model, sound = nn.Linear(2, 1, bias=False), {"weight": torch.ones(1, 2)}
    before = model.weight.detach().clone()
    pair = (importances, sound) if which == "I_D" else (sound, importances)
    with pytest.raises((TypeError, ValueError)) as error:
        ssd.dampen(model, *pair, alpha=0.1, lam=0)
    assert one_line(error, words).startswith(which)
    assert torch.equal(model.weight, before)


def test_ratios_of_what_are_no_importances_are_refused():
    sound = {"a": torch.ones(2)}
    for full, forget in ((None, sound), (sound, [1]), (sound, {}), (sound, {"a": torch.ones(3)})):
        with pytest.raises((TypeError, ValueError)) as error:
            ssd.sorted_ratios(full, forget)
        one_line(error, "it must be what importance() returned")
    with pytest.raises(ValueError, match="no parameter"):
        ssd.sorted_ratios({}, {})
