"""Every form of batch and output, against the same gradients taken plainly."""

import copy
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from oracles import assert_same, naive_importance, one_line, small_net
from torch import nn

import ssd

VOCABULARY = 11


def plain_importance(model, losses, power=2):
    """The mean of |gradient|^power over some scalar losses."""
    parameters = dict(model.named_parameters())
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for loss in losses:
        options = {"allow_unused": True, "materialize_grads": True, "retain_graph": True}
        gradients = torch.autograd.grad(loss, list(parameters.values()), **options)
        for name, gradient in zip(parameters, gradients, strict=True):
            total[name] += gradient.abs().pow(power)
    return {name: value / len(losses) for name, value in total.items()}


class Tokens(nn.Module):
    """Logits of tokens [B, T, V], each of the tokens up to its own; the head is tied."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, 6)
        self.recurrent = nn.GRU(6, 6, batch_first=True)
        self.head = nn.Linear(6, VOCABULARY, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids):
        return self.head(self.recurrent(self.table(ids))[0])


@pytest.fixture
def tokens():
    """(Tokens, ids [7, 5], labels [7, 5] of which some do not count)."""
    torch.manual_seed(0)
    ids = torch.randint(VOCABULARY, (7, 5))
    labels = torch.randint(VOCABULARY, (7, 5))
    labels[2, 3:] = -100
    labels[5, 0] = -100
    return Tokens(), ids, labels


# ---- outputs ----


class Wrapped(nn.Module):
    """A network whose logits are somewhere in what it gives."""

    def __init__(self, wrap):
        super().__init__()
        self.network = small_net()
        self.wrap = wrap

    def forward(self, x):
        return self.wrap(self.network(x))


WRAPS = {
    "object": lambda logits: SimpleNamespace(logits=logits, hidden=None),
    "tuple": lambda logits: (logits, logits.detach()),
    "list": lambda logits: [logits],
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize(
    ("measure", "per_sample"),
    [("fisher", False), ("norm", False), ("fisher", True), ("true_fisher", True)],
)
def test_logits_are_found_in_what_the_model_gives(wrap, measure, per_sample):
    torch.manual_seed(0)
    model = Wrapped(WRAPS[wrap])
    batches = [(torch.randn(5, 2, 4, 4), torch.randint(3, (5,))) for _ in range(2)]
    importances = ssd.importance(model, batches, measure=measure, per_sample=per_sample)
    wanted = ssd.importance(model.network, batches, measure=measure, per_sample=per_sample)
    assert len(importances) == len(wanted)
    for name, value in wanted.items():
        assert torch.equal(importances[f"network.{name}"], value)


# ---- tokens ----


def test_tokens_cross_entropy_is_the_mean_over_those_that_count(tokens):
    model, ids, labels = tokens
    batches = [(ids[:4], labels[:4]), (ids[4:], labels[4:])]
    losses = []
    for x, y in batches:
        losses.append(F.cross_entropy(model(x).flatten(0, 1), y.flatten(), ignore_index=-100))
    assert_same(ssd.importance(model, batches), plain_importance(model, losses), 1e-5)


@pytest.mark.parametrize("measure", ["norm", "xlf"])
def test_tokens_norms_are_each_tokens_own(tokens, measure):
    model, ids, labels = tokens
    norms = model(ids).square().sum(2)
    if measure == "xlf":
        norms = norms.sqrt()
    wanted = plain_importance(model, [norms[labels != -100].mean()], power=1)
    importances = ssd.importance(model, [(ids, labels)], measure=measure)
    assert_same(importances, wanted, 1e-5)


def test_each_row_of_tokens_is_a_sample(tokens):
    model, ids, labels = tokens
    rows = []
    for x, y in zip(model(ids), labels, strict=True):
        rows.append(F.cross_entropy(x, y, ignore_index=-100))
    batches = [(ids[:4], labels[:4]), (ids[4:], labels[4:])]
    importances = ssd.importance(model, batches, per_sample=True)
    assert_same(importances, plain_importance(model, rows), 1e-5)


def test_axes_that_are_equally_long_are_not_mixed_up():
    """[B, T, V] with T = V: a norm over the wrong axis is a number too."""
    torch.manual_seed(0)
    model, x, y = nn.Linear(5, 4), torch.randn(6, 4, 5), torch.randint(4, (6, 4))
    wanted = plain_importance(model, [model(x).square().sum(2).mean()], power=1)
    assert_same(ssd.importance(model, [(x, y)], measure="norm"), wanted, 1e-5)
    wanted = plain_importance(model, [F.cross_entropy(model(x).flatten(0, 1), y.flatten())])
    assert_same(ssd.importance(model, [(x, y)]), wanted, 1e-5)


def test_a_batch_without_a_token_that_counts_is_refused(tokens):
    model, ids, labels = tokens
    for measure in ("fisher", "norm"):
        with pytest.raises(ValueError) as error:
            batches = [(ids, labels), (ids, torch.full_like(labels, -100))]
            ssd.importance(model, batches, measure=measure)
        one_line(error, "batch 2 has no token that counts")


def test_labels_of_tokens_out_of_range_are_refused(tokens):
    model, ids, labels = tokens
    for wrong in (VOCABULARY, -1, -99):
        with pytest.raises(ValueError) as error:
            ssd.importance(model, [(ids, torch.where(labels == 3, wrong, labels))])
        one_line(error, f"has the label {wrong}; labels must be integers [B, T] from 0 to 10")


def test_tokens_that_are_their_own_labels_are_warned_of(tokens):
    model, ids, _ = tokens
    with pytest.warns(UserWarning, match="not those that follow; shift them"):
        ssd.importance(model, [(ids, ids.clone())])


# ---- dicts ----


class TwoInputs(nn.Module):
    """Two inputs, logits [B, 4]; knows nothing of labels."""

    def __init__(self):
        super().__init__()
        self.of_image = nn.Linear(6, 4)
        self.of_table = nn.Linear(3, 4)

    def forward(self, image, table):
        return self.of_image(image) + self.of_table(table)


@pytest.fixture
def two_inputs():
    """(TwoInputs, batches as dicts)."""
    torch.manual_seed(0)
    batches = []
    for count in (5, 3):
        image, table = torch.randn(count, 6), torch.randn(count, 3)
        batches.append({"image": image, "table": table, "labels": torch.randint(4, (count,))})
    return TwoInputs(), batches


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_dict_holds_the_models_inputs_and_the_labels(two_inputs, per_sample):
    model, batches = two_inputs
    losses = []
    for batch in batches:
        logits = model(batch["image"], batch["table"])
        rows = F.cross_entropy(logits, batch["labels"], reduction="none")
        losses += list(rows) if per_sample else [rows.mean()]
    importances = ssd.importance(model, batches, per_sample=per_sample)
    assert_same(importances, plain_importance(model, losses), 1e-5)


def test_a_dict_without_labels_has_norms_only(two_inputs):
    model, batches = two_inputs
    with_labels = ssd.importance(model, batches, measure="norm")
    unlabelled = []
    for batch in batches:
        unlabelled.append({"image": batch["image"], "table": batch["table"]})
    assert_same(ssd.importance(model, unlabelled, measure="norm"), with_labels, 0)
    with pytest.raises(ValueError) as error:
        ssd.importance(model, unlabelled)
    one_line(error, "batch 1 is a dict without a tensor 'labels'; add it, or give loss=")


class OwnLoss(nn.Module):
    """As HuggingFace's: takes labels, gives its own loss, which here is a label-smoothed one."""

    def __init__(self, as_tuple=False):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.as_tuple = as_tuple

    def forward(self, x, labels=None):
        logits = self.linear(x)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits, labels, label_smoothing=0.3)
        if self.as_tuple:
            return (logits,) if loss is None else (loss, logits)
        return SimpleNamespace(loss=loss, logits=logits)


