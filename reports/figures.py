"""Summaries into figures: the methods beside each other, and the trials of a search."""

import math

from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from reports.curves import alphas, healing
from reports.provenance import shown, title_of
from reports.style import (
    FIXED,
    LARGEST,
    NEAREST,
    fitted,
    forget_title,
    headline,
    labels_of,
    left_out,
    legend,
    legend_height,
    log_scale,
    looks_of,
    nearest,
    panels,
    room_for,
    widest,
)
from reports.summary import AVERAGED, over_alphas, over_classes

FEW_ALPHAS = 12  # rows of a sweep over alpha that are drawn beside the other methods too


MOST_NAMES = 22  # beside a panel


MOST_LINES = 14  # in a panel: more cannot be told apart


MEANING = {
    "D_r %": "D_r: accuracy on\nwhat is kept (%)",
    "D_f %": "D_f: accuracy on\nwhat is forgotten (%)",
    "MIA %": "MIA: forgotten images\njudged to be members (%)",
    "seconds": "seconds of the method\n(logarithmic)",
}


def figures(key, sections):
    """{name: matplotlib figure} of one table: healing, or scores, trade-off and where records hold them entropy, layers, alpha."""
    title = title_of(key).removesuffix(" (protocol paper)")  # the default
    share = " of the images" if key.task == "random" else ""
    sections = {name + share: [row for row in rows if row.runs] for name, rows in sections.items()}
    if key.task == "corrupted":
        return {"healing": healing(title, sections)}
    over_alpha = over_alphas(sections)
    made = {"alpha": alphas(title, sections, over_alpha)} if over_alpha else {}
    others, note = _without_curves(sections, over_alpha)
    if all(others.values()):
        made["scores"] = scores(title, others, note)
        made["trade-off"] = trade_off(title, others, note)
        made["entropy"] = entropy(title, others, note)
        made["layers"] = layers(title, others, note)
        if len(others) > 1 and key.task in AVERAGED:
            made["overview"] = overview(title, others, note)
    return {name: figure for name, figure in made.items() if figure}


def _without_curves(sections, over_alpha):
    """(sections without the rows that are curves over alpha, a sentence on that); a few rows stay."""
    labels = set()
    for by_name in over_alpha.values():
        for rows in by_name.values():
            labels.update(row.label for row in rows)
    if len(labels) <= FEW_ALPHAS:
        return sections, ""
    others = {}
    for forgotten, rows in sections.items():
        others[forgotten] = [row for row in rows if row.label not in labels]
    methods = ", ".join(dict.fromkeys(method for method, *_ in over_alpha))
    return others, f"{methods}: {len(labels)} rows are drawn in the figure over alpha"


def scores(title, sections, note=""):
    """A row of panels a forgotten class: each score and the seconds, a dot a method, retrain's value as a dashed line."""
    head, foot, line = 0.9, 1.3, 0.24  # inches: of a section, of the figure, of a row
    per_section = int(((LARGEST - foot) / len(sections) - head) / line)
    most_rows = max(20, per_section)
    most_sections = room_for(head + line * min(most_rows, len(labels_of(sections))), foot)
    sections, omitted = fitted(sections, most_rows, most_sections)
    heights = [head + line * len(rows) for rows in sections.values()]
    width = max(8.6, 6.6 + widest(labels_of(sections), 9, 40))
    figure, axes = panels(
        len(sections), 4, width, sum(heights) + 1.1, sharex="col", height_ratios=heights
    )
    for row_axes, (forgotten, rows) in zip(axes, sections.items(), strict=True):
        for axis, name in zip(row_axes, MEANING, strict=True):
            _dots(axis, rows, name)
        row_axes[0].set_yticks(range(len(rows)), [shown(row.label, 40) for row in rows], fontsize=9)
        forget_title(row_axes[0], forgotten)
    for axis, (name, text) in zip(axes[-1], MEANING.items(), strict=True):
        axis.set_xlabel(text, fontsize=9)
        if name == "seconds":
            log_scale(axis)
    lines = [
        f"{title}.",
        "Closest to retrain's dashed line is best. Blue: the SSD family.",
        "Dot: mean over seeds, a cross where a run collapsed, a ring where D_f is unchanged; "
        "bar: standard deviation",
        note,
        omitted,
    ]
    headline(figure, "\n".join(filter(None, lines)))
    return figure


