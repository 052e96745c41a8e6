"""Figures over alpha and over the share of a corruption that is known."""

import itertools

import pytest
from drawn import fits_a_page, lines_of, points_of
from handmade import only_setup, record

from reports.figures import figures
from reports.style import caption_of

# ---- over alpha ----


def sweep(method, alphas):
    """Records of a method whose D_r and D_f rise with alpha."""
    runs = []
    for alpha in alphas:
        d_r, d_f = 80 + alpha, 9 * alpha
        runs.append(record(method, 0, d_r, d_f, 5, alpha=alpha, selected=0.1 / alpha))
    return runs


REFERENCES = [record("baseline", 0, 95, 96, 97), record("retrain", 0, 94, 0, 20)]


def adaptive(method, alpha):
    run = record(method, 0, 93, 1, 9, selected=0.01)
    run["adaptive_alpha"] = alpha
    return run


@pytest.fixture(scope="module")
def over_alpha():
    """The panel of four alphas of SSD."""
    runs = [*REFERENCES, adaptive("assd", 3.5), *sweep("ssd", (10, 2, 1, 4))]
    for run in runs:
        run["sizes"] = {"D": 50, "D_f": 5}
    return figures(*only_setup(runs))["alpha"]


def test_three_alphas_are_no_curve():
    runs = [*REFERENCES, *sweep("ssd", (10, 2, 1))]
    assert "alpha" not in figures(*only_setup(runs))


def test_four_alphas_are_a_curve(over_alpha):
    assert points_of(over_alpha.axes[0]) == {
        "D_f: what is forgotten": [[1, 9], [2, 18], [4, 36], [10, 90]],
        "D_r: what is kept": [[1, 81], [2, 82], [4, 84], [10, 90]],
    }


def test_a_curve_has_the_share_that_was_selected(over_alpha):
    wanted = [[1, 10], [2, 5], [4, 2.5], [10, 1]]
    assert lines_of(over_alpha.axes[0])["parameters selected"] == wanted


def test_a_curve_has_retrain_the_ceiling_and_what_collapsed(over_alpha):
    lines = lines_of(over_alpha.axes[0])
    assert lines["D_f of retrain"] == [[0, 0], [1, 0]]
    assert lines["ceiling |D| / |D_f|"] == [[10, 0], [10, 1]]
    crosses = [[1, 81], [2, 82], [4, 84]]  # more than 10 points below the baseline
    assert crosses in lines.values()


def test_what_chose_its_alpha_itself_stands_at_it(over_alpha):
    assert lines_of(over_alpha.axes[0])["D_r of ASSD, at its alpha"] == [[3.5, 93]]


def test_what_chose_its_alpha_by_another_importance_stands_elsewhere():
    runs = [*sweep("ssd", (1, 2, 4, 8)), *sweep("lfssd", (1, 2, 4, 8)), adaptive("alfssd", 3)]
    of_ssd, of_lfssd = figures(*only_setup(runs))["alpha"].axes
    label = "D_r of ALFSSD, at its alpha"
    assert label not in lines_of(of_ssd)
    assert label in lines_of(of_lfssd)


def test_alphas_between_powers_of_ten_are_named(over_alpha):
    over_alpha.canvas.draw()
    labels = over_alpha.axes[0].get_xticklabels(minor=True)
    texts = [label.get_text() for label in labels if label.get_text()]
    assert {"2", "5"} <= set(texts)
    assert float(texts[0]) < 1  # not 2 x 10^0


def test_a_few_rows_of_a_sweep_are_drawn_next_to_the_other_methods():
    scores = figures(*only_setup([*REFERENCES, *sweep("ssd", range(1, 6))]))["scores"]
    assert "ssd (alpha 3)" in [text.get_text() for text in scores.axes[0].get_yticklabels()]


def test_many_rows_of_a_sweep_are_said_to_be_drawn_elsewhere():
    alphas = [1 + number / 10 for number in range(13)]
    drawn = figures(*only_setup([*REFERENCES, *sweep("ssd", alphas)]))
    labels = [text.get_text() for text in drawn["scores"].axes[0].get_yticklabels()]
    assert labels == ["retrain", "baseline"]
    for name in ("scores", "trade-off"):
        sentence = "ssd: 13 rows are drawn in the figure over alpha"
        assert sentence in caption_of(drawn[name])


def test_figures_over_alpha_have_a_largest_size():
    runs = []
    kinds = itertools.product(range(9), ("ssd", "lfssd"), range(6), (1.0, 2.0, 4.0, 8.0))
    for number, method, trial, alpha in kinds:
        setting = {"alpha": alpha, "selected": 0.1, "set": {"lr": 1.0 + trial}}
        runs.append(record(method, 0, 90, 5, 5, forget=f"class {number}", **setting))
    figure = figures(*only_setup(runs))["alpha"]
    assert fits_a_page(figure)
    assert "12 of 108 panels, the first ones" in caption_of(figure)


# ---- over the share that is known ----


def corrupted(method, seed, share, clean, healed, attack, corruption="patch"):
    run = record(
        method,
        seed,
        clean,
        healed,
        50,
        task="corrupted",
        forget=f"50 {corruption} known {share}",
        corruption=corruption,
        corrupt_count=50,
        known_share=share,
    )
    run["scores"]["AttackSuccess"] = attack
    return run


@pytest.fixture(scope="module")
def healing():
    """Two corruptions: a row of three panels each."""
    runs = [
        corrupted("retrain", 0, 1, 95, 40, 0, corruption="label"),
        corrupted("retrain", 0, 0.1, 95, 20, 70),
        corrupted("retrain", 0, 1, 95, 90, 0),
        corrupted("potion", 0, 0.1, 90, 80, 5),
        corrupted("potion", 1, 0.1, 92, 84, 7),
        corrupted("potion", 0, 1, 91, 88, 1),
        corrupted("baseline", 0, 1, 95, 4, 95),
        corrupted("baseline", 0, 0.5, 95, 5, 95),
        corrupted("baseline", 1, 0.5, 95, 5, 95),
    ]
    return figures(*only_setup(runs))["healing"]


def test_healed_clean_and_attacked_images_over_the_known_share(healing):
    healed, clean, attack = [points_of(axis) for axis in healing.axes[3:]]
    assert healed["potion"] == [[10, 82], [100, 88]]
    assert clean["retrain"] == [[10, 95], [100, 95]]
    assert attack["baseline"] == [[50, 95], [100, 95]]


def test_the_legend_holds_what_any_corruption_shows(healing):
    legend = [text.get_text() for text in healing.legends[0].get_texts()]
    assert legend == ["retrain", "baseline", "potion"]


def test_figures_of_corrupted_data_have_a_largest_size():
    runs = []
    for corruption, trial in itertools.product("abcdefghij", range(20)):
        setting = {"corruption": corruption, "corrupt_count": 5, "known_share": 0.5}
        run = record(
            "ssd", 0, 90, 50, 5, task="corrupted", forget=corruption, alpha=1.0 + trial, **setting
        )
        runs.append(run)
    (figure,) = figures(*only_setup(runs)).values()
    assert fits_a_page(figure)
    assert "14 of 20 rows" in caption_of(figure)
    assert "4 of 10 corruptions" in caption_of(figure)