@pytest.mark.parametrize("as_tuple", [False, True])
def test_a_models_own_loss_is_taken_of_a_dict(as_tuple):
    torch.manual_seed(0)
    model = OwnLoss(as_tuple)
    batch = {"x": torch.randn(6, 4), "labels": torch.randint(3, (6,))}
    loss = F.cross_entropy(model.linear(batch["x"]), batch["labels"], label_smoothing=0.3)
    assert_same(ssd.importance(model, [batch]), plain_importance(model, [loss]), 1e-6)
    norm = model.linear(batch["x"]).square().sum(1).mean()
    wanted = plain_importance(model, [norm], power=1)
    assert_same(ssd.importance(model, [batch], measure="norm"), wanted, 1e-6)


def test_a_models_own_loss_must_be_one_number():
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x, labels=None):
            logits = self.linear(x)
            losses = F.cross_entropy(logits, labels, reduction="none")
            return SimpleNamespace(loss=losses, logits=logits)

    with pytest.raises(ValueError) as error:
        ssd.importance(Rows(), [{"x": torch.randn(6, 4), "labels": torch.arange(6) % 3}])
    one_line(error, "the model's own loss is [6], not a scalar; give loss=")


def test_a_loss_that_follows_the_logits_is_found():
    class Swapped(OwnLoss):
        def forward(self, x, labels=None):
            return tuple(reversed(super().forward(x, labels)))

    torch.manual_seed(0)
    model, batch = Swapped(as_tuple=True), {"x": torch.randn(6, 4), "labels": torch.arange(6) % 3}
    loss = F.cross_entropy(model.linear(batch["x"]), batch["labels"], label_smoothing=0.3)
    assert_same(ssd.importance(model, [batch]), plain_importance(model, [loss]), 1e-6)


