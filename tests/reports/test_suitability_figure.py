"""The figure of what the importances said before a network was changed."""

import pytest
from drawn import fits_a_page, lines_of, texts_of
from handmade import only_setup, record

from reports import style
from reports.figures import figures

LAYERS = {"conv1": 0.8, "bn1": 0.7, "fc": 0.1}


def dampened(method, seed=0, *, selected=0.04, adaptive=None, said=(), **options):
    """A record of a method that dampens, with its suitability; said: what is else in that."""
    run = record(method, seed, 90, 5, 5, selected=selected, **options)
    run["suitability"] = {
        "denominator": "D",
        "overlap": 0.5,
        "overlap_by_layer": dict(LAYERS),
        "selected": {"1": 0.2, "2": 0.1, "5": 0.01, "10": 0.0},
        "ceiling": 8.0,
        **dict(said),
    }
    if adaptive is not None:
        run["adaptive_alpha"] = run["suitability"]["adaptive_alpha"] = adaptive
    return run


def figure_of(runs):
    return figures(*only_setup(runs))["suitability"]


@pytest.fixture(scope="module")
def drawn():
    """SSD and ASSD by the same importances, LFSSD by others."""
    lower = {"overlap": 0.25, "overlap_by_layer": {"conv1": 0.4, "fc": 0.3}}
    return figure_of(
        [
            record("retrain", 0, 94, 0, 20),
            dampened("assd", adaptive=4.0, selected=0.02),
            dampened("ssd", alpha=3.0, selected=0.05),
            dampened("lfssd", alpha=2.0, selected=0.1, said=lower),
        ]
    )


def test_records_without_it_have_no_such_figure():
    assert "suitability" not in figures(*only_setup([record("ssd", 0, 90, 5, 5, selected=0.1)]))


def test_the_share_over_alpha_by_hand(drawn):
    """Of the grid and of the runs; what selects nothing has no place on a logarithmic axis."""
    lines = lines_of(drawn.axes[0])
    assert lines["ssd, assd"] == [[1, 20], [2, 10], [3, 5], [4, 2], [5, 1]]
    assert lines["lfssd"] == [[1, 20], [2, 10], [5, 1]]


def test_runs_and_adaptive_alphas_are_marked(drawn):
    marks = {}
    for line in drawn.axes[0].get_lines():
        if line.get_linestyle() == "None" and len(line.get_xdata()):
            marks.setdefault(line.get_marker(), []).extend(line.get_xydata().tolist())
    assert sorted(marks["o"]) == [[2, 10], [3, 5]]
    assert marks["D"] == [[4, 2]]


def test_the_ceiling_is_drawn_once(drawn):
    upright = []
    for line in drawn.axes[0].get_lines():
        if len(line.get_xdata()) == 2 and list(line.get_ydata()) == [0, 1]:
            upright.append(line.get_xdata()[0])
    assert upright == [8]


def test_the_overlap_of_every_layer_by_hand(drawn):
    points = [line.get_xydata().tolist() for line in drawn.axes[1].get_lines()]
    assert [[0, 0.8], [1, 0.7], [2, 0.1]] in points
    assert [[0, 0.4], [2, 0.3]] in points  # at the places of the same layers
    assert [[0, 0.5], [1, 0.5]] in points  # over all
    assert [[0, 0.25], [1, 0.25]] in points
    assert {"conv1", "bn1", "fc"} <= texts_of(drawn)


def test_the_legend_says_whose_importances_they_are(drawn):
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert legend[:2] == ["ssd, assd", "lfssd"]
    assert "ceiling |D| / |D_f|" in legend


def test_importances_of_another_kind_have_a_line_of_their_own():
    of_d_r = {"denominator": "D_r"}
    runs = [
        dampened("ssd", alpha=2.0),
        dampened("ssd", alpha=2.0, importance="sample"),
        dampened("assd", adaptive=3.0, set={"denominator": "D_r"}, said=of_d_r),
    ]
    del runs[2]["suitability"]["ceiling"]
    lines = lines_of(figure_of(runs).axes[0])
    assert {"ssd", "ssd, each sample's own", "assd over I_Dr"} <= lines.keys()


def test_only_the_first_network_is_drawn():
    runs = [dampened("ssd", alpha=2.0, training=training) for training in (0, 1)]
    runs[1]["suitability"]["overlap_by_layer"] = {"other": 0.9}
    assert "other" not in texts_of(figure_of(runs))


def test_nothing_selected_and_nothing_that_overlaps_can_be_drawn():
    nothing = {"selected": {"0": 0.5, "1": 0.0}, "overlap_by_layer": {}}
    run = dampened("ssd", alpha=2.0, selected=0.0, said=nothing)
    del run["suitability"]["overlap"], run["suitability"]["ceiling"]
    assert style.saved(figure_of([run]), "svg")


def test_many_forget_sets_and_layers_fit():
    layers = {f"block.{number}.weight": 0.5 for number in range(300)}
    runs = []
    for number in range(12):
        said = {"overlap_by_layer": layers}
        runs.append(dampened("ssd", alpha=2.0, forget=f"class {number}", said=said))
    figure = figure_of(runs)
    assert fits_a_page(figure)
    assert "Drawn: the first 3 of 12 forget sets" in style.caption_of(figure)
    assert len(figure.axes[-1].get_xticklabels()) == 60
