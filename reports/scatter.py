"""Figures of D_f against D_r: the methods around retrain, the trials of a search around it."""

import math
from dataclasses import dataclass, replace
from itertools import chain

from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from methods import GOAL
from reports import lookup
from reports.averages import over_classes, run_rows
from reports.room import NEAREST, drawn_only, first_part, fitted, nearest, part, room_for, widest
from reports.style import GRID, forget_title, headline, look_by_family, panel_title, panels
from reports.summary import Sections
from reports.texts import shown

MOST_NAMES = 22  # next to a panel
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


def trade_off(title: str, sections: Sections, note: str = "") -> Figure:
    """A panel for each forget set: D_f against D_r, a named point for each method."""
    sections, not_drawn = fitted(sections, MOST_NAMES, 2 * room_for(3.6, 0.9))
    points = {}
    for forgotten, rows in sections.items():
        points[f"forget {forgotten}"] = [_point_of(row) for row in rows]
    return _targets(title, points, [note, not_drawn])


def _point_of(row):
    d_r, d_f = row.values["D_r %"], row.values["D_f %"]
    return Point(row.label, row.method, d_r.mean, d_f.mean, d_r.over_seeds, d_f.over_seeds)


def overview(title: str, sections: Sections, note: str = "") -> Figure | None:
    """The trade-off in one panel: means over the forget sets, of the methods that all of them have.

    None where there is no such method.
    """
    methods = {row.label: row.method for row in run_rows(sections)}
    averages = over_classes(sections)
    labels = [label for label in nearest(sections, len(methods)) if label in averages]
    labels = labels[:MOST_NAMES]
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
    return _targets(title, {f"mean over {names}": points}, [note, not_drawn])


# ---- points around a target ----


def _targets(title, points_of, notes):
    """A panel for each of {its title: points}; retrain's ringed star is the target.

    notes: the last lines of the headline.
    """
    points = list(chain.from_iterable(points_of.values()))
    columns = min(2, len(points_of))
    rows = math.ceil(len(points_of) / columns)
    width = max(4.6, 2.8 + widest([point.label for point in points], 8, 42))
    height = 3.6 * rows + 0.6 + 0.15 * len(list(filter(None, notes)))
    figure, axes = panels(rows, columns, width * columns, height)
    lowest = _lowest_shown(points)
    for axis, (name, of_panel) in zip(axes.flat, points_of.items(), strict=False):
        _limit(axis, points, lowest)
        _draw_target_panel(axis, of_panel, lowest)
        panel_title(axis, shown(name, 48))
        axis.set_xlabel("D_r: accuracy on what is kept (%)", fontsize=9)
        axis.set_ylabel("D_f: on what is forgotten (%)", fontsize=9)
        axis.grid(color=GRID)
    for axis in axes.flat[len(points_of) :]:
        axis.set_visible(False)
    about = []
    if any(point.d_f_deviation for point in points):
        about.append("Bar: standard deviation over seeds")
    if any(point.d_r < lowest for point in points):
        about.append("Arrow: off the scale, its D_r in brackets")
    target = "Target: the ringed star, retrain. Blue: the SSD family."
    headline(figure, [f"{title}.", target, ". ".join(about), *notes], 9)
    return figure


def _lowest_shown(points):
    """The D_r below which a point lies on the edge of its panel: FARTHEST below every retrain's."""
    of_goals = [point.d_r for point in points if lookup.method(point.method).is_goal]
    return max(min(point.d_r for point in points), min(of_goals, default=0) - FARTHEST)


def _limit(axis, points, lowest):
    """Let a panel show all points, those below the lowest D_r on its edge."""
    d_f = [point.d_f for point in points]
    axis.set_xlim(lowest - 2, max(point.d_r for point in points) + 2)
    axis.set_ylim(min(d_f) - 4, max(d_f) + 4)


def _draw_target_panel(axis, points, lowest):
    placed = []
    for point in points:
        if point.d_r < lowest:
            label = f"{shown(point.label, 36)} ({point.d_r:.0f})"
            point = replace(point, label=label, d_r=lowest - 1.5, d_r_deviation=None)
        placed.append(point)
        _draw_point(axis, point, off_scale=point.d_r < lowest)
    _name_points(axis, placed)


def _draw_point(axis, point, off_scale):
    look = look_by_family(point.method)
    is_goal = lookup.method(point.method).is_goal
    common = {"color": look.colour, "linestyle": "none", "clip_on": not is_goal}
    axis.errorbar(
        point.d_r,
        point.d_f,
        xerr=point.d_r_deviation,
        yerr=point.d_f_deviation,
        elinewidth=0.6,
        alpha=0.7,
        label=point.label,
        marker="<" if off_scale else look.marker,
        markersize=13 if is_goal else 6,
        **common,
    )
    if is_goal:
        ring = {"marker": "o", "markersize": 22, "markerfacecolor": "none"}
        axis.plot(point.d_r, point.d_f, **ring, **common)


def _name_points(axis, points):
    """Each point's name right of the panel, evenly spaced, with a line to it.

    The lines are the shortest together, since these do not cross.
    """
    places = [(1.06, 1 - (number + 0.5) / len(points)) for number in range(len(points))]
    in_axes = axis.transLimits.transform([(point.d_r, point.d_f) for point in points])
    for number, place in zip(*linear_sum_assignment(cdist(in_axes, places)), strict=True):
        point = points[number]
        colour = look_by_family(point.method).colour
        line = {"arrowstyle": "-", "linewidth": 0.5, "color": colour, "alpha": 0.6}
        # To cut lines at the boxes of names would take half of the figure's time.
        uncut = {"relpos": (-0.03, 0.5), "patchA": None, "shrinkA": 0, "shrinkB": 0}
        axis.annotate(
            shown(point.label, 42),
            (point.d_r, point.d_f),
            xytext=places[place],
            textcoords="axes fraction",
            fontsize=8,
            color=colour,
            va="center",
            arrowprops={**line, **uncut},
        )


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
    drawn = forget_sets[: room_for(4.2, 1.2)]
    figure, axes = panels(1, len(drawn), 4.2 * len(drawn) + 1.2, 4.2)
    distances = [trial.distance for trial in trials]
    for number, (axis, forget_set) in enumerate(zip(axes[0], drawn, strict=True)):
        scores = [trial.scores[number] for trial in trials]
        dots = axis.scatter(
            [percent["D_r %"] for percent in scores],
            [percent["D_f %"] for percent in scores],
            c=distances,
            cmap="viridis_r",
            s=28,
            edgecolors="#888888",
            linewidths=0.5,
            zorder=3,
        )
        _mark(axis, forget_set.goal, "*", 18, GOAL)
        _mark(axis, forget_set.best, "o", 14, "best trial")
        forget_title(axis, forget_set.name)
        axis.set_xlabel("D_r: accuracy on what is kept (%)", fontsize=9)
        axis.grid(color=GRID)
        axis.set_xlim(-5, 105)
        axis.set_ylim(-7, 107)
    axes[0, 0].set_ylabel("D_f: accuracy on what is forgotten (%)", fontsize=9)
    axes[0, 0].legend(fontsize=9, loc="upper left")
    figure.colorbar(dots, ax=axes[0, -1]).set_label("mean distance to retrain (points)", fontsize=9)
    not_drawn = drawn_only(first_part(len(drawn), len(forget_sets)))
    headline(figure, [f"{method}: {len(trials)} trials on validation images", not_drawn])
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
