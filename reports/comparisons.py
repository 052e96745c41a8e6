"""Figures of the methods next to each other: scores, how sure they are of D_f, layers."""

import math

from matplotlib.figure import Figure

from reports import lookup
from reports.averages import labels_of, run_rows, sections_of
from reports.room import (
    PAGE_HEIGHT,
    PAGE_WIDTH,
    columns_for,
    fitted,
    legend_height,
    rows_for,
)
from reports.style import (
    BLUE,
    FAMILIES,
    forget_title,
    legend,
    log_scale,
    look_by_family,
    looks_of,
    panels,
    set_caption,
)
from reports.summary import Sections
from reports.texts import shown

MOST_LINES = 14  # in a panel: more cannot be told apart
MOST_TENSORS = 90  # below a panel: the names of more would lie over each other
MEANINGS = {
    "D_r %": "D_r: accuracy on\nwhat is kept (%)",
    "D_f %": "D_f: on what\nis forgotten (%)",
    "MIA %": "MIA: judged to\nbe members (%)",
    "seconds": "seconds of\nthe method",
}


# ---- every score of every method ----


def scores(sections: Sections, note: str = "") -> Figure:
    """A row of panels for each forget set: scores and seconds, a dot for each method.

    retrain's value is a dashed line.
    """
    head, foot, line = 0.35, 0.5, 0.15  # inches: of a section, of the figure, of a row
    room_per_section = (PAGE_HEIGHT - foot) / len(sections) - head
    most_rows = max(20, int(room_per_section / line))
    rows = min(most_rows, len(labels_of(sections)))
    sections, not_drawn = fitted(sections, most_rows, rows_for(head + line * rows, foot))
    heights = [head + line * len(rows) for rows in sections.values()]
    figure, axes = panels(
        rows=len(sections),
        columns=len(MEANINGS),
        width=PAGE_WIDTH,
        height=sum(heights) + foot,
        sharex="col",
        height_ratios=heights,
    )
    for row_axes, (forgotten, rows) in zip(axes, sections.items(), strict=True):
        for axis, column in zip(row_axes, MEANINGS, strict=True):
            _draw_dots(axis, rows, column)
        labels = [shown(row.label, 34) for row in rows]
        row_axes[0].set_yticks(range(len(rows)), labels)
        forget_title(row_axes[0], forgotten)
    for axis, (column, meaning) in zip(axes[-1], MEANINGS.items(), strict=True):
        axis.set_xlabel(meaning)
        if column == "seconds":
            log_scale(axis)
    sentences = [
        "Closest to retrain's dashed line is best. The seconds are on a logarithmic scale.",
        FAMILIES,
        "Mark: mean over seeds, a cross where a run collapsed, hollow where D_f is unchanged; "
        "bar: standard deviation.",
    ]
    set_caption(figure, [*sentences, note, not_drawn])
    return figure


def _draw_dots(axis, rows, column):
    for height, row in enumerate(rows):
        method = lookup.method(row.method)
        takes_no_time = column == "seconds" and method.is_original
        if column in row.values and not takes_no_time:
            _draw_dot(axis, height, row, column)
    axis.set_yticks(range(len(rows)), [""] * len(rows))
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="x")


def _draw_dot(axis, height, row, column):
    value, look = row.values[column], look_by_family(row.method)
    axis.errorbar(
        value.mean,
        height,
        xerr=None if column == "seconds" else value.over_seeds,
        fmt="X" if row.collapsed else look.marker,
        markersize=7 if look.marker == "*" else 5,
        markerfacecolor="white" if row.unchanged else look.colour,
        capsize=2,
        elinewidth=0.8,
        color=look.colour,
        zorder=3,
    )
    if lookup.method(row.method).is_goal:
        axis.axvline(value.mean, color=look.colour, linestyle="--", linewidth=1, zorder=2)


# ---- how sure a network is of D_f ----