def _dots(axis, rows, name):
    for height, row in enumerate(rows):
        value = row.values.get(name)
        if value is None or (
            name == "seconds" and row.method == "baseline"
        ):  # doing nothing takes no time
            continue
        colour = _family(row.method)
        bar = None if name == "seconds" else value.over_seeds
        marker = "X" if row.collapsed else "o"
        inside = "white" if row.unchanged else colour
        axis.errorbar(
            value.mean,
            height,
            xerr=bar,
            fmt=marker,
            markersize=6,
            capsize=3,
            color=colour,
            zorder=3,
            markerfacecolor=inside,
        )
        if row.method == "retrain":
            axis.axvline(value.mean, color=colour, linestyle="--", linewidth=1, zorder=2)
    axis.set_yticks(range(len(rows)), [""] * len(rows))
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="x", color="#dddddd")


def trade_off(title, sections, note=""):
    """A panel a forgotten class: D_f against D_r, a named point a method, retrain's ringed star the target."""
    sections, omitted = fitted(sections, MOST_NAMES, 2 * room_for(3.6, 0.9))
    points = {}
    for forgotten, rows in sections.items():
        points[f"forget {forgotten}"] = [_point(row) for row in rows]
    return _targets(title, points, [note, omitted])


def _point(row):
    return row.label, row.method, row.values["D_r %"][:2], row.values["D_f %"][:2]


def overview(title, sections, note=""):
    """The trade-off in one panel: the means over the forgotten classes, of the methods that every class has; None without any."""
    methods = {row.label: row.method for rows in sections.values() for row in rows}
    means = over_classes(sections)
    labels = [label for label in nearest(sections, len(methods)) if label in means][:MOST_NAMES]
    if not labels:
        return None
    points = []
    for label in labels:
        values = means[label]
        d_r, d_f = values["D_r %"][0], values["D_f %"][0]
        points.append((label, methods[label], (d_r, None), (d_f, None)))
    omitted = left_out(len(labels), len(means), NEAREST, 1, 1)
    names = ", ".join(sections)
    classes = names if len(names) <= 36 else f"{len(sections)} classes"
    return _targets(title, {f"mean over {classes}": points}, [note, omitted])


def _targets(title, panels_of, notes):
    """panels_of: {panel's title: [(label, method, (D_r, its spread or None), (D_f, the same)), ...]}.

    Whose D_r is more than 15 points below every retrain's lies as an arrow on the edge, its D_r
    behind its name.
    """
    columns = min(2, len(panels_of))
    count = math.ceil(len(panels_of) / columns)
    every = [point for points in panels_of.values() for point in points]
    width = max(4.6, 2.8 + widest([label for label, *_ in every], 8, 42))
    height = 3.6 * count + 0.6 + 0.15 * len(list(filter(None, notes)))
    figure, axes = panels(count, columns, width * columns, height)
    bars = any(spread for *_, (_, spread) in every)
    kept, forgotten = [x for _, _, (x, _), _ in every], [y for *_, (y, _) in every]
    low = max(
        min(kept), min([x for _, method, (x, _), _ in every if method == "retrain"], default=0) - 15
    )
    for axis, (name, points) in zip(axes.flat, panels_of.items(), strict=False):
        axis.set_xlim(low - 2, max(kept) + 2)
        axis.set_ylim(min(forgotten) - 4, max(forgotten) + 4)
        placed = [point if point[2][0] >= low else _on_edge(point, low - 1.5) for point in points]
        for label, method, (x, over_x), (y, over_y) in placed:
            look = {"color": _family(method), "linestyle": "none", "clip_on": method != "retrain"}
            look["marker"] = "<" if x < low else FIXED.get(method, "oo")[1]
            axis.errorbar(
                x,
                y,
                xerr=over_x,
                yerr=over_y,
                elinewidth=0.6,
                alpha=0.7,
                label=label,
                markersize=13 if method == "retrain" else 6,
                **look,
            )
            if method == "retrain":
                axis.plot(x, y, markersize=22, markerfacecolor="none", **look | {"marker": "o"})
        _names_beside(
            axis, [(label, x, y, _family(method)) for label, method, (x, _), (y, _) in placed]
        )
        axis.set_title(shown(name, 48), loc="left", fontsize=10, fontweight="bold")
        axis.set_xlabel("D_r: accuracy on what is kept (%)", fontsize=9)
        axis.set_ylabel("D_f: on what is forgotten (%)", fontsize=9)
        axis.grid(color="#dddddd")
    for axis in axes.flat[len(panels_of) :]:
        axis.set_visible(False)
    about = ". ".join(
        ["Bar: standard deviation over seeds"] * bars
        + ["Arrow: off the scale, its D_r in brackets"] * (low > min(kept))
    )
    lines = [f"{title}.", "Target: the ringed star, retrain. Blue: the SSD family.", about, *notes]
    headline(figure, "\n".join(filter(None, lines)), 9)
    return figure


