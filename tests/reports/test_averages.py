"""Rows of several forget sets put together."""

import pytest
from handmade import only_setup, record

from reports.averages import over_alphas, over_classes


def averages_of(runs):
    """{label: mean D_r over classes}."""
    _, sections = only_setup(runs)
    return {label: average["D_r %"].mean for label, average in over_classes(sections).items()}


def test_a_mean_over_classes_has_its_spread_over_classes():
    runs = [record("ssd", 0, value, 5, 5, forget=name) for name, value in (("a", 80), ("b", 82))]
    _, sections = only_setup(runs)
    d_r = over_classes(sections)["ssd"]["D_r %"]
    assert d_r.mean == 81
    assert d_r.deviation == pytest.approx(1.4142, abs=1e-4)


def test_a_mean_is_over_all_classes_or_there_is_none():
    runs = [record("ssd", 0, 80, 5, 5, forget=name) for name in "abc"]
    runs += [record("jit", 0, 9, 9, 9, forget=name) for name in "bc"]
    assert averages_of(runs) == {"ssd": 80}


def test_each_alpha_has_a_mean_of_its_own():
    runs = []
    for name in "ab":
        runs.append(record("ssd", 0, 80, 5, 5, forget=name, alpha=5.0))
        runs.append(record("ssd", 0, 90, 5, 5, forget=name, alpha=10.0))
    assert averages_of(runs) == {"ssd (alpha 5)": 80, "ssd (alpha 10)": 90}


def test_means_over_classes_are_of_one_setting():
    """Runs by other settings, or from another network, are not averaged with the rest."""
    other_network = record("ssd", 0, 50, 0, 20, forget="8")
    earlier = [{"forget": "7", "method": "ssd"}]
    other_network.update(weights_hash="f" * 64, forgotten_before=earlier)
    runs = [
        record("finetune", 0, 90, 0, 20, hyperparameters={"epochs": 5}),
        record("finetune", 0, 50, 0, 20, hyperparameters={"epochs": 10}, forget="8"),
        record("ssd", 0, 90, 0, 20),
        other_network,
        record("jit", 0, 90, 0, 20),
        record("jit", 0, 50, 0, 20, forget="8"),
    ]
    assert averages_of(runs) == {"jit": 70}
    _, sections = only_setup(runs)
    labels = {row.label for row in sections["7"]}
    assert labels == {
        "finetune (epochs 5)",
        "finetune (epochs 10)",
        "ssd",
        "ssd (after 7)",
        "jit",
    }


def test_a_curve_ascends_in_every_section():
    runs = [record("ssd", 0, 80, 5, 5, forget="a", alpha=alpha) for alpha in (1.0, 2.0, 4.0, 8.0)]
    runs += [record("ssd", 0, 80, 5, 5, forget="b", alpha=alpha) for alpha in (8.0, 3.0, 1.0, 2.0)]
    (curve,) = over_alphas(only_setup(runs)[1])
    alphas = [row.settings["alpha"] for row in curve.sections["b"]]
    assert alphas == ["1", "2", "3", "8"]


def test_three_alphas_are_no_curve():
    runs = [record("ssd", 0, 80, 5, 5, alpha=alpha) for alpha in (1.0, 2.0, 4.0)]
    assert over_alphas(only_setup(runs)[1]) == []