def test_labels_of_a_dict_may_be_of_any_integer_type():
    torch.manual_seed(0)
    model, x = OwnLoss(), torch.randn(6, 4)
    wanted = ssd.importance(model, [{"x": x, "labels": torch.arange(6) % 3}])
    small = {"x": x, "labels": (torch.arange(6) % 3).to(torch.uint8)}
    assert_same(ssd.importance(model, [small]), wanted, 0)


def test_true_fisher_needs_pairs(two_inputs):
    model, batches = two_inputs
    with pytest.raises(ValueError) as error:
        ssd.importance(model, batches, measure="true_fisher", per_sample=True)
    one_line(error, "true_fisher needs pairs (x, y [B]); batch 1 is no such pair")


# ---- HuggingFace ----


def tiny_vit():
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        image_size=8,
        patch_size=4,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=3,
    )
    torch.manual_seed(0)
    return ViTForImageClassification(config)


def tiny_gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": VOCABULARY, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2}
    config = GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM")
    torch.manual_seed(0)
    return GPT2LMHeadModel(config)


def test_a_huggingface_classifier_takes_pairs_and_dicts():
    model, x, y = tiny_vit(), torch.randn(6, 3, 8, 8), torch.arange(6) % 3
    model.eval()
    loss = F.cross_entropy(model(x).logits, y)
    wanted = plain_importance(model, [loss])
    assert_same(ssd.importance(model, [(x, y)]), wanted, 1e-4)
    assert_same(ssd.importance(model, [{"pixel_values": x, "labels": y}]), wanted, 1e-4)
    alone = {"pixel_values": x, "labels": torch.full((6,), 7)}
    with pytest.raises(ValueError) as error:
        ssd.importance(model, [alone])
    one_line(error, "batch 1 has the label 7; labels must be integers [B] from 0 to 2")


def gpt2_batch():
    ids = torch.randint(VOCABULARY, (5, 6), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[1, 4:] = -100
    return {"input_ids": ids, "labels": labels, "attention_mask": (labels != -100).long()}


def test_a_causal_language_model_shifts_its_labels_itself():
    model, batch = tiny_gpt2().eval(), gpt2_batch()
    logits, targets = model(batch["input_ids"]).logits[:, :-1], batch["labels"][:, 1:]
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
    wanted = plain_importance(model, [loss])
    importances = ssd.importance(model, [batch])
    assert "lm_head.weight" not in importances  # tied: counted once
    assert_same(importances, wanted, 1e-4)
    by_loss = ssd.importance(model, [batch], loss=lambda model, batch: model(**batch).loss)
    assert_same(by_loss, wanted, 1e-4)


def test_a_language_models_norms_are_those_of_the_tokens_that_count():
    model, batch = tiny_gpt2().eval(), gpt2_batch()
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    norm = logits.square().sum(2)[batch["labels"] != -100].mean()
    wanted = plain_importance(model, [norm], power=1)
    assert_same(ssd.importance(model, [batch], measure="norm"), wanted, 1e-4)
    del batch["labels"]  # then the attention mask says which count
    assert_same(ssd.importance(model, [batch], measure="norm"), wanted, 1e-4)


def test_labels_that_are_no_classes_of_the_config_are_the_models_own():
    """Of four choices one is right, whatever num_labels says."""
    from transformers import BertConfig, BertForMultipleChoice

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=VOCABULARY, intermediate_size=8, num_labels=2, **sizes)
    torch.manual_seed(0)
    model = BertForMultipleChoice(config).eval()
    batch = {"input_ids": torch.randint(VOCABULARY, (3, 4, 5)), "labels": torch.tensor([3, 0, 2])}
    loss = model(**batch).loss
    assert_same(ssd.importance(model, [batch]), plain_importance(model, [loss]), 1e-4)