def _on_edge(point, edge):
    label, method, (x, _), y = point
    return f"{shown(label, 36)} ({x:.0f})", method, (edge, None), y


def _family(method):
    """The colour of what a method belongs to: retrain, baseline, SSD's family, its rivals."""
    ours = method in ("ssd", "lfssd", "assd", "alfssd", "potion", "jit")
    return FIXED[method][0] if method in FIXED else "#0072B2" if ours else "#D55E00"


def _names_beside(axis, points):
    """Each point's name right of the panel, evenly spaced, with a line to it: the shortest lines, since these do not cross."""
    places = [(1.06, 1 - (number + 0.5) / len(points)) for number in range(len(points))]
    found = axis.transLimits.transform([(x, y) for _, x, y, _ in points])
    for point, place in zip(*linear_sum_assignment(cdist(found, places)), strict=True):
        label, x, y, colour = points[point]
        line = {
            "arrowstyle": "-",
            "linewidth": 0.5,
            "relpos": (-0.03, 0.5),
            "color": colour,
            "alpha": 0.6,
        }
        # To cut lines at the boxes of names would take half of the figure's time.
        line |= {"patchA": None, "shrinkA": 0, "shrinkB": 0}
        axis.annotate(
            shown(label, 42),
            (x, y),
            xytext=places[place],
            textcoords="axes fraction",
            fontsize=8,
            color=colour,
            va="center",
            arrowprops=line,
        )


def tuning(method, titles, trials, goals, best):
    """A panel a forget set: D_f against D_r of every trial, coloured by its distance to retrain; the best is ringed.

    trials: [([{score: percent} of each forget set], distance)]; goals and best: [{score: percent}
    of each forget set].
    """
    titles_drawn = titles[: room_for(4.2, 1.2)]
    omitted = left_out(1, 1, "", len(titles_drawn), len(titles))
    figure, axes = panels(1, len(titles_drawn), 4.2 * len(titles_drawn) + 1.2, 4.2)
    for number, (axis, title) in enumerate(zip(axes[0], titles_drawn, strict=True)):
        x, y = ([scores[number][name] for scores, _ in trials] for name in ("D_r %", "D_f %"))
        dots = axis.scatter(
            x,
            y,
            c=[distance for _, distance in trials],
            cmap="viridis_r",
            s=28,
            edgecolors="#888888",
            linewidths=0.5,
            zorder=3,
        )
        for scores, marker, size, label in (
            (goals[number], "*", 18, "retrain"),
            (best[number], "o", 14, "best trial"),
        ):
            axis.plot(
                scores["D_r %"],
                scores["D_f %"],
                marker,
                markersize=size,
                linestyle="none",
                label=label,
                zorder=4,
                color="black",
                markerfacecolor="none",
                clip_on=False,
            )
        forget_title(axis, title)
        axis.set_xlabel("D_r: accuracy on what is kept (%)", fontsize=9)
        axis.grid(color="#dddddd")
        axis.set_xlim(-5, 105)
        axis.set_ylim(-7, 107)
    axes[0, 0].set_ylabel("D_f: accuracy on what is forgotten (%)", fontsize=9)
    axes[0, 0].legend(fontsize=9, loc="upper left")
    figure.colorbar(dots, ax=axes[0, -1]).set_label("mean distance to retrain (points)", fontsize=9)
    headline(figure, f"{method}: {len(trials)} trials on validation images\n{omitted}".strip())
    return figure


