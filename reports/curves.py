"""Figures over what was varied: the share of a corruption that is known, and alpha."""

import math

from matplotlib.figure import Figure

from reports import lookup
from reports.averages import Curve, alpha_of, labels_of, over_shares, run_rows
from reports.room import (
    COLUMN_WIDTH,
    NEAREST,
    PAGE_WIDTH,
    columns_for,
    drawn_only,
    legend_height,
    nearest,
    part,
    rows_for,
)
from reports.style import (
    BLUE,
    ORANGE,
    Look,
    forget_title,
    legend,
    looks_of,
    name_between_powers,
    panels,
    set_caption,
)
from reports.summary import Sections
from reports.texts import shown

MOST_LINES = 14  # in a panel: more cannot be told apart
CORRUPTIONS = {
    "patch": "a trigger each",
    "label": "a wrong label each",
    "confusion": "of two classes, confused",
}
HEALED = {
    "D_f %": "healed: true labels of\nthe corrupted images",
    "D_r %": "clean test images",
    "attack %": "triggered images sent to\nthe attacked class",
}
ACCURACIES = (  # column, its look, meaning
    ("D_f %", Look(ORANGE, "^", "--"), "D_f: what is forgotten"),
    ("D_r %", Look(BLUE, "o"), "D_r: what is kept"),
)


# ---- over the share that is known ----


def healing(sections: Sections) -> Figure:
    """A row of panels for each corruption: what is healed, over the share of it that is known.

    The panels show healed, clean and attacked images, with a line for each method.
    """
    rows = over_shares(sections)
    corruptions = list(rows["corruption"].unique())
    drawn = corruptions[: rows_for(1.9, 1.4)]
    rows = rows[rows["corruption"].isin(drawn)]
    labels = nearest(sections, MOST_LINES)
    looks = {label: look for label, look in looks_of(sections).items() if label in labels}
    columns = _recorded_columns(sections)
    height = 1.9 * len(drawn) + 0.5 + legend_height(list(looks), PAGE_WIDTH, 4)
    figure, axes = panels(len(drawn), len(columns), PAGE_WIDTH, height, sharex=True, sharey=True)
    shares = sorted({100 * share for share in rows["share"]})
    for row_axes, corruption in zip(axes, drawn, strict=True):
        of_corruption = rows[rows["corruption"] == corruption]
        for axis, column in zip(row_axes, columns, strict=True):
            _draw_healing(axis, of_corruption, column, looks)
            _share_axis(axis, shares)
            axis.set_title(HEALED[column], fontweight="normal")
        row_axes[0].set_ylabel(_in_words(corruption))
    for axis in axes[-1]:
        axis.set_xlabel("share that is known (%)")
    legend(figure, axes, looks, columns=4)
    not_drawn = drawn_only(
        part(len(labels), len(labels_of(sections)), NEAREST),
        part(len(drawn), len(corruptions), "corruptions"),
    )
    about = "What is healed, over the share of the corrupted images that is known."
    set_caption(figure, [about, "Bar: standard deviation over seeds.", not_drawn])
    return figure


def _recorded_columns(sections):
    """The columns of HEALED that some row has."""
    recorded = set()
    for row in run_rows(sections):
        recorded.update(row.values)
    return [column for column in HEALED if column in recorded]


def _draw_healing(axis, rows, column, looks):
    """A line for each label that has a look. rows: of one corruption, as over_shares has them."""
    has_column = [column in row.values for row in rows["row"]]
    by_label = dict(list(rows[has_column].sort_values("share").groupby("label")))
    for label, look in looks.items():
        if label not in by_label:
            continue
        points = list(by_label[label]["row"])
        axis.errorbar(
            100 * by_label[label]["share"],
            [row.values[column].mean for row in points],
            yerr=[row.values[column].over_seeds or 0 for row in points],
            color=look.colour,
            marker=look.marker,
            linestyle="--" if lookup.is_reference(points[0].method) else look.dashes,
            capsize=2,
            label=label,
        )


def _share_axis(axis, shares):
    """The axes of a panel over the known shares, percent."""
    axis.set_xlim(shares[0] / 1.5, shares[-1] * 1.5)
    axis.set_xscale("log")
    axis.set_xticks(shares, [f"{share:g}" for share in shares])
    axis.minorticks_off()
    axis.set_ylim(-5, 105)
    axis.grid()


def _in_words(corruption):
    count, kind = corruption.split()
    return f"{count} images, {CORRUPTIONS.get(kind, shown(kind, 20))}:\nshare (%)"


