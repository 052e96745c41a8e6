"""Bad teacher: one step by hand, and which images it is taught on."""

import pytest
import torch
from helpers import (
    all_of,
    assert_identical,
    assert_parameters,
    one_adam_step,
    tiny_resnet,
    tiny_split,
    tiny_vit,
    traced_fit,
    twin,
)

from methods import METHODS, bad_teacher, finetune


def test_one_step_by_hand():
    """A batch of everything: KL to the original's outputs on D_r, to the untrained one's on D_f."""
    torch.manual_seed(0)
    split, model, untrained = tiny_split(), tiny_resnet(), tiny_resnet()
    finetune.unlearn(model, split, batch_size=16, epochs=2)
    student = twin(model).train()
    (retain, _), (forget, _) = all_of(split.retain, model), all_of(split.forget, model)
    with torch.no_grad():
        logits = torch.cat([twin(model).eval()(retain), twin(untrained).eval()(forget)])
        goal = logits.double().softmax(1)
    outputs = student(torch.cat([retain, forget])).double().softmax(1)
    kl = (goal * (goal.log() - outputs.log())).sum() / len(goal)
    wanted = one_adam_step(student, kl)
    before = twin(untrained)
    result = bad_teacher.unlearn(model, split, untrained=untrained, retain_share=1.0)
    assert_parameters(result, wanted)
    assert_identical(untrained, before)


@pytest.mark.parametrize(("network", "size"), [(tiny_resnet, 256), (tiny_vit, 128)])
def test_it_sees_30_percent_of_the_retain_set_and_all_of_the_forget_set(monkeypatch, network, size):
    calls = traced_fit(monkeypatch, bad_teacher)
    split = tiny_split("random")
    bad_teacher.unlearn(network(), split, untrained=network())
    ((data, optimizer, epochs),) = calls
    count = int(0.3 * len(split.retain))
    retain, forget = data.images.index.split([count, len(split.forget)])
    assert len(set(retain.tolist()) & set(split.retain.index.tolist())) == count
    assert sorted(forget.tolist()) == sorted(split.forget.index.tolist())
    assert data.batch_size == size
    assert data.shuffle
    assert not data.augment
    assert epochs == 1
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["lr"] == 1e-4


def test_without_a_share_of_the_retain_set_it_sees_the_forget_set(monkeypatch):
    calls = traced_fit(monkeypatch, bad_teacher)
    split = tiny_split("random")
    bad_teacher.unlearn(tiny_resnet(), split, untrained=tiny_resnet(), retain_share=0)
    ((data, _, _),) = calls
    assert data.images.index.tolist() == split.forget.index.tolist()


def test_a_batch_size_of_ones_own_counts(monkeypatch):
    calls = traced_fit(monkeypatch, bad_teacher)
    bad_teacher.unlearn(tiny_vit(), tiny_split(), untrained=tiny_vit(), batch_size=7)
    ((data, _, _),) = calls
    assert data.batch_size == 7


def test_in_a_run_the_tasks_batch_size_does_not_matter():
    defaults, split = METHODS["bad_teacher"].defaults, tiny_split()
    assert defaults(tiny_vit(), split, 64) == {"batch_size": 128}
    assert defaults(tiny_resnet(), split, 64) == {"batch_size": 256}