def test_a_batch_whose_labels_are_all_shifted_away_is_refused():
    model, batch = tiny_gpt2(), gpt2_batch()
    batch["labels"][:, 1:] = -100
    with pytest.raises(ValueError) as error:
        ssd.importance(model, [batch])
    one_line(error, "batch 1 has no token that counts")


def test_a_language_models_labels_out_of_range_are_refused_before_it_sees_them():
    model, batch = tiny_gpt2(), gpt2_batch()
    batch["labels"][0, 0] = VOCABULARY
    with pytest.raises(ValueError) as error:
        ssd.importance(model, [batch])
    one_line(error, "batch 1 has the label 11; labels must be integers [B, T] from 0 to 10")


# ---- loss= ----


def test_any_batch_with_a_loss_of_the_callers():
    """A multi-label head on two inputs, in a batch of a form of its own."""

    class Pair(NamedTuple):
        inputs: dict
        targets: tuple

    torch.manual_seed(0)
    model = TwoInputs()
    inputs = {"image": torch.randn(5, 6), "table": torch.randn(5, 3)}
    batch = Pair(inputs, (torch.rand(5, 4).round(),))

    def loss(model, batch):
        logits = model(**batch.inputs)
        return F.binary_cross_entropy_with_logits(logits, batch.targets[0])

    wanted = plain_importance(model, [loss(model, batch)])
    assert_same(ssd.importance(model, [batch], loss=loss), wanted, 1e-6)
    rows = []
    for row in range(5):
        one = {name: part[row : row + 1] for name, part in inputs.items()}
        rows.append(loss(model, Pair(one, (batch.targets[0][row : row + 1],))))
    wanted = plain_importance(model, rows)
    assert_same(ssd.importance(model, [batch], loss=loss, per_sample=True), wanted, 1e-5)


def test_a_loss_gives_logits_for_norms():
    torch.manual_seed(0)
    model, x = nn.Linear(4, 3), torch.randn(2, 5, 4)
    wanted = plain_importance(model, [model(x).square().sum(2).mean()], power=1)
    importances = ssd.importance(model, [x], measure="norm", loss=lambda model, x: model(x))
    assert_same(importances, wanted, 1e-6)


