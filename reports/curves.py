"""Figures over what was varied: the share of a corruption that is known, and alpha."""

from matplotlib.figure import Figure

from reports import lookup
from reports.averages import Curve, alpha_of, labels_of, over_shares, run_rows
from reports.room import (
    NEAREST,
    drawn_only,
    first_part,
    legend_height,
    nearest,
    part,
    room_for,
)
from reports.style import (
    BLUE,
    GRID,
    ORANGE,
    forget_title,
    headline,
    legend,
    looks_of,
    name_between_powers,
    panels,
)
from reports.summary import Sections
from reports.texts import shown

MOST_LINES = 14  # in a panel: more cannot be told apart
CORRUPTIONS = {"patch": "a trigger each", "label": "a wrong label each"}
HEALED = {
    "D_f %": "healed: true labels of\nthe corrupted images",
    "D_r %": "clean test images",
    "attack %": "triggered images sent to\nthe attacked class",
}
ACCURACIES = (  # column, colour, meaning
    ("D_f %", ORANGE, "D_f: what is forgotten"),
    ("D_r %", BLUE, "D_r: what is kept"),
)


# ---- over the share that is known ----


def healing(title: str, sections: Sections) -> Figure:
    """A row of panels for each corruption: what is healed, over the share of it that is known.

    The panels show healed, clean and attacked images, with a line for each method.
    """
    rows = over_shares(sections)
    corruptions = list(rows["corruption"].unique())
    drawn = corruptions[: room_for(2.5, 2)]
    rows = rows[rows["corruption"].isin(drawn)]
    labels = nearest(sections, MOST_LINES)
    looks = {label: look for label, look in looks_of(sections).items() if label in labels}
    columns = _recorded_columns(sections)
    width = 2.7 * len(columns) + 0.5
    height = 2.5 * len(drawn) + 0.7 + legend_height(list(looks), width, 4)
    figure, axes = panels(len(drawn), len(columns), width, height, sharex=True, sharey=True)
    shares = sorted({100 * share for share in rows["share"]})
    for row_axes, corruption in zip(axes, drawn, strict=True):
        of_corruption = rows[rows["corruption"] == corruption]
        for axis, column in zip(row_axes, columns, strict=True):
            _draw_healing(axis, of_corruption, column, looks)
            _share_axis(axis, shares)
            axis.set_title(HEALED[column], fontsize=9)
        row_axes[0].set_ylabel(_in_words(corruption), fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("share that is known (%)", fontsize=9)
    legend(figure, axes, looks, columns=4)
    not_drawn = drawn_only(
        part(len(labels), len(labels_of(sections)), NEAREST),
        part(len(drawn), len(corruptions), "corruptions"),
    )
    headline(figure, [f"{title}. Bar: standard deviation over seeds", not_drawn])
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
            markersize=5,
            linewidth=1.2,
            linestyle="--" if lookup.is_reference(points[0].method) else "-",
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
    axis.grid(color=GRID)


def _in_words(corruption):
    count, kind = corruption.split()
    return f"{count} images, {CORRUPTIONS.get(kind, shown(kind, 20))}:\nshare (%)"


# ---- over alpha ----


def alphas(title: str, sections: Sections, curves: list[Curve]) -> Figure:
    """A row of panels for each curve: D_f, D_r and the share selected, over alpha.

    sections: all rows, of which retrain and the methods that choose alpha themselves are drawn too.
    """
    drawn = curves[: room_for(2.3, 1.5)]
    has_curve = set()
    for curve in drawn:
        has_curve.update(curve.sections)
    forgotten = [name for name in sections if name in has_curve]
    columns = forgotten[: room_for(2.7, 0.6)]
    width = max(5.4, 2.7 * len(columns) + 0.6)
    height = 2.3 * len(drawn) + 1.5
    figure, axes = panels(len(drawn), len(columns), width, height, sharex=True, sharey=True)
    for row_axes, curve in zip(axes, drawn, strict=True):
        for axis, name in zip(row_axes, columns, strict=True):
            if name in curve.sections:
                _draw_over_alpha(axis, curve.sections[name], sections[name])
            forget_title(axis, name, 18, f"{curve.method}: ")
            _alpha_axis(axis)
        row_axes[0].set_ylabel("accuracy, share selected (%)", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("alpha (a smaller one selects more)", fontsize=9)
    legend(figure, axes, columns=min(3, 1 + len(columns)))
    not_drawn = drawn_only(
        part(len(drawn), len(curves), "methods and settings"),
        first_part(len(columns), len(forgotten)),
    )
    about = "Cross: collapsed; bar: standard deviation"
    headline(figure, [f"{title}, over alpha.", about, not_drawn])
    return figure


def _alpha_axis(axis):
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    low, high = axis.get_xlim()
    name_between_powers(axis, (2, 5) if high < 200 * low else (3,))
    axis.set_ylim(-7, 107)
    axis.grid(color=GRID)


def _draw_over_alpha(axis, rows, all_rows):
    """A panel: the rows of a curve, over what else was run on the same forget set."""
    method = lookup.method(rows[0].method)
    for column, colour, meaning in ACCURACIES:
        _draw_accuracy(axis, rows, column, colour, meaning)
        for row in all_rows:
            if lookup.method(row.method).is_goal:
                level, label = row.values[column].mean, f"{column[:3]} of {row.method}"
                axis.axhline(level, color=colour, linestyle=":", linewidth=1.2, label=label)
            elif lookup.method(row.method).measure == method.measure:
                _draw_adaptive(axis, row, column, colour)
    _draw_collapsed(axis, rows)
    _draw_selected(axis, rows)
    if sizes := rows[0].runs[0].get("sizes"):
        ceiling = sizes["D"] / sizes["D_f"]
        label = "ceiling |D| / |D_f|"
        axis.axvline(ceiling, color="black", linestyle="--", linewidth=1, label=label)


def _draw_accuracy(axis, rows, column, colour, meaning):
    values = [row.values[column] for row in rows]
    deviations = [value.over_seeds or 0 for value in values]
    axis.errorbar(
        [alpha_of(row) for row in rows],
        [value.mean for value in values],
        yerr=deviations if any(deviations) else None,
        color=colour,
        marker="o",
        markersize=4,
        linewidth=1.2,
        capsize=2,
        label=meaning,
    )


def _draw_adaptive(axis, row, column, colour):
    """A method that dampens by the same importance and chose its alpha itself, at its alphas."""
    chosen = [run["adaptive_alpha"] for run in row.runs if "adaptive_alpha" in run]
    if not chosen:
        return
    axis.plot(
        chosen,
        [row.values[column].mean] * len(chosen),
        marker="D",
        markersize=9,
        markerfacecolor="none",
        markeredgewidth=1.8,
        color=colour,
        linestyle="none",
        zorder=4,
        label=f"{column[:3]} of {row.method.upper()}, at its alpha",
    )


def _draw_collapsed(axis, rows):
    """A cross on D_r of the rows that have collapsed."""
    collapsed = [row for row in rows if row.collapsed]
    alphas_of_collapsed = [alpha_of(row) for row in collapsed]
    d_r = [row.values["D_r %"].mean for row in collapsed]
    cross = {"marker": "X", "markersize": 7, "color": "black", "linestyle": "none"}
    axis.plot(alphas_of_collapsed, d_r, **cross, zorder=3)


def _draw_selected(axis, rows):
    selected = []
    for row in rows:
        selected.append(row.values["selected %"].mean if "selected %" in row.values else None)
    look = {"color": "#666666", "linestyle": "-.", "linewidth": 1}
    axis.plot([alpha_of(row) for row in rows], selected, **look, label="parameters selected")
