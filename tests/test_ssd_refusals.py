"""What ssd.py refuses: each in one line that names the way out, before any work."""

import pytest
import torch
import torch.nn.functional as F
from oracles import one_line
from torch import nn

import ssd

# ---- settings ----


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
    for lam in (float("inf"), 1e39):  # float32 ends at 3.4e38
        with pytest.raises(ValueError, match="finite"):
            ssd.unlearn(model, Unread(), Unread(), alpha=1, lam=lam)
    with pytest.raises(TypeError, match="alpha is 'adaptive'; it must be a number"):
        ssd.dampen(model, importances, importances, alpha="adaptive", lam=1)
    with pytest.raises(TypeError, match='or "adaptive"'):
        ssd.unlearn(model, Unread(), Unread(), alpha="Adaptive", lam=1)


@pytest.mark.parametrize("measure", ["hessian", None, ["fisher"]])
def test_unknown_measures_are_refused_before_any_work(measure):
    with pytest.raises(ValueError) as error:
        ssd.unlearn(nn.Linear(2, 2), Unread(), Unread(), alpha=1, lam=1, measure=measure)
    one_line(error, "one of fisher, norm, xlf")


def test_importance_refuses_no_batches_and_unknown_measures():
    model, batch = nn.Linear(2, 2), (torch.ones(1, 2), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(ValueError, match="no batches"):
        ssd.importance(model, [])
    with pytest.raises(ValueError, match="fisher, norm"):
        ssd.importance(model, [], measure="hessian")
    # The mean's gradients to every label say nothing.
    with pytest.raises(ValueError, match="per_sample"):
        ssd.importance(model, [batch], measure="true_fisher")


# ---- models ----


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
    one_line(error, "part is sharded in another way than by fully_shard")


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


# ---- batches and labels ----

X, Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
BATCHES = {  # name: (the batches, words of the refusal)
    "no iterable": (5, "an iterable of pairs"),
    "None": (None, "an iterable of pairs"),
    "a pair": ((X, Y), "batch 1 is of type Tensor; batches must be pairs"),
    "a tensor": (X, "batch 1 is of type Tensor; batches must be pairs"),
    "a dict": ({"x": X, "y": Y}, "batch 1 is of type str; batches must be pairs"),
    "x alone": ([(X,)], "batch 1 has 1 parts"),
    "the second": ([(X, Y), (X,)], "batch 2 has 1 parts"),
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
    "a column": (Y[:, None], "1]; labels must be integers"),
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


# ---- what the model gives ----


class Gives(nn.Module):
    """Logits [B, 3] as `change` alters them."""

    def __init__(self, change):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.change = change

    def forward(self, x):
        return self.change(self.linear(x))


OUTPUTS = {  # name: (what becomes of the logits, words of the refusal)
    "empty tuple": (lambda z: (), "gives a tuple; it must give logits [B, C]"),
    "tuple of words": (lambda z: ("logits", z), "gives a tuple"),
    "dict": (lambda z: {"logits": z}, "gives a dict"),
    "None": (lambda z: None, "gives a NoneType"),
    "tokens": (lambda z: z[:, None].expand(-1, 3, -1), "gives [6, 3, 3] for 6 samples, labels [6]"),
    "pixels": (lambda z: z[:, :, None, None].expand(-1, 3, 2, 2), "gives [6, 3, 2, 2]"),
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
    message = one_line(error, words)
    if isinstance(error.value, TypeError):
        assert "loss=lambda model, batch" in message  # the way out


def test_one_logit_has_no_cross_entropy_and_is_refused():
    """Its softmax is 1 whatever the weights, so all importances were 0 without a word."""
    x, y = torch.randn(6, 4), torch.zeros(6, dtype=torch.int64)
    for measure, per_sample in (("fisher", False), ("fisher", True), ("true_fisher", True)):
        with pytest.raises(ValueError) as error:
            ssd.importance(nn.Linear(4, 1), [(x, y)], measure=measure, per_sample=per_sample)
        one_line(error, "2 or more")
    assert ssd.importance(nn.Linear(4, 1), [(x, y)], measure="norm")["weight"].norm() > 0


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
        importances = ssd.importance(model, [(X, Y % 2)], per_sample=per_sample)
        assert importances["linear.weight"][:2].norm() > 0
        assert importances["linear.weight"][2].norm() == 0


# ---- importances ----


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
    ones = {"weight": torch.ones(1, 2)}
    arguments = {"full": ones, "forget": ones, "alpha": 0.1, "lam": 0, **change}
    with pytest.raises(ValueError, match=words):
        ssd.dampen(model, **arguments)
    assert torch.equal(model.weight, before)


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
        ({"weight": torch.ones(1, 2).to_sparse()}, "weight is torch.float32, torch.sparse_coo"),
        ({"weight": torch.ones(1, 2, device="meta")}, "on meta"),
        ({"weight": torch.ones(1, 2, dtype=torch.int64)}, "weight is torch.int64"),
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
