"""Figures of D_f against D_r: the methods around retrain, the trials of a search around it."""

import math
import statistics
from dataclasses import dataclass, replace
from itertools import chain

from matplotlib.figure import Figure

from methods import GOAL
from reports import lookup
from reports.averages import over_classes, run_rows
from reports.room import (
    COLUMN_WIDTH,
    NEAREST,
    PAGE_WIDTH,
    drawn_only,
    first_part,
    fitted,
    legend_height,
    nearest,
    part,
    rows_for,
)
from reports.spots import write_next_to
from reports.style import FAMILIES, forget_title, legend, look_by_family, panels, set_caption
from reports.summary import Row, Sections
from reports.texts import shown

MOST_POINTS = 22  # in a panel
PANEL_HEIGHT = 2.8  # inches
FARTHEST = 15  # points that D_r may lie below retrain's; what is farther lies on the panel's edge


@dataclass(frozen=True)
class Point:
    """A method in the plane of D_r and D_f, percent; deviations are over seeds, None where none."""

    label: str
    method: str
    d_r: float
    d_f: float
    d_r_deviation: float | None = None
    d_f_deviation: float | None = None


def trade_off(sections: Sections, note: str = "") -> Figure:
    """A panel for each forget set: D_f against D_r, a named point for each method."""
    sections, not_drawn = fitted(sections, MOST_POINTS, 2 * rows_for(PANEL_HEIGHT, 1))
    points = {}
    for forgotten, rows in sections.items():
        points[f"forget {forgotten}"] = [point_of(row) for row in rows]
    return _targets(points, [note, not_drawn])


def point_of(row: Row) -> Point:
    """The row's means and deviations."""
    d_r, d_f = row.values["D_r %"], row.values["D_f %"]
    return Point(row.label, row.method, d_r.mean, d_f.mean, d_r.over_seeds, d_f.over_seeds)


def overview(sections: Sections, note: str = "") -> Figure | None:
    """The trade-off in one panel: means over the forget sets, of the methods that all of them have.

    None where there is no such method.
    """
    methods = {row.label: row.method for row in run_rows(sections)}
    averages = over_classes(sections)
    labels = [label for label in nearest(sections, len(methods)) if label in averages]
    labels = labels[:MOST_POINTS]
    if not labels:
        return None
    points = []
    for label in labels:
        average = averages[label]
        points.append(Point(label, methods[label], average["D_r %"].mean, average["D_f %"].mean))
    names = ", ".join(sections)
    if len(names) > 36:
        names = f"{len(sections)} classes"
    not_drawn = drawn_only(part(len(labels), len(averages), NEAREST))
    return _targets({f"mean over {names}": points}, [note, not_drawn])


# ---- points around a target ----


def _targets(points_of, notes):
    """A panel for each of {its title: points}; retrain's ringed star is the target.

    notes: the last sentences of the caption.
    """
    points = list(chain.from_iterable(points_of.values()))
    names = _names(points_of.values())
    keys = _keys(names)
    columns = min(2, len(points_of))
    rows = math.ceil(len(points_of) / columns)
    key_is_beside = columns == 1
    if key_is_beside:
        width = PAGE_WIDTH
        height = max(PANEL_HEIGHT, 0.2 + legend_height(list(keys), width, 1))
    else:
        width = COLUMN_WIDTH * columns
        height = PANEL_HEIGHT * rows + legend_height(list(keys.values()), width, 4)
    figure, axes = panels(rows, columns, width, height)
    lowest = lowest_shown(points)
    for axis, (name, of_panel) in zip(axes.flat, points_of.items(), strict=False):
        _limit(axis, points, lowest)
        _draw_target_panel(axis, of_panel, lowest, names)
        axis.set_title(shown(name, 40))
        axis.set_xlabel("D_r: accuracy on what is kept (%)")
        axis.set_ylabel("D_f: on what is forgotten (%)")
        axis.grid()
    for axis in axes.flat[len(points_of) :]:
        axis.set_visible(False)
    key_place = "outside right upper" if key_is_beside else "outside lower center"
    most_columns = 1 if key_is_beside else 4
    legend(figure, axes, names, columns=most_columns, texts=keys, place=key_place)
    about = ["The ringed star is retrain, the target.", FAMILIES]
    about.append("Numbers: the rank by distance to retrain in this plane; the key has the names.")
    if any(point.d_r_deviation or point.d_f_deviation for point in points):
        about.append("Bar: standard deviation over seeds.")
    if any(point.d_r < lowest for point in points):
        about.append("On the left edge: off the scale, with its D_r in brackets.")
    set_caption(figure, [*about, *notes])
    return figure


def _names(panels):
    """{label: what is written next to its point}, retrain and the baseline first.

    These have their names there. The others have their rank by the distance to their panel's
    retrain, in the plane of D_r and D_f; of several panels the mean counts. panels: the points of
    each.
    """
    distances: dict[str, list[float]] = {}
    names = {}
    for points in panels:
        goals = [point for point in points if lookup.method(point.method).is_goal]
        for point in points:
            if lookup.is_reference(point.method):
                names[point.label] = point.label
            else:
                away = min((_away(point, goal) for goal in goals), default=math.inf)
                distances.setdefault(point.label, []).append(away)
    ranked = sorted(distances, key=lambda label: statistics.fmean(distances[label]))
    for rank, label in enumerate(ranked, start=1):
        names[label] = str(rank)
    return names