# ---- over alpha ----


def alphas(sections: Sections, curves: list[Curve]) -> Figure:
    """A row of panels for each curve: D_f, D_r and the share selected, over alpha.

    sections: all rows, of which retrain and the methods that choose alpha themselves are drawn too.
    """
    wanted = []  # a panel each
    for curve in curves:
        wanted += [(curve, name) for name in sections if name in curve.sections]
    columns = min(len(wanted), columns_for(2.2))
    drawn = wanted[: columns * rows_for(1.9, 1.2)]
    rows = math.ceil(len(drawn) / columns)
    width = max(COLUMN_WIDTH, PAGE_WIDTH * columns / columns_for(2.2))
    figure, axes = panels(rows, columns, width, 1.9 * rows + 1.1, sharex=True, sharey=True)
    for axis, (curve, name) in zip(axes.flat, drawn, strict=False):
        _draw_over_alpha(axis, curve.sections[name], sections[name])
        forget_title(axis, name, 18, f"{curve.method}: ")
        _alpha_axis(axis)
        axis.set_xlabel("alpha (a smaller one selects more)")
        axis.label_outer()
    for axis in axes.flat[len(drawn) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy, selected (%)")
    legend(figure, axes, columns=3)
    not_drawn = drawn_only(part(len(drawn), len(wanted), "panels, the first ones"))
    about = "Over alpha. Cross: collapsed; bar: standard deviation over seeds."
    set_caption(figure, [about, not_drawn])
    return figure


def _alpha_axis(axis):
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    low, high = axis.get_xlim()
    name_between_powers(axis, (2, 5) if high < 200 * low else (3,))
    axis.set_ylim(-7, 107)
    axis.grid()


def _draw_over_alpha(axis, rows, all_rows):
    """A panel: the rows of a curve, over what else was run on the same forget set."""
    method = lookup.method(rows[0].method)
    for column, look, meaning in ACCURACIES:
        _draw_accuracy(axis, rows, column, look, meaning)
        for row in all_rows:
            if lookup.method(row.method).is_goal:
                level, label = row.values[column].mean, f"{column[:3]} of {row.method}"
                axis.axhline(level, color=look.colour, linestyle=":", label=label)
            elif lookup.method(row.method).measure == method.measure:
                _draw_adaptive(axis, row, column, look)
    _draw_collapsed(axis, rows)
    _draw_selected(axis, rows)
    if sizes := rows[0].runs[0].get("sizes"):
        ceiling = sizes["D"] / sizes["D_f"]
        label = "ceiling |D| / |D_f|"
        axis.axvline(ceiling, color="black", linestyle="--", linewidth=1, label=label)


def _draw_accuracy(axis, rows, column, look, meaning):
    values = [row.values[column] for row in rows]
    deviations = [value.over_seeds or 0 for value in values]
    axis.errorbar(
        [alpha_of(row) for row in rows],
        [value.mean for value in values],
        yerr=deviations if any(deviations) else None,
        color=look.colour,
        marker=look.marker,
        linestyle=look.dashes,
        capsize=2,
        label=meaning,
    )


def _draw_adaptive(axis, row, column, look):
    """A method that dampens by the same importance and chose its alpha itself, at its alphas."""
    chosen = [run["adaptive_alpha"] for run in row.runs if "adaptive_alpha" in run]
    if not chosen:
        return
    axis.plot(
        chosen,
        [row.values[column].mean] * len(chosen),
        marker="D",
        markersize=7,
        markerfacecolor="none",
        markeredgewidth=1.4,
        color=look.colour,
        linestyle="none",
        zorder=4,
        label=f"{column[:3]} of {row.method.upper()}, at its alpha",
    )


def _draw_collapsed(axis, rows):
    """A cross on D_r of the rows that have collapsed."""
    collapsed = [row for row in rows if row.collapsed]
    alphas_of_collapsed = [alpha_of(row) for row in collapsed]
    d_r = [row.values["D_r %"].mean for row in collapsed]
    cross = {"marker": "X", "markersize": 6, "color": "black", "linestyle": "none"}
    axis.plot(alphas_of_collapsed, d_r, **cross, zorder=3)


def _draw_selected(axis, rows):
    selected = []
    for row in rows:
        selected.append(row.values["selected %"].mean if "selected %" in row.values else None)
    look = {"color": "#666666", "linestyle": "-.", "linewidth": 1}
    axis.plot([alpha_of(row) for row in rows], selected, **look, label="parameters selected")
