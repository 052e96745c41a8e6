"""Figures class by class: how well each is recognised, and what the forgotten one is taken for."""

import math
import statistics

import pandas as pd
from matplotlib.figure import Figure

from reports import lookup
from reports.averages import labels_of, sections_of
from reports.room import COLUMN_WIDTH, FONT, PAGE_WIDTH, fitted, rows_for
from reports.style import forget_title, panels, set_caption
from reports.summary import Row, Sections
from reports.texts import shown

MOST_METHODS = 20  # columns of a panel
MOST_NAMES = 40  # of classes next to a panel: the names of more would lie over each other
MOST_TAKEN = 8  # classes for which the forgotten one is taken; the others are put together
DARK_BELOW = 50  # percent: on such a cell a number is white
COLOURS = "cividis"  # dark is low; as clear in grey and to the colour-blind


# ---- every class, before and after ----


def class_accuracies(sections: Sections, note: str = "") -> Figure | None:
    """A panel for each forget set: the accuracy of every class (rows) for every method (columns).

    A collapse is a column that goes dark. None where no record holds any.
    """
    recorded = sections_of(sections, _accuracies)
    if not recorded:
        return None
    classes = max(len(_classes(rows)) for rows in recorded.values())
    height = max(0.045 * classes, min(classes, MOST_NAMES) * 0.14) + 1.4
    drawn, not_drawn = fitted(recorded, MOST_METHODS, 2 * rows_for(height, 0.4))
    columns = min(2, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    figure, axes = panels(rows, columns, COLUMN_WIDTH * columns, height * rows + 0.3)
    for axis, (forgotten, of_section) in zip(axes.flat, drawn.items(), strict=False):
        image = _draw_accuracies(axis, of_section, forgotten)
        forget_title(axis, forgotten, 30)
    for axis in axes.flat[len(drawn) :]:
        axis.set_visible(False)
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.5, aspect=30, pad=0.02)
    bar.set_label("accuracy of the class on its test images (%)")
    about = "Every class before (baseline), after each method, and retrained. Dark is low: a "
    about += "collapse is a column whose other rows go dark too."
    if any(forgotten in _classes(rows) for forgotten, rows in drawn.items()):
        about += " An arrow marks what is forgotten."
    set_caption(figure, [about, note, not_drawn])
    return figure


def _accuracies(row: Row) -> dict[str, float]:
    """{class: mean accuracy over the runs of a row, percent}; NaN for a class without images."""
    values: dict[str, list[float]] = {}
    for run in row.runs:
        for name, percent in (run.get("class_accuracy") or {}).items():
            values.setdefault(name, []).append(math.nan if percent is None else percent)
    return {name: statistics.fmean(percents) for name, percents in values.items()}


def _classes(rows):
    """The names of the classes of which the rows hold the accuracy."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(_accuracies(row)))
    return list(names)


def _draw_accuracies(axis, rows, forgotten):
    names = _classes(rows)
    table = pd.DataFrame([_accuracies(row) for row in rows], columns=names).T  # [classes, methods]
    image = axis.imshow(table.to_numpy(), aspect="auto", vmin=0, vmax=100, cmap=COLOURS)
    _name_methods(axis, rows)
    if len(names) <= MOST_NAMES:
        texts = []
        for name in names:
            mark = "► " if name == forgotten else ""
            texts.append(mark + shown(name, 20))
        axis.set_yticks(range(len(names)), texts, fontsize=FONT - 1)
    elif forgotten in names:
        axis.set_yticks([names.index(forgotten)], [f"► {shown(forgotten, 20)}"])
    else:
        axis.set_yticks([])
    return image


def _name_methods(axis, rows):
    texts = [shown(row.label, 24) for row in rows]
    axis.set_xticks(range(len(rows)), texts, rotation=90, fontsize=FONT - 1)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


# ---- what the forgotten class is taken for ----


def confusion(sections: Sections, note: str = "") -> Figure | None:
    """A panel for each forget set: the share of its test images that go to each class.

    Rows are methods. None where no record holds any, and where no class is forgotten.
    """
    recorded = sections_of(sections, _taken_for)
    if not recorded:
        return None
    height = 0.15 * min(MOST_METHODS, len(labels_of(recorded))) + 1.2
    drawn, not_drawn = fitted(recorded, MOST_METHODS, rows_for(height, 0.2))
    figure, axes = panels(len(drawn), 1, PAGE_WIDTH, height * len(drawn))
    for axis, (forgotten, rows) in zip(axes[:, 0], drawn.items(), strict=True):
        _draw_confusion(axis, rows, forgotten)
        forget_title(axis, forgotten)
    about = "What each network takes the test images of D_f for, in percent. A row close to "
    about += "retrain's is good. Of the classes, D_f's own comes first, if D_f is a class; then "
    about += "come those that retrain answers most often."
    set_caption(figure, [about, note, not_drawn])
    return figure


def _taken_for(row):
    """{class: percent of D_f's test images that are taken for it}, over all runs of a row."""
    counts: dict[str, int] = {}
    for run in row.runs:
        for name, count in (run.get("forget_predictions") or {}).items():
            counts[name] = counts.get(name, 0) + count
    total = sum(counts.values())
    return {name: 100 * count / total for name, count in counts.items()}


def _draw_confusion(axis, rows, forgotten):
    table = _confusion_table(rows, forgotten)
    axis.imshow(table.to_numpy(), aspect="auto", vmin=0, vmax=100, cmap=COLOURS)
    names = [shown(name, 16) for name in table]
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axis.set_yticks(range(len(rows)), [shown(row.label, 34) for row in rows])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    for line, cells in enumerate(table.to_numpy()):
        for place, percent in enumerate(cells):
            colour = "white" if percent < DARK_BELOW else "black"
            axis.text(place, line, f"{percent:.0f}", color=colour, ha="center", va="center")


def _confusion_table(rows, forgotten):
    """Percent: a line for each row, a column for each class.

    D_f's own class comes first, then those that retrain takes it for most often. The last column
    holds what is left.
    """
    shares = pd.DataFrame([_taken_for(row) for row in rows]).fillna(0)
    are_goals = [lookup.method(row.method).is_goal for row in rows]
    leading = shares[are_goals] if any(are_goals) else shares
    if forgotten in _classes(rows) and forgotten not in shares:
        shares[forgotten] = leading[forgotten] = 0.0
    by_frequency = leading.mean().sort_values(ascending=False, kind="stable").index
    order = sorted(by_frequency, key=lambda name: name != forgotten)
    table = shares[order[:MOST_TAKEN]]
    others = order[MOST_TAKEN:]
    if others:
        table = table.assign(**{f"{len(others)} others": shares[others].sum(axis="columns")})
    return table
