"""The recipes against the published ones, and the schedule by hand."""

import math

import pytest

from common.errors import UserError
from learning import recipes

FAST = {"epochs": 8, "warm": 2, "sizes": [[0.5, 3], [0.75, 3], [1, 2]]}


def test_a_recipe_has_all_that_pretraining_needs():
    assert recipes.recipe("ResNet18", "Cifar20") == {
        "epochs": 40,
        "milestones": [15, 30, 35],
        "lr": 0.1,
        "warm": 1,
        "batch_size": 64,
        "numerics": "fp32",
    }


# (network, data set): epochs, milestones
PUBLISHED = {
    ("ResNet18", "Cifar100"): (200, (60, 120, 160)),
    ("ResNet18", "PinsFaceRecognition"): (200, (60, 120, 160)),
    ("ResNet18", "Cifar20"): (40, (15, 30, 35)),
    ("ResNet18", "Cifar10"): (20, (8, 12, 16)),
    ("ViT", "Cifar100"): (8, (7,)),
    ("ViT", "Cifar20"): (9, (8,)),
    ("ViT", "Cifar10"): (8, (7,)),
}


def test_what_is_called_published_is():
    rows = {}
    for key, row in recipes.RECIPES.items():
        if row.source == "published":
            rows[key] = (row.epochs, row.milestones)
    assert rows == PUBLISHED


def test_a_data_set_without_a_row_has_a_recipe_of_ours():
    for net, row in recipes.DEFAULT_RECIPES.items():
        assert row.source == "ours"
        assert recipes.recipe(net, "Folder")["lr"] == row.lr


def test_lr_factor_by_hand():
    steps = (0, 1, 3, 4, 11, 12, 19, 20)
    factors = [recipes.lr_factor(step, 4, 1, [3, 5]) for step in steps]
    assert factors == pytest.approx([0, 0.25, 0.75, 1, 1, 0.2, 0.2, 0.04])


def test_warm_up_takes_as_many_epochs_as_asked():
    assert recipes.lr_factor(0, 4, 0, []) == 1
    assert recipes.lr_factor(3, 4, 2, []) == 0.375


# ---- fast recipes ----


def all_fast_recipes():
    rows = {**recipes.FAST_RECIPES, **recipes.DEFAULT_FAST_RECIPES}
    return list(rows.values())


@pytest.mark.parametrize("row", all_fast_recipes(), ids=str)
def test_a_fast_recipe_can_be(row):
    """Images grow to their own size; the rate rises within the training."""
    shares = [share for share, _ in row.sizes]
    epochs = sum(epochs for _, epochs in row.sizes)
    assert shares == sorted(shares) and shares[-1] == 1
    assert all(epochs > 0 for _, epochs in row.sizes)
    assert 0 < row.warm < epochs


def test_a_fast_recipe_as_a_record_keeps_it():
    settings = recipes.recipe("ResNet18Slim", "Cifar20", "fast")
    assert settings["name"] == "fast" and "milestones" not in settings
    assert settings["epochs"] == sum(epochs for _, epochs in settings["sizes"])
    assert set(recipes.FAST_SETTINGS) == settings.keys() - recipes.recipe("ViT", "Cifar20").keys()


def test_a_network_without_a_fast_recipe_is_refused():
    with pytest.raises(UserError, match="-recipe published"):
        recipes.recipe("ViT", "Cifar10", "fast")


def test_cycle_factor_by_hand():
    """Up to 1 within two steps, and down by sixths; the last step's rate is not 0."""
    factors = [recipes.cycle_factor(step, 8, 2) for step in range(8)]
    assert factors == pytest.approx([1 / 2, 7 / 6 - 0 / 6, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_sizes_by_hand():
    sides = [recipes.side_of(FAST, done, 32) for done in range(9)]
    assert sides == [16, 16, 16, 24, 24, 24, 32, 32, 32]
    assert recipes.side_of({"epochs": 20}, 3, 36) == 36  # a published recipe


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 8, 16, 100])
def test_with_other_epochs_all_keeps_its_share(epochs):
    changed = recipes.with_epochs(FAST, epochs)
    assert changed["epochs"] == sum(part for _, part in changed["sizes"]) == epochs
    assert changed["warm"] == pytest.approx(epochs / 4)
    assert changed["sizes"][0][1] == math.floor(3 / 8 * epochs)
    assert recipes.side_of(changed, epochs - 1, 32) == 32


def test_milestones_keep_their_share():
    settings = recipes.with_epochs({"epochs": 20, "milestones": [8, 12, 16]}, 5)
    assert settings == {"epochs": 5, "milestones": [2, 3, 4]}
