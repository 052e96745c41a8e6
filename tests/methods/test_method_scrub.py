"""SCRUB against a plain loop, in both settings of the study."""

import pytest
import torch
from helpers import all_of, assert_same, net, small_split, twin
from torch.nn import functional as F

from methods import METHODS, scrub


def test_divergence_by_hand():
    teacher, student = torch.randn(6, 4), torch.randn(6, 4)
    p, q = F.softmax(teacher / 4, 1), F.softmax(student / 4, 1)
    wanted = 16 * (p * (p.log() - q.log())).sum(1).mean()
    assert float(scrub.divergence(teacher, student, 4.0)) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(("task", "size"), [("full_class", 64), ("sub_class", 64), ("random", 128)])
def test_it_has_both_settings_of_the_jit_study(task, size):
    stated = {"study": "stated", "kl_weight": 1, "ce_weight": 5, "clip": 0}
    by_script = {"study": "class_script", "kl_weight": 0.001, "ce_weight": 0.99, "clip": 1}
    split, defaults = small_split(task), METHODS["scrub"].defaults
    assert defaults(net(), split) == {**stated, "batch_size": size}
    assert defaults(net(), split, 77, {"lr": 1.0}) == {**stated, "batch_size": 77}
    chosen = {"study": "class_script"}
    assert defaults(net(), split, 77, chosen) == {**by_script, "batch_size": 128}


def test_defaults_of_the_training_are_the_studys():
    parameters = METHODS["scrub"].parameters
    for name, value in {"epochs": 3, "forget_epochs": 2, "lr": 5e-4, "temperature": 4}.items():
        assert parameters[name].default == value
    optimizer = {"optimizer": "SGD", "momentum": 0.9, "weight_decay": 5e-4}
    assert METHODS["scrub"].optimizer == optimizer


OWN = {"kl_weight": 2.0, "ce_weight": 3.0, "clip": 0.0, "batch_size": 9}
SETTINGS = [
    ({}, 1, 5, 0, 64),
    ({"study": "class_script"}, 0.001, 0.99, 1, 128),
    ({"study": "class_script", **OWN}, 2, 3, 0, 9),
    ({"clip": 0.5, "batch_size": 9}, 1, 5, 0.5, 9),
]


@pytest.mark.parametrize(("options", "kl_weight", "ce_weight", "clip", "size"), SETTINGS)
def test_it_is_the_plain_loop_in_either_setting(options, kl_weight, ce_weight, clip, size):
    """D_f then D_r in the first two epochs, D_r in the third; one optimiser for all."""
    split, model = small_split("full_class"), net(dropout=0.0)
    teacher, student = twin(model).eval(), twin(model).train()
    torch.manual_seed(3)
    scrub.unlearn(model, split, lr=0.03, **options)
    torch.manual_seed(3)
    optimizer = torch.optim.SGD(student.parameters(), 0.03, momentum=0.9, weight_decay=5e-4)
    norms = {"forget": [], "retain": []}
    for name in ("forget", "retain", "forget", "retain", "retain"):
        part = getattr(split, name)
        x, y = all_of(part, model)
        for some in torch.randperm(len(part)).split(size):
            if len(some) == 1:
                continue
            logits = student(x[some])
            kl = scrub.divergence(teacher(x[some]).detach(), logits, 4.0)
            if name == "forget":
                loss = -kl
            else:
                loss = kl_weight * kl + ce_weight * F.cross_entropy(logits, y[some])
            optimizer.zero_grad()
            loss.backward()
            norm = float(torch.cat([p.grad.flatten() for p in student.parameters()]).norm())
            norms[name].append(norm)
            if clip:
                for p in student.parameters():
                    p.grad *= min(1, clip / norm)
            optimizer.step()
    assert_same(model, student)
    assert max(norms["retain"]) > clip  # else nothing was clipped
    # At 1 the few steps on D_f are short enough.
    assert clip != 0.5 or max(norms["forget"]) > clip