def _histogram(row):
    counts = [run["entropy_histogram"] for run in row.runs if run.get("entropy_histogram")]
    totals = [sum(values) for values in zip(*counts, strict=True)]
    return [100 * value / sum(totals) for value in totals]


def entropy(title, sections, note=""):
    """A panel a method and forgotten class: the entropy of the outputs on D_f, after, before, and of retrain."""
    known = {name: [row for row in rows if _histogram(row)] for name, rows in sections.items()}
    fixed = {row.label for rows in known.values() for row in rows if row.method in FIXED}
    known, omitted = fitted(known, room_for(1.15, 1.8) + len(fixed), room_for(3.2, 1.5))
    methods = [label for label in labels_of(known) if label not in fixed]
    if not methods:
        return None
    figure, axes = panels(
        len(methods),
        len(known),
        3.2 * len(known) + 1.5,
        1.15 * len(methods) + 1.2,
        sharex="col",
        sharey=True,
    )
    for column, (forgotten, rows) in zip(axes.T, known.items(), strict=True):
        forget_title(column[0], forgotten, 28)
        column[-1].set_xlabel("entropy on D_f (share of ln C)", fontsize=9)
        histograms = {row.label: _histogram(row) for row in rows}
        for axis, label in zip(column, methods, strict=True):
            for name, colour, style in (
                (label, "#0072B2", "-"),
                ("baseline", "#888888", "-"),
                ("retrain", "#000000", "--"),
            ):
                if name in histograms:
                    edges = [i / len(histograms[name]) for i in range(len(histograms[name]) + 1)]
                    after = name == label
                    axis.stairs(
                        histograms[name],
                        edges,
                        color=colour,
                        linestyle=style,
                        fill=after,
                        alpha=0.45 if after else 1,
                        label="after" if after else name,
                    )
    for axis, label in zip(axes[:, 0], methods, strict=True):
        text = shown(label, 60).replace(" (", "\n(").replace(", ", ",\n")
        axis.set_ylabel(text, fontsize=9, rotation=0, ha="right", va="center")
    legend(figure, axes, ncols=3)
    about = "How sure it is of D_f: share of the images in % over their entropy"
    lines = [f"{title}.", about, note, omitted]
    headline(figure, "\n".join(filter(None, lines)))
    return figure


def layers(title, sections, note=""):
    """A panel a forgotten class: the share of each parameter tensor that was dampened, input to output."""
    known = {
        name: [row for row in rows if any(run.get("selected_by_name") for run in row.runs)]
        for name, rows in sections.items()
    }
    known = {name: rows for name, rows in known.items() if rows}
    if not known:
        return None
    known, omitted = fitted(known, MOST_LINES, room_for(2.2, 3.5))
    looks = looks_of(known)
    height = 2.2 * len(known) + 1.3 + legend_height(looks, 9, 3)
    figure, axes = panels(len(known), 1, 9, height, sharex=True)
    for axis, (forgotten, rows) in zip(axes[:, 0], known.items(), strict=True):
        for row in rows:
            run = next(run for run in row.runs if run.get("selected_by_name"))
            names = list(run["selected_by_name"])
            shares = [100 * share for share in run["selected_by_name"].values()]
            colour, marker = looks[row.label]
            axis.plot(
                range(len(names)),
                shares,
                color=colour,
                marker=marker,
                markersize=4,
                linewidth=1,
                label=row.label,
            )
        forget_title(axis, forgotten)
        axis.set_ylabel("dampened (%)", fontsize=9)
        axis.grid(axis="y", color="#dddddd")
    step = math.ceil(len(names) / 90)  # more names would lie over each other
    named = range(0, len(names), step)
    texts = [shown(names[number], 40) for number in named]
    axes[-1, 0].set_xticks(named, texts, rotation=90, fontsize=6 if len(named) > 40 else 8)
    legend(figure, axes, looks, ncols=3)
    every = f" Every {step}th tensor is named." if step > 1 else ""
    lines = [f"{title}: where SSD dampens (first seed).{every}", note, omitted]
    headline(figure, "\n".join(filter(None, lines)))
    return figure
