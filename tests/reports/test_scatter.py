"""Figures of D_f against D_r."""

import itertools
import random

from drawn import LARGEST, headline_of, points_of, size_of, texts_of
from handmade import only_setup, record

from methods import METHODS
from reports.figures import figures
from reports.scatter import ForgetSet, Trial, overview, tuning


def test_lines_from_points_to_names_do_not_cross():
    draw = random.Random(0)
    runs = []
    for method in METHODS:
        runs.append(record(method, 0, 80 + 9 * draw.random(), 90 * draw.random() ** 4, 5))
    (axis,) = figures(*only_setup(runs))["trade-off"].axes
    lines = [(*axis.transLimits.transform(text.xy), *text.get_position()) for text in axis.texts]
    assert len({line[3] for line in lines}) == len(METHODS)  # each name has a place of its own

    def side(line, x, y):
        return (line[2] - line[0]) * (y - line[1]) > (line[3] - line[1]) * (x - line[0])

    def cross(a, b):
        return side(a, *b[:2]) != side(a, *b[2:]) and side(b, *a[:2]) != side(b, *a[2:])

    assert not any(cross(a, b) for a, b in itertools.combinations(lines, 2))


def test_overview_is_the_mean_over_classes_of_what_all_of_them_have():
    runs = [record("jit", 0, 10, 10, 5, forget="cat")]
    for name, bird in (("bird", 2), ("cat", 0)):
        runs += [
            record("retrain", 0, 90 + bird, bird, 5, forget=name),
            record("ssd", 0, 80 + bird, 5 * bird, 5, forget=name),
            record("finetune", 0, 91 + bird, 30 * bird, 5, forget=name),
        ]
    _, sections = only_setup(runs)
    (axis,) = overview("title", sections).axes
    means = {"retrain": (91, 1), "ssd": (81, 5), "finetune": (92, 30)}
    assert points_of(axis) == {name: [list(point)] for name, point in means.items()}
    assert {text.get_text(): text.xy for text in axis.texts} == means


def test_what_is_far_below_retrain_lies_on_the_edge():
    runs = [record("retrain", 0, 90, 0, 5), record("jit", 0, 10, 10, 5)]
    (axis,) = figures(*only_setup(runs))["trade-off"].axes
    assert "jit (10)" in [text.get_text() for text in axis.texts]
    assert axis.get_xlim()[0] > 70


def test_only_the_ssd_family_is_blue():
    runs = [record(name, 0, 90, 5, 5) for name in ("potion", "later_method", "scrub")]
    (axis,) = figures(*only_setup(runs))["trade-off"].axes
    colours = {text.get_text(): text.get_color() for text in axis.texts}
    assert colours == {"potion": "#0072B2", "later_method": "#D55E00", "scrub": "#D55E00"}


def test_a_tuning_by_hand():
    goal, best = {"D_r %": 90, "D_f %": 0}, {"D_r %": 89, "D_f %": 2}
    trials = [Trial([{"D_r %": 80, "D_f %": 5}], 5.0), Trial([best], 1.0)]
    figure = tuning("ssd", [ForgetSet("cat", goal, best)], trials)
    axis, _ = figure.axes
    assert axis.collections[0].get_offsets().tolist() == [[80, 5], [89, 2]]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.get_lines()}
    assert lines == {"retrain": [[90, 0]], "best trial": [[89, 2]]}
    assert "ssd: 2 trials on validation images" in headline_of(figure)


def test_a_tuning_of_many_forget_sets_has_a_largest_size():
    point = {"D_r %": 90, "D_f %": 5, "MIA %": 5}
    forget_sets = [ForgetSet(f"${number}_$", point, point) for number in range(9)]
    figure = tuning("ssd", forget_sets, [Trial([point] * 9, 1.0)])
    assert size_of(figure) <= LARGEST
    assert "forget $0_$" in texts_of(figure)
    assert "first 4 of 9 forget sets" in headline_of(figure)
