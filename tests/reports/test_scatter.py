"""Figures of D_f against D_r."""

import itertools
import random

from drawn import fits_a_page, points_of, texts_of
from handmade import only_setup, record
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from methods import METHODS
from reports.figures import figures
from reports.scatter import ForgetSet, Trial, overview, tuning
from reports.style import caption_of


def boxes_of(axis):
    """The boxes of a panel's texts, in pixels, as they are drawn."""
    canvas = FigureCanvasAgg(axis.figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    return [Text.get_window_extent(text, renderer) for text in axis.texts]


def test_names_and_numbers_do_not_lie_over_each_other():
    draw = random.Random(0)
    runs = []
    for method in METHODS:
        runs.append(record(method, 0, 80 + 9 * draw.random(), 90 * draw.random() ** 4, 5))
    (axis,) = figures(*only_setup(runs))["trade-off"].axes
    boxes = boxes_of(axis)
    assert len(boxes) == len(METHODS)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_only_retrain_and_the_baseline_are_named_in_a_panel_and_the_key_has_all():
    runs = [record("retrain", 0, 90, 0, 5), record("baseline", 0, 90, 95, 5)]
    runs += [record("ssd", 0, 85, 0, 5, alpha=4), record("jit", 0, 89, 0, 5)]
    figure = figures(*only_setup(runs))["trade-off"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["retrain", "baseline", "1", "2"]
    key = [text.get_text() for text in figure.legends[0].get_texts()]
    assert key == ["retrain", "baseline", "1 jit", "2 ssd"]


def test_a_rank_is_by_the_retrain_of_the_same_forget_set():
    """jit lies on the other class's retrain, and far from its own."""
    runs = []
    for forget, d_r in (("cat", 90), ("dog", 80)):
        runs += [record("retrain", 0, d_r, 0, 5, forget=forget)]
        runs += [record("ssd", 0, d_r - 2, 0, 5, forget=forget)]
        runs += [record("jit", 0, 170 - d_r, 0, 5, forget=forget)]
    figure = figures(*only_setup(runs))["trade-off"]
    key = [text.get_text() for text in figure.legends[0].get_texts()]
    assert key == ["retrain", "1 ssd", "2 jit"]


def test_overview_is_the_mean_over_classes_of_what_all_of_them_have():
    runs = [record("jit", 0, 10, 10, 5, forget="cat")]
    for name, bird in (("bird", 2), ("cat", 0)):
        runs += [
            record("retrain", 0, 90 + bird, bird, 5, forget=name),
            record("ssd", 0, 80 + bird, 5 * bird, 5, forget=name),
            record("finetune", 0, 91 + bird, 30 * bird, 5, forget=name),
        ]
    _, sections = only_setup(runs)
    (axis,) = overview(sections).axes
    means = {"retrain": (91, 1), "ssd": (81, 5), "finetune": (92, 30)}
    assert points_of(axis) == {name: [list(point)] for name, point in means.items()}
    assert {text.get_text(): text.xy for text in axis.texts} == {
        "retrain": means["retrain"],
        "1": means["ssd"],
        "2": means["finetune"],
    }


def test_what_is_far_below_retrain_lies_on_the_edge():
    runs = [record("retrain", 0, 90, 0, 5), record("jit", 0, 10, 10, 5)]
    (axis,) = figures(*only_setup(runs))["trade-off"].axes
    assert "1 (10)" in [text.get_text() for text in axis.texts]
    assert axis.get_xlim()[0] > 70


def test_the_ssd_family_has_a_colour_and_a_shape_of_its_own():
    runs = [record(name, 0, 90, 5, 5) for name in ("potion", "later_method", "scrub")]
    (axis,) = figures(*only_setup(runs))["trade-off"].axes
    looks = {}
    for bars in axis.containers:
        looks[bars.get_label()] = (bars.lines[0].get_color(), bars.lines[0].get_marker())
    other = ("#D55E00", "^")
    assert looks == {"potion": ("#0072B2", "o"), "later_method": other, "scrub": other}


def test_a_tuning_by_hand():
    goal, best = {"D_r %": 90, "D_f %": 0}, {"D_r %": 89, "D_f %": 2}
    trials = [Trial([{"D_r %": 80, "D_f %": 5}], 5.0), Trial([best], 1.0)]
    figure = tuning("ssd", [ForgetSet("cat", goal, best)], trials)
    axis, _ = figure.axes
    assert axis.collections[0].get_offsets().tolist() == [[80, 5], [89, 2]]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.get_lines()}
    assert lines == {"retrain": [[90, 0]], "best trial": [[89, 2]]}
    assert "ssd: 2 trials on validation images" in caption_of(figure)


def test_a_tuning_of_many_forget_sets_has_a_largest_size():
    point = {"D_r %": 90, "D_f %": 5, "MIA %": 5}
    forget_sets = [ForgetSet(f"${number}_$", point, point) for number in range(9)]
    figure = tuning("ssd", forget_sets, [Trial([point] * 9, 1.0)])
    assert fits_a_page(figure)
    assert "forget $0_$" in texts_of(figure)
    assert "first 4 of 9 forget sets" in caption_of(figure)