def _keys(names):
    """{label: what the legend says of it}, in letters that are short."""
    keys = {}
    for label, name in names.items():
        short = label.replace("alpha ", "α ").replace("lambda ", "λ ")
        keys[label] = short if name == label else f"{name} {short}"
    return keys


def _away(point, target):
    return math.dist((point.d_r, point.d_f), (target.d_r, target.d_f))


def lowest_shown(points: list[Point]) -> float:
    """The D_r below which a point lies on the edge of its panel: FARTHEST below every retrain's."""
    of_goals = [point.d_r for point in points if lookup.method(point.method).is_goal]
    return max(min(point.d_r for point in points), min(of_goals, default=0) - FARTHEST)


def _limit(axis, points, lowest):
    """Let a panel show all points, those below the lowest D_r on its edge."""
    d_f = [point.d_f for point in points]
    axis.set_xlim(lowest - 2, max(point.d_r for point in points) + 2)
    axis.set_ylim(min(d_f) - 6, max(d_f) + 6)


def _draw_target_panel(axis, points, lowest, names):
    """The points of a panel, each with its name or number next to it."""
    texts, placed = [], []
    for point in points:
        text = shown(names[point.label], 14)
        if point.d_r < lowest:
            text = f"{text} ({point.d_r:.0f})"
            point = replace(point, d_r=lowest - 1.5, d_r_deviation=None)
        _draw_point(axis, point)
        texts.append(text)
        placed.append((point.d_r, point.d_f))
    colours = [look_by_family(point.method).colour for point in points]
    write_next_to(axis, placed, texts, colours)


def _draw_point(axis, point):
    look = look_by_family(point.method)
    is_goal = lookup.method(point.method).is_goal
    common = {"color": look.colour, "linestyle": "none", "clip_on": not is_goal}
    axis.errorbar(
        point.d_r,
        point.d_f,
        xerr=point.d_r_deviation,
        yerr=point.d_f_deviation,
        elinewidth=0.6,
        alpha=0.8,
        label=point.label,
        marker=look.marker,
        markersize=7 if is_goal else 4,
        **common,
    )
    if is_goal:
        ring = {"marker": "o", "markersize": 12, "markeredgewidth": 0.8, "markerfacecolor": "none"}
        axis.plot(point.d_r, point.d_f, **ring, **common)


# ---- trials of a search ----


@dataclass(frozen=True)
class ForgetSet:
    """What is forgotten, and what a search came to; scores are {column of SCORES: percent}."""

    name: str
    goal: dict  # the scores of retrain
    best: dict  # the scores of the best trial


@dataclass(frozen=True)
class Trial:
    """What one choice of hyper-parameters came to."""

    scores: list[dict]  # {column of SCORES: percent}, of each forget set
    distance: float  # to retrain, the mean over the forget sets, points


def tuning(method: str, forget_sets: list[ForgetSet], trials: list[Trial]) -> Figure:
    """A panel for each forget set: D_f against D_r of every trial, retrain, and the best trial."""
    columns = min(2, len(forget_sets))
    drawn = forget_sets[: columns * rows_for(2.9, 0.4)]
    rows = math.ceil(len(drawn) / columns)
    figure, axes = panels(rows, columns, 0.6 + 3.2 * columns, 2.9 * rows + 0.3)
    distances = [trial.distance for trial in trials]
    for number, (axis, forget_set) in enumerate(zip(axes.flat, drawn, strict=False)):
        scores = [trial.scores[number] for trial in trials]
        dots = axis.scatter(
            [percent["D_r %"] for percent in scores],
            [percent["D_f %"] for percent in scores],
            c=distances,
            cmap="viridis_r",
            s=16,
            edgecolors="#777777",
            linewidths=0.5,
            zorder=3,
        )
        _mark(axis, forget_set.goal, "*", 13, GOAL)
        _mark(axis, forget_set.best, "o", 10, "best trial")
        forget_title(axis, forget_set.name)
        axis.set_xlabel("D_r: accuracy on what is kept (%)")
        axis.grid()
        axis.set_xlim(-5, 105)
        axis.set_ylim(-7, 107)
    for axis in axes.flat[len(drawn) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("D_f: accuracy on what is forgotten (%)")
    axes[0, 0].legend(loc="upper left")
    figure.colorbar(dots, ax=axes).set_label("mean distance to retrain (points)")
    not_drawn = drawn_only(first_part(len(drawn), len(forget_sets)))
    set_caption(figure, [f"{method}: {len(trials)} trials on validation images.", not_drawn])
    return figure


def _mark(axis, scores, marker, size, label):
    axis.plot(
        scores["D_r %"],
        scores["D_f %"],
        marker,
        markersize=size,
        markerfacecolor="none",
        color="black",
        linestyle="none",
        clip_on=False,
        zorder=4,
        label=label,
    )
