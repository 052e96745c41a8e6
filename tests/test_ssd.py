"""ssd.py against closed forms, hand-worked numbers and a loop that does one sample at a time."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradients
import ssd


def loop_over_samples(model, x, y, measure):
    """The slow oracle: one backward pass a sample, sizes averaged."""
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    model.eval()
    for i in range(len(x)):
        logits = model(x[i : i + 1])
        loss = F.cross_entropy(logits, y[i : i + 1]) if measure == "fisher" else (logits**2).sum()
        gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        for (name, _), g in zip(model.named_parameters(), gradients, strict=True):
            if g is not None:
                total[name] += g**2 if measure == "fisher" else g.abs()
    return {name: value / len(x) for name, value in total.items()}


def assert_same(got, wanted, tolerance=1e-4):
    assert got.keys() == wanted.keys()
    for name in wanted:  # float noise below the scale of the whole network's importances does not count
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
    monkeypatch.setattr(gradients, "CHUNK_BYTES", (chunk_bytes, chunk_bytes))
    torch.manual_seed(0)
    model, (x, y) = settled(Odd()), odd_batch()
    got = ssd.importance(model, [(x[:7], y[:7]), (x[7:], y[7:])], measure=measure, per_sample=True)
    assert_same(got, loop_over_samples(model, x, y, measure))
    assert got["conv.weight"].norm() > 0 and got["unused.weight"].norm() == 0


@pytest.mark.parametrize("kind", ["called twice", "used outside", "free parameter"])
def test_per_sample_equals_loop_where_no_layer_rule_applies(kind):
    torch.manual_seed(0)
    model, x, y = Twice(kind), torch.randn(6, 3, 4), torch.randint(4, (6,))
    assert_same(ssd.importance(model, [(x, y)], per_sample=True), loop_over_samples(model, x, y, "fisher"))


@pytest.mark.parametrize("batch", [5, 6])
def test_per_sample_equals_loop_where_the_sample_is_not_the_first_axis(batch):
    torch.manual_seed(0)
    model, x, y = SequenceFirst(), torch.randn(batch, 5, 4), torch.randint(3, (batch,))
    assert_same(ssd.importance(model, [(x, y)], per_sample=True), loop_over_samples(model, x, y, "fisher"))


def test_per_sample_does_not_depend_on_batches_and_batch_importance_does():
    torch.manual_seed(0)
    model, (x, y) = Odd(), odd_batch(12)
    order = torch.randperm(12)
    one = ssd.importance(model, [(x, y)], per_sample=True)
    parts = ssd.importance(model, list(zip(x[order].split(5), y[order].split(5), strict=True)), per_sample=True)
    assert_same(parts, one)
    batch = ssd.importance(model, [(x, y)])
    assert (batch["head.weight"] - one["head.weight"]).norm() > 0.1 * one["head.weight"].norm()


@pytest.mark.parametrize("per_sample", [False, True])
def test_linear_model_closed_form(per_sample):
    """Of softmax regression the gradient of the cross-entropy is (p - onehot) x^T."""
    torch.manual_seed(0)
    model = nn.Linear(7, 3)
    batches = [(torch.randn(n, 7), torch.randint(3, (n,))) for n in (4, 4, 1)]  # the short batch weighs as the others
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
    one, other = (ssd.importance(model, [(x, torch.full((6,), label))], measure="norm") for label in (0, 2))
    assert torch.allclose(one["weight"], wanted, atol=1e-6)
    assert torch.equal(one["weight"], other["weight"])


def test_dampen_by_hand():
    """theta 1..5; I_D 1 1 1 0 0; I_Df 1 3 8 2 0; alpha 2, lambda 1.5: the middle three are selected."""
    model = nn.Linear(5, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    full, forget = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0]]), torch.tensor([[1.0, 3.0, 8.0, 2.0, 0.0]])
    share = ssd.dampen(model, {"weight": full}, {"weight": forget}, alpha=2, lam=1.5)
    assert share == 3 / 5
    assert torch.allclose(model.weight, torch.tensor([[1.0, 2 * 0.5, 3 * 1.5 / 8, 0.0, 5.0]]))


def test_dampen_never_enlarges_and_infinite_alpha_changes_nothing():
    torch.manual_seed(0)
    model = Odd()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    full, forget = ({name: torch.rand_like(p).round(decimals=1) for name, p in before.items()} for _ in range(2))
    assert ssd.dampen(model, full, forget, alpha=float("inf"), lam=1) == 0
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert ssd.dampen(model, full, forget, alpha=0.2, lam=3) > 0.5  # lambda I_D / I_Df > 1 for many: they stay
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
    given = {"full": {"weight": torch.ones(1, 2)}, "forget": {"weight": torch.ones(1, 2)}, "alpha": 0.1, "lam": 0, **change}
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
    with pytest.raises(ValueError, match="per_sample"):  # the mean's gradients to every label say nothing
        ssd.importance(nn.Linear(2, 2), [(torch.ones(1, 2), torch.zeros(1, dtype=torch.int64))], measure="true_fisher")


def test_per_sample_takes_an_input_given_by_name():
    class ByName(nn.Linear):
        def forward(self, x):
            return self.inner(input=x)

    torch.manual_seed(0)
    model, x, y = ByName(1, 1), torch.randn(5, 4), torch.randint(3, (5,))
    model.inner = nn.Linear(4, 3)
    assert_same(ssd.importance(model, [(x, y)], per_sample=True), loop_over_samples(model, x, y, "fisher"))


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
    assert ssd.dampen(model, full, forget, alpha=4.001, lam=0) == 0 < ssd.dampen(model, full, forget, alpha=3, lam=0)


def test_import_needs_torch_alone():
    code = "import sys; before = set(sys.modules); import torch; torch_brings = set(sys.modules); import ssd; " \
           "print(sorted(n for n in set(sys.modules) - torch_brings if not n.startswith('torch.')))"  # fmt: skip
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ssd.__file__.rsplit("/", 1)[0]
    )
    assert out.stdout.strip() == "['gradients', 'ssd']"
