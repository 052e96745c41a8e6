"""training.py: the schedule by hand, the step by hand, and going on after a stop."""

import pytest
import torch
from torch import nn

from common.errors import UserError
from learning import recipes, training
from learning.images import Batches


def test_recipes_are_the_published_ones():
    assert recipes.recipe("ResNet18", "Cifar20") == {
        "epochs": 40,
        "milestones": [15, 30, 35],
        "lr": 0.1,
        "warm": 1,
        "batch_size": 64,
        "numerics": "fp32",
    }
    assert recipes.recipe("ViT", "Cifar20")["epochs"] == 9 and recipes.recipe(
        "ResNet18", "Cifar10"
    )["milestones"] == [8, 12, 16]
    assert {
        recipes.recipe("ResNet18", name)["epochs"] for name in ("Cifar100", "PinsFaceRecognition")
    } == {200}


def test_lr_factor_by_hand():
    got = [recipes.lr_factor(step, 4, 1, [3, 5]) for step in (0, 1, 3, 4, 11, 12, 19, 20)]
    assert got == pytest.approx([0, 0.25, 0.75, 1, 1, 0.2, 0.2, 0.04])
    assert recipes.lr_factor(0, 4, 0, []) == 1 and recipes.lr_factor(3, 4, 2, []) == 0.375


def test_sgd_step_by_hand():
    """Momentum 0.9, weight decay 5e-4: two steps on loss = 3 theta, the factor halving the rate at the second."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(2.0)
    batches = [(torch.ones(1, 1), None)] * 2
    training.fit(
        model,
        batches,
        training.sgd(model, 0.1),
        1,
        loss=lambda m, x, y: 3 * m(x).sum(),
        factor=lambda step: 0.5**step,
    )
    first = 3 + 5e-4 * 2
    theta = 2 - 0.1 * first
    theta -= 0.05 * (0.9 * first + 3 + 5e-4 * theta)
    assert float(model.weight.detach()) == pytest.approx(theta)
    assert not model.training and model.weight.grad is None


def test_optimisers_are_the_constants():
    model = nn.Linear(2, 2)
    sgd, adam = training.sgd(model, 0.3), training.adam(model, 0.4)
    for optimizer, settings, lr in ((sgd, training.SGD, 0.3), (adam, training.ADAM, 0.4)):
        (group,) = optimizer.param_groups
        assert type(optimizer).__name__ == settings["optimizer"] and group["lr"] == lr
        for name in settings.keys() - {"optimizer", "betas"}:
            assert group[name] == settings[name], name
    assert list(adam.param_groups[0]["betas"]) == training.ADAM["betas"] == [0.9, 0.999]
    assert (training.SGD["momentum"], training.SGD["weight_decay"]) == (0.9, 5e-4)
    assert (training.ADAM["eps"], training.ADAM["weight_decay"]) == (1e-8, 0.0)


def plain_steps(**options):
    """Two steps at rate 0.1 on loss = 3 theta, from theta = 2 and a gradient of 7 before them."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(2.0)
    model.weight.grad = torch.full((1, 1), 7.0)
    batches = [(torch.ones(1, 1), None)] * 2
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    training.fit(model, batches, optimizer, 1, loss=lambda m, x, y: 3 * m(x).sum(), **options)
    assert model.weight.grad is None
    return float(model.weight.detach())


def test_gradients_at_the_start_are_dropped_or_enter_the_first_step():
    assert plain_steps() == pytest.approx(2 - 0.1 * (3 + 3))
    assert plain_steps(uses_gradients=True) == pytest.approx(2 - 0.1 * (7 + 3 + 3))


def test_clip_bounds_the_norm_of_each_step():
    assert plain_steps(clip=1.0) == pytest.approx(2 - 0.1 * (1 + 1), rel=1e-5)
    assert plain_steps(clip=5.0) == plain_steps(clip=0.0) == plain_steps()


class Noisy:
    """Batches that draw from the global generator, as shuffling does."""

    def __len__(self):
        return 3

    def __iter__(self):
        for _ in range(3):
            yield torch.randn(8, 4), torch.randint(3, (8,))


def trained(keep, stop_after=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
    for done, _ in training.epochs(
        model, Noisy(), training.sgd(model, 0.1), 5, keep=keep, factor=lambda step: 1 / (1 + step)
    ):
        if done == stop_after:
            return None  # as if killed before epoch `done` was kept
    return model.state_dict()


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_training_goes_on_bitwise(tmp_path, stop_after, capsys):
    whole = trained(None)
    assert trained(tmp_path / "keep", stop_after) is None
    resumed = trained(tmp_path / "keep")
    assert ("going on" in capsys.readouterr().out) == (stop_after > 1)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_damaged_state_is_named(tmp_path):
    for damage in (b"", b"garbage", None):
        trained(tmp_path / "keep", 2)
        (tmp_path / "keep").write_bytes(
            (tmp_path / "keep").read_bytes()[:900] if damage is None else damage
        )
        with pytest.raises(UserError, match=r"keep.*remove it"):
            trained(tmp_path / "keep")
        (tmp_path / "keep").unlink()


def test_batches_of_one_are_refused():
    batches = Batches(None, 1, None, 8)
    model = nn.Sequential(nn.Conv2d(3, 2, 8), nn.BatchNorm2d(2))
    with pytest.raises(UserError, match="larger -b"):
        training.fit(model, batches, training.sgd(model, 0.1), 1)


def test_divergence_is_an_error():
    model = nn.Linear(4, 3)
    with pytest.raises(UserError, match="lower the learning rate"):
        training.fit(
            model,
            Noisy(),
            training.sgd(model, 0.1),
            1,
            loss=lambda m, x, y: m(x).sum() * float("inf"),
        )


def test_predict_modes():
    torch.manual_seed(0)
    model, batches = (
        nn.BatchNorm1d(4),
        [(torch.randn(8, 4) * 3 + 1, None), (torch.randn(8, 4), None)],
    )
    plain, by_batch = (
        training.predict(model, batches),
        training.predict(model, batches, train_mode=True),
    )
    assert torch.allclose(plain, torch.cat([x for x, _ in batches]), atol=1e-3)
    assert by_batch[:8].mean(0).abs().max() < 1e-6 and not model.training
