"""The recipes against the published ones, and the schedule by hand."""

import pytest

from learning import recipes


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