def entropy(sections: Sections, note: str = "") -> Figure | None:
    """A panel for each method and forget set: the entropy of the outputs on D_f.

    Next to it stand that of the original and that of retrain. None where no record holds any.
    """
    recorded = sections_of(sections, _histogram)
    references = {row.label for row in run_rows(recorded) if lookup.is_reference(row.method)}
    most_rows = rows_for(0.6, 1.0) + len(references)
    drawn, not_drawn = fitted(recorded, most_rows, columns_for(1.7, 1.4))
    labels = [label for label in labels_of(drawn) if label not in references]
    if not labels:
        return None
    figure, axes = panels(
        rows=len(labels),
        columns=len(drawn),
        width=1.8 * len(drawn) + 1.6,
        height=0.6 * len(labels) + 0.9,
        sharex="col",
        sharey=True,
    )
    for column_axes, (forgotten, rows) in zip(axes.T, drawn.items(), strict=True):
        forget_title(column_axes[0], forgotten, 18)
        column_axes[-1].set_xlabel("entropy on D_f\n(share of ln C)")
        for axis, label in zip(column_axes, labels, strict=True):
            _draw_histograms(axis, rows, label)
    for axis, label in zip(axes[:, 0], labels, strict=True):
        text = shown(label, 60).replace(" (", "\n(").replace(", ", ",\n")
        axis.set_ylabel(text, rotation=0, ha="right", va="center")
    legend(figure, axes, columns=3)
    about = "How sure the network is of D_f: share of the images in percent, over their entropy."
    set_caption(figure, [about, note, not_drawn])
    return figure


def _histogram(row):
    """Percent of the images of D_f in each bin of the entropy, over all runs of a row."""
    counts = [run["entropy_histogram"] for run in row.runs if run.get("entropy_histogram")]
    totals = [sum(bins) for bins in zip(*counts, strict=True)]
    return [100 * total / sum(totals) for total in totals]


def _draw_histograms(axis, rows, label):
    """The histogram of the row with that label, over it those of the original and of retrain."""
    for row in rows:
        if row.label == label:
            _draw_histogram(axis, row, "after", color=BLUE, fill=True, alpha=0.45)
    for row in rows:
        if lookup.method(row.method).is_original:
            _draw_histogram(axis, row, row.method, color=look_by_family(row.method).colour)
    for row in rows:
        if lookup.method(row.method).is_goal:
            colour = look_by_family(row.method).colour
            _draw_histogram(axis, row, row.method, color=colour, linestyle="--")


def _draw_histogram(axis, row, label, **look):
    shares = _histogram(row)
    edges = [number / len(shares) for number in range(len(shares) + 1)]
    axis.stairs(shares, edges, label=label, **look)


# ---- where a network was dampened ----


def layers(sections: Sections, note: str = "") -> Figure | None:
    """A panel for each forget set: the share of every parameter tensor that was dampened.

    The tensors go from the input to the output. None where no record holds any.
    """
    recorded = sections_of(sections, _shares_of_tensors)
    if not recorded:
        return None
    drawn, not_drawn = fitted(recorded, MOST_LINES, rows_for(1.6, 2.4))
    looks = looks_of(drawn)
    height = 1.6 * len(drawn) + 1.1 + legend_height(list(looks), PAGE_WIDTH, 4)
    figure, axes = panels(len(drawn), 1, PAGE_WIDTH, height, sharex=True)
    for axis, (forgotten, rows) in zip(axes[:, 0], drawn.items(), strict=True):
        for row in rows:
            shares = _shares_of_tensors(row)
            _draw_shares(axis, shares, row.label, looks[row.label])
        forget_title(axis, forgotten)
        axis.set_ylabel("dampened (%)")
        axis.grid(axis="y")
    step = math.ceil(len(shares) / MOST_TENSORS)
    _name_tensors(axes[-1, 0], list(shares), step)
    legend(figure, axes, looks, columns=4)
    every = f"Every {step}th tensor is named." if step > 1 else ""
    about = "Where SSD dampens (first seed): the share of each parameter tensor, in percent."
    set_caption(figure, [about, every, note, not_drawn])
    return figure


def _shares_of_tensors(row):
    """{parameter tensor: share of it that was dampened} of the first run that holds any."""
    for run in row.runs:
        if run.get("selected_by_name"):
            return run["selected_by_name"]
    return {}


def _draw_shares(axis, shares, label, look):
    percent = [100 * share for share in shares.values()]
    axis.plot(
        range(len(percent)),
        percent,
        color=look.colour,
        marker=look.marker,
        markersize=3,
        linewidth=0.9,
        linestyle=look.dashes,
        label=label,
    )


def _name_tensors(axis, names, step):
    """Name every so many-th tensor below the panel."""
    places = range(0, len(names), step)
    texts = [shown(names[place], 40) for place in places]
    axis.set_xticks(places, texts, rotation=90, fontsize=6)