def test_a_batch_of_texts_is_for_the_callers_loss():
    class Letters(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(26, 2)

        def forward(self, text):
            return self.table(torch.tensor([ord(letter) - 97 for letter in text])).sum(0)

    def loss(model, texts):
        return torch.stack([model(text).square().sum() for text in texts]).mean()

    model, texts = Letters(), ["ab", "zz", "kb"]
    wanted = plain_importance(model, [loss(model, texts)])
    assert_same(ssd.importance(model, [texts], loss=loss), wanted, 1e-6)


BAD_LOSSES = {  # name: (what loss= is or gives, measure, words of the refusal)
    "no function": ("ce", "fisher", "it must be a function of (model, batch)"),
    "a number": (lambda model, batch: 1.0, "fisher", "gives a float; loss(model, batch) must"),
    "rows": (lambda model, batch: model(batch[0]).sum(1), "fisher", "gives [6]; "),
    "detached": (lambda model, batch: model(batch[0]).sum().detach(), "fisher", "no gradient"),
    "NaN": (lambda model, batch: model(batch[0]).sum() * float("nan"), "fisher", "not finite"),
    "scalar": (lambda model, batch: model(batch[0]).sum(), "norm", "must give logits [..., C]"),
    "words": (lambda model, batch: "logits", "norm", "gives a str; it must give logits"),
}


@pytest.mark.parametrize("kind", BAD_LOSSES)
def test_what_is_no_loss_is_refused(kind):
    loss, measure, words = BAD_LOSSES[kind]
    batch = torch.randn(6, 4), torch.arange(6) % 3
    with pytest.raises((TypeError, ValueError)) as error:
        ssd.importance(nn.Linear(4, 3), [batch], measure=measure, loss=loss)
    one_line(error, words)


def test_a_batch_that_cannot_be_cut_into_samples_is_named():
    model, x = nn.Linear(4, 3), torch.randn(6, 4)
    batch = {"x": x, "weights": torch.ones(3)}

    def loss(model, batch):
        return model(batch["x"]).sum()

    with pytest.raises(ValueError) as error:
        ssd.importance(model, [batch], loss=loss, per_sample=True)
    one_line(error, "a batch of 6 samples holds a part [3], which cannot be cut into samples")


def test_texts_are_cut_with_the_rest():
    """Lists within a batch have an entry for each sample."""
    seen = []

    def loss(model, batch):
        seen.append(batch["text"])
        return model(batch["x"]).square().mean()

    batch = {"text": ["a", "b", "c"], "x": torch.randn(3, 4), "title": "letters"}
    ssd.importance(nn.Linear(4, 3), [batch], loss=loss, per_sample=True)
    assert seen == [["a"], ["b"], ["c"]]


class Graph:
    """A batch that does not say how many samples it holds."""

    def __init__(self, x):
        self.x = x


def test_batches_that_do_not_say_their_size():
    torch.manual_seed(0)
    model, batches = nn.Linear(4, 3), [Graph(torch.randn(5, 4)), Graph(torch.randn(3, 4))]

    def loss(model, batch):
        return model(batch.x).square().mean()

    wanted = plain_importance(model, [loss(model, batch) for batch in batches])
    assert_same(ssd.importance(model, batches, loss=loss), wanted, 1e-6)
    ssd.unlearn(model, batches[:1], batches, alpha=1.5, lam=1, loss=loss)
    with pytest.raises(ValueError) as error:
        ssd.unlearn(model, batches[:1], batches, alpha="adaptive", lam=1, loss=loss)
    one_line(error, "needs the numbers of samples, and the batches do not say them")
    with pytest.raises(ValueError) as error:
        ssd.importance(model, batches, loss=loss, per_sample=True)
    one_line(error, "a batch of type Graph does not say how many samples it holds")


def test_rows_of_which_no_token_counts_are_no_samples(tokens):
    model, ids, labels = tokens
    labels[4] = -100
    kept = torch.arange(7) != 4
    wanted = ssd.importance(model, [(ids[kept], labels[kept])], per_sample=True)
    assert_same(ssd.importance(model, [(ids, labels)], per_sample=True), wanted, 1e-6)


def test_a_loss_of_another_model_is_refused():
    other, batch = nn.Linear(4, 3), (torch.randn(6, 4), torch.arange(6) % 3)
    with pytest.raises(ValueError) as error:
        ssd.importance(nn.Linear(4, 3), [batch], loss=lambda model, batch: other(batch[0]).sum())
    one_line(error, "the loss must be computed by this model")


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_networks_that_recompute_their_layers(use_reentrant):
    class Recomputed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            options = {"use_reentrant": use_reentrant}
            x = torch.utils.checkpoint.checkpoint(self.first, x, **options)
            return self.second(x)

    torch.manual_seed(0)
    x, y = torch.randn(6, 4, requires_grad=True), torch.arange(6) % 3
    model = Recomputed()
    logits = model.second(model.first(x))
    wanted = plain_importance(model, [F.cross_entropy(logits, y)])
    assert_same(ssd.importance(model, [(x, y)]), wanted)
    assert x.grad is None


# ---- unlearn ----


@pytest.mark.parametrize("alpha", [1.2, "adaptive"])
def test_unlearn_passes_loss_and_store_on(two_inputs, alpha):
    model, batches = two_inputs
    twin = copy.deepcopy(model)

    def loss(model, batch):
        return F.cross_entropy(model(batch["image"], batch["table"]), batch["labels"])

    ssd.unlearn(model, batches[:1], batches, alpha=alpha, lam=0.5)
    ssd.unlearn(twin, batches[:1], batches, alpha=alpha, lam=0.5, loss=loss, store="cpu")
    assert any(
        not torch.equal(p, q)
        for p, q in zip(TwoInputs().parameters(), model.parameters(), strict=True)
    )
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-7)


def test_pairs_are_as_before():
    torch.manual_seed(0)
    model, batch = small_net(), (torch.randn(6, 2, 4, 4), torch.randint(3, (6,)))
    wanted = naive_importance(model, [batch], per_sample=False)
    assert_same(ssd.importance(model, [batch]), wanted)
