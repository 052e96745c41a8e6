"""The training loop: the step by hand, and going on after a stop."""

import pytest
import torch
from torch import nn

from common.errors import UserError
from learning import training
from learning.images import Batches


class Lines:
    """Two batches of the number 1, which one weight turns into a loss."""

    def __len__(self):
        return 2

    def __iter__(self):
        for _ in range(2):
            yield torch.ones(1, 1), None, None


def one_weight(value):
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(value)
    return model


def three_theta(model, x, y, index):
    return 3 * model(x).sum()


def test_sgd_step_by_hand():
    """Two steps at momentum 0.9 and weight decay 5e-4; the factor halves the second's rate."""
    model = one_weight(2.0)
    optimizer = training.sgd(model, 0.1)
    training.fit(model, Lines(), optimizer, 1, loss=three_theta, factor=lambda step: 0.5**step)
    first = 3 + 5e-4 * 2
    theta = 2 - 0.1 * first
    theta -= 0.05 * (0.9 * first + 3 + 5e-4 * theta)
    assert float(model.weight.detach()) == pytest.approx(theta)
    assert not model.training
    assert model.weight.grad is None


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
    model = one_weight(2.0)
    model.weight.grad = torch.full((1, 1), 7.0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    training.fit(model, Lines(), optimizer, 1, loss=three_theta, **options)
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
            yield torch.randn(8, 4), torch.randint(3, (8,)), None


def slower(step):
    return 1 / (1 + step)


def trained(keep, stop_after=None):
    """The weights after five epochs; None where it is stopped before that many are kept."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
    optimizer = training.sgd(model, 0.1)
    for done, _ in training.epochs(model, Noisy(), optimizer, 5, keep=keep, factor=slower):
        if done == stop_after:
            return None
    return model.state_dict()


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_training_goes_on_bitwise(tmp_path, stop_after, capsys):
    whole = trained(None)
    assert trained(tmp_path / "keep", stop_after) is None
    resumed = trained(tmp_path / "keep")
    # The state of the epoch at which it was stopped had not been kept.
    assert ("going on" in capsys.readouterr().out) == (stop_after > 1)
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


@pytest.mark.parametrize("damage", ["empty", "garbage", "torn"])
def test_a_damaged_state_is_named(tmp_path, damage):
    keep = tmp_path / "keep"
    trained(keep, 2)
    torn = keep.read_bytes()[:900]
    keep.write_bytes({"empty": b"", "garbage": b"garbage", "torn": torn}[damage])
    with pytest.raises(UserError, match=r"keep.*remove it"):
        trained(keep)


def test_batches_of_one_are_refused():
    data = Batches(None, 1, None, 8)
    model = nn.Sequential(nn.Conv2d(3, 2, 8), nn.BatchNorm2d(2))
    with pytest.raises(UserError, match="larger -b"):
        training.fit(model, data, training.sgd(model, 0.1), 1)


def test_divergence_is_an_error():
    def infinite(model, x, y, index):
        return model(x).sum() * float("inf")

    model = nn.Linear(4, 3)
    with pytest.raises(UserError, match="lower the learning rate"):
        training.fit(model, Noisy(), training.sgd(model, 0.1), 1, loss=infinite)


def test_predict_modes():
    torch.manual_seed(0)
    model = nn.BatchNorm1d(4)
    first, second = torch.randn(8, 4) * 3 + 1, torch.randn(8, 4)
    data = [(first, None, None), (second, None, None)]
    plain = training.predict(model, data)
    assert torch.allclose(plain, torch.cat([first, second]), atol=1e-3)
    by_batch = training.predict(model, data, train_mode=True)
    assert by_batch[:8].mean(0).abs().max() < 1e-6
    assert not model.training
