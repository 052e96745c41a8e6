"""Figures over what was varied: the share of a corruption that is known, and alpha."""

from reports.provenance import shown
from reports.style import (
    FIXED,
    NEAREST,
    forget_title,
    headline,
    labels_of,
    left_out,
    legend,
    legend_height,
    looks_of,
    nearest,
    panels,
    room_for,
)
from reports.summary import over_shares

MOST_LINES = 14  # in a panel: more cannot be told apart


WHAT = {"patch": "a trigger each", "label": "a wrong label each"}


def healing(title, sections):
    """A row of panels a corruption: healed, clean and attacked images over the share that is known, a line a method."""
    labels_drawn = nearest(sections, MOST_LINES)
    found, looks = over_shares(sections), looks_of(sections)
    omitted = left_out(len(labels_drawn), len(labels_of(sections)), NEAREST, 1, 1)
    kinds_drawn = list(found)[: room_for(2.5, 2)]
    if len(kinds_drawn) < len(found):
        omitted += f" Drawn: {len(kinds_drawn)} of {len(found)} corruptions (the tables have all)"
    found = {kind: found[kind] for kind in kinds_drawn}
    looks = {label: look for label, look in looks.items() if label in labels_drawn}
    names = {
        "D_f %": "healed: true labels of\nthe corrupted images",
        "D_r %": "clean test images",
        "attack %": "triggered images sent to\nthe attacked class",
    }
    names = {
        name: text
        for name, text in names.items()
        if any(name in row.values for rows in sections.values() for row in rows)
    }
    width = 2.7 * len(names) + 0.5
    height = 2.5 * len(found) + 0.7 + legend_height(looks, width, 4)
    figure, axes = panels(len(found), len(names), width, height, sharex=True, sharey=True)
    shares = sorted(
        {100 * share for labels in found.values() for known in labels.values() for share in known}
    )
    for row_axes, (corruption, labels) in zip(axes, found.items(), strict=True):
        for axis, (name, text) in zip(row_axes, names.items(), strict=True):
            for label in looks:
                if label not in labels:
                    continue
                known = labels[label]
                points = [
                    (100 * share, values[name]) for share, values in known.items() if name in values
                ]
                colour, marker = looks[label]
                axis.errorbar(
                    [x for x, _ in points],
                    [v.mean for _, v in points],
                    yerr=[v.over_seeds or 0 for _, v in points],
                    color=colour,
                    marker=marker,
                    label=label,
                    markersize=5,
                    linewidth=1.2,
                    capsize=2,
                    linestyle="--" if label.split()[0] in FIXED else "-",
                )
            axis.set_xlim(shares[0] / 1.5, shares[-1] * 1.5)
            axis.set_xscale("log")
            axis.set_xticks(shares, [f"{share:g}" for share in shares])
            axis.minorticks_off()
            axis.set_ylim(-5, 105)
            axis.set_title(text, fontsize=9)
            axis.grid(color="#dddddd")
        count, kind = corruption.split()
        what = WHAT.get(kind, shown(kind, 20))
        row_axes[0].set_ylabel(f"{count} images, {what}:\nshare (%)", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("share that is known (%)", fontsize=9)
    legend(figure, axes, looks, ncols=4)
    headline(figure, f"{title}. Bar: standard deviation over seeds\n{omitted.strip()}".strip())
    return figure


def alphas(title, sections, found):
    """A row of panels a method, a panel a forgotten class: D_f, D_r and the share selected over alpha; ASSD needs none.

    found: over_alphas of the sections.
    """
    from matplotlib.ticker import LogLocator

    drawn = dict(list(found.items())[: room_for(2.3, 1.5)])
    every_column = [name for name in sections if any(name in by_name for by_name in drawn.values())]
    columns = every_column[: room_for(2.7, 0.6)]
    omitted = left_out(
        len(drawn), len(found), "methods and settings", len(columns), len(every_column)
    )
    found = drawn
    figure, axes = panels(
        len(found),
        len(columns),
        max(5.4, 2.7 * len(columns) + 0.6),
        2.3 * len(found) + 1.5,
        sharex=True,
        sharey=True,
    )
    for row_axes, ((method, *_), by_name) in zip(axes, found.items(), strict=True):
        for axis, name in zip(row_axes, columns, strict=True):
            if name in by_name:
                _over_alpha(axis, by_name[name], sections[name])
            forget_title(axis, name, 18, f"{method}: ")
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
            low, high = axis.get_xlim()
            axis.xaxis.set_minor_locator(LogLocator(subs=(2, 5) if high < 200 * low else (3,)))
            axis.xaxis.set_minor_formatter("{x:g}")
            axis.tick_params(which="minor", labelsize=9)
            axis.set_ylim(-7, 107)
            axis.grid(color="#dddddd")
        row_axes[0].set_ylabel("accuracy, share selected (%)", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("alpha (a smaller one selects more)", fontsize=9)
    legend(figure, axes, ncols=min(3, 1 + len(columns)))
    about = "Cross: collapsed; bar: standard deviation"
    headline(figure, f"{title}, over alpha.\n{about}\n{omitted}".strip())
    return figure


def _over_alpha(axis, rows, all_rows):
    at = [row.runs[0]["config"]["alpha"] for row in rows]
    kinds = (
        ("D_f %", "#D55E00", "D_f: what is forgotten"),
        ("D_r %", "#0072B2", "D_r: what is kept"),
    )
    for name, colour, label in kinds:
        values = [row.values[name] for row in rows]
        bars = [v.over_seeds or 0 for v in values]
        axis.errorbar(
            at,
            [v.mean for v in values],
            yerr=bars if any(bars) else None,
            color=colour,
            marker="o",
            markersize=4,
            linewidth=1.2,
            capsize=2,
            label=label,
        )
        for other in all_rows:
            if other.method == "retrain":
                axis.axhline(
                    other.values[name].mean,
                    color=colour,
                    linestyle=":",
                    linewidth=1.2,
                    label=f"{name[:3]} of retrain",
                )
            elif other.method == "assd" and rows[0].method == "ssd":
                found = [run["adaptive_alpha"] for run in other.runs if "adaptive_alpha" in run]
                axis.plot(
                    found,
                    [other.values[name].mean] * len(found),
                    "D",
                    color=colour,
                    markersize=9,
                    markerfacecolor="none",
                    markeredgewidth=1.8,
                    zorder=4,
                    label=f"{name[:3]} of ASSD, at its alpha",
                )
    collapsed = [
        (alpha, row.values["D_r %"].mean)
        for alpha, row in zip(at, rows, strict=True)
        if row.collapsed
    ]
    axis.plot(
        [x for x, _ in collapsed],
        [y for _, y in collapsed],
        "X",
        color="black",
        linestyle="none",
        markersize=7,
        zorder=3,
    )
    selected = []
    for row in rows:
        selected.append(row.values["selected %"].mean if "selected %" in row.values else None)
    axis.plot(
        at, selected, color="#666666", linestyle="-.", linewidth=1, label="parameters selected"
    )
    if sizes := rows[0].runs[0].get("sizes"):
        axis.axvline(
            sizes["D"] / sizes["D_f"],
            color="black",
            linestyle="--",
            linewidth=1,
            label="ceiling |D| / |D_f|",
        )
