"""Head distillation: what changes, what does not, and that it hides a class on the digits."""

import torch
from helpers import small_split, tiny_resnet, twin

from learning.features import before_head, head_of
from learning.images import batches
from learning.training import fit, sgd
from methods import head_distill
from methods.head_distill import _targets
from metrics import accuracy, logits_of


def trained(split):
    torch.manual_seed(0)
    model = tiny_resnet()
    data = batches(split.train, model, 48, shuffle=True)
    return fit(model, data, sgd(model, 0.05), 8)


def test_only_the_head_changes():
    split = small_split("full_class")
    torch.manual_seed(0)
    model = tiny_resnet()
    before = twin(model).state_dict()
    after = head_distill.unlearn(model, split, epochs=1).state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["fc.weight", "fc.bias"]


def test_targets_are_the_originals_answers_without_the_forgotten_label():
    split = small_split("full_class")
    torch.manual_seed(0)
    model = tiny_resnet()
    features = before_head(model, batches(split.forget, model, 48))
    targets = _targets(head_of(model), features, split.forget, True)
    answers = logits_of(model, split.forget).softmax(1)
    others = answers.clone()
    others[:, split.forget_class] = 0
    assert torch.allclose(targets, others / others.sum(1, keepdim=True), atol=1e-6)


def test_it_hides_a_class_and_keeps_the_others():
    split = small_split("full_class")
    model = trained(split)
    labels, kept = split.forget_test.labels, split.retain_test
    d_r = accuracy(logits_of(model, kept), kept.labels)
    assert accuracy(logits_of(model, split.forget_test), labels) > 70
    torch.manual_seed(0)
    head_distill.unlearn(model, split, epochs=60)
    assert accuracy(logits_of(model, split.forget_test), labels) < 10
    assert accuracy(logits_of(model, kept), kept.labels) > d_r - 10
