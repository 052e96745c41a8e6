"""Unlearning by wrong labels: one step by hand, and how the labels are drawn."""

import pytest
import torch
from helpers import (
    all_of,
    assert_parameters,
    one_adam_step,
    small_split,
    tiny_resnet,
    tiny_split,
    traced_fit,
    twin,
)
from torch.nn import functional as F

from methods import amnesiac


@pytest.mark.parametrize("task", ["full_class", "sub_class", "random"])
def test_labels_are_never_the_true_one(monkeypatch, task):
    calls = traced_fit(monkeypatch, amnesiac)
    split = small_split(task)
    amnesiac.unlearn(tiny_resnet(split.num_classes), split)
    ((data, optimizer, epochs),) = calls
    truth = dict(zip(split.full.index.tolist(), split.full.labels.tolist(), strict=True))
    taught = dict(zip(data.images.index.tolist(), data.images.labels.tolist(), strict=True))
    forgotten = set(split.forget.index.tolist())
    assert taught.keys() == truth.keys()
    for image, label in taught.items():
        assert 0 <= label < split.num_classes
        assert (label != truth[image]) == (image in forgotten)
    assert data.batch_size == 128
    assert data.shuffle
    assert not data.augment
    assert epochs == 3
    assert optimizer.param_groups[0]["lr"] == 1e-4


def test_wrong_labels_are_uniform():
    torch.manual_seed(0)
    labels = amnesiac.wrong_labels(torch.full((9000,), 3), 10)
    counts = torch.bincount(labels, minlength=10).tolist()
    assert counts.pop(3) == 0
    assert all(880 < count < 1120 for count in counts)


def test_one_step_by_hand():
    torch.manual_seed(0)
    split, model = tiny_split(), tiny_resnet()
    (retain, y), (forget, true) = all_of(split.retain, model), all_of(split.forget, model)
    torch.manual_seed(3)
    wrong = (true + torch.randint(1, 10, (len(true),))) % 10
    student = twin(model).train()
    logits = student(torch.cat([retain, forget]))
    wanted = one_adam_step(student, F.cross_entropy(logits, torch.cat([y, wrong])))
    torch.manual_seed(3)
    assert_parameters(amnesiac.unlearn(model, split, epochs=1), wanted)
