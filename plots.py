"""Summaries into figures: the methods beside each other, and the trials of a search."""

import math

from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from curves import alphas, healing
from panels import FIXED, headline, legend, looks_of, panels
from provenance import title_of
from summaries import over_alphas, over_classes

MEANING = {
    "D_r %": "D_r: accuracy on\nwhat is kept (%)",
    "D_f %": "D_f: accuracy on\nwhat is forgotten (%)",
    "MIA %": "MIA: forgotten images\njudged to be members (%)",
    "seconds": "seconds of the method\n(logarithmic)",
}


def figures(key, sections):
    """{name: matplotlib figure} of one table: healing, or scores, trade-off and where records hold them entropy, layers, alpha."""
    title = title_of(key, sections).removesuffix(" (protocol paper)")  # the default
    share = " of the images" if key[0] == "random" else ""
    sections = {name + share: [row for row in rows if row.runs] for name, rows in sections.items()}
    if key[0] == "corrupted":
        return {"healing": healing(title, sections)}
    over_alpha = over_alphas(sections)
    drawn = {row.label for by_name in over_alpha.values() for rows in by_name.values() for row in rows}  # too many for a legend
    others = {name: [row for row in rows if row.label not in drawn] for name, rows in sections.items()}
    made = {"alpha": alphas(title, sections, over_alpha)} if over_alpha else {}
    if all(others.values()):
        made |= {"scores": scores(title, others), "trade-off": trade_off(title, others), "entropy": entropy(title, others),
                 "layers": layers(title, others), "overview": overview(title, others) if len(others) > 1 else None}  # fmt: skip
    return {name: figure for name, figure in made.items() if figure}


def scores(title, sections):
    """A row of panels a forgotten class: each score and the seconds, a dot a method, retrain's value as a dashed line."""
    heights = [0.9 + 0.24 * len(rows) for rows in sections.values()]
    figure, axes = panels(len(sections), 4, 8.6, sum(heights) + 1.1, sharex="col", height_ratios=heights)
    for row_axes, (forgotten, rows) in zip(axes, sections.items(), strict=True):
        for axis, name in zip(row_axes, MEANING, strict=True):
            _dots(axis, rows, name)
        row_axes[0].set_yticks(range(len(rows)), [row.label for row in rows], fontsize=9)
        row_axes[0].set_title(f"forget {forgotten}", loc="left", fontsize=10, fontweight="bold")
    for axis, (name, text) in zip(axes[-1], MEANING.items(), strict=True):
        axis.set_xlabel(text, fontsize=9)
        if name == "seconds":
            axis.set_xscale("log")
    headline(figure, f"{title}.\nClosest to retrain's dashed line is best. Blue: the SSD family.\n"
                     "Dot: mean over seeds, a cross where a run collapsed; bar: standard deviation")  # fmt: skip
    return figure


def _dots(axis, rows, name):
    for height, row in enumerate(rows):
        value = row.values.get(name)
        if value is None or (name == "seconds" and row.method == "baseline"):  # doing nothing takes no time
            continue
        colour = _family(row.method)
        bar = None if name == "seconds" else value.over_seeds
        axis.errorbar(
            value.mean, height, xerr=bar, fmt="X" if row.collapsed else "o", markersize=6, capsize=3, color=colour, zorder=3
        )
        if row.method == "retrain":
            axis.axvline(value.mean, color=colour, linestyle="--", linewidth=1, zorder=2)
    axis.set_yticks(range(len(rows)), [""] * len(rows))
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="x", color="#dddddd")


def trade_off(title, sections):
    """A panel a forgotten class: D_f against D_r, a named point a method, retrain's ringed star the target."""
    points = {f"forget {forgotten}": [(row.label, row.method, row.values["D_r %"][:2], row.values["D_f %"][:2]) for row in rows]
              for forgotten, rows in sections.items()}  # fmt: skip
    return _targets(title, points)


def overview(title, sections):
    """The trade-off in one panel: the means over the forgotten classes, of the methods that every class has; None without any."""
    methods = {row.label: row.method for rows in sections.values() for row in rows}
    points = [
        (label, methods[label], (values["D_r %"][0], None), (values["D_f %"][0], None))
        for label, values in over_classes(sections).items()
    ]
    return _targets(title, {f"mean over {', '.join(sections)}": points}) if points else None


def _targets(title, panels_of):
    """panels_of: {panel's title: [(label, method, (D_r, its spread or None), (D_f, the same)), ...]}.

    Whose D_r is more than 15 points below every retrain's lies as an arrow on the edge, its D_r behind its name.
    """
    columns = min(2, len(panels_of))
    count = math.ceil(len(panels_of) / columns)
    figure, axes = panels(count, columns, 4.6 * columns, 3.6 * count + 0.6)
    every = [point for points in panels_of.values() for point in points]
    bars = any(spread for *_, (_, spread) in every)
    kept, forgotten = [x for _, _, (x, _), _ in every], [y for *_, (y, _) in every]
    low = max(min(kept), min([x for _, method, (x, _), _ in every if method == "retrain"], default=0) - 15)
    for axis, (name, points) in zip(axes.flat, panels_of.items(), strict=False):
        axis.set_xlim(low - 2, max(kept) + 2)
        axis.set_ylim(min(forgotten) - 4, max(forgotten) + 4)
        shown = [point if point[2][0] >= low else _on_edge(point, low - 1.5) for point in points]
        for label, method, (x, over_x), (y, over_y) in shown:
            look = {"color": _family(method), "linestyle": "none", "clip_on": method != "retrain"}
            look["marker"] = "<" if x < low else FIXED.get(method, "oo")[1]
            axis.errorbar(x, y, xerr=over_x, yerr=over_y, elinewidth=0.6, alpha=0.7, label=label,
                          markersize=13 if method == "retrain" else 6, **look)  # fmt: skip
            if method == "retrain":
                axis.plot(x, y, markersize=22, markerfacecolor="none", **look | {"marker": "o"})
        _names_beside(axis, [(label, x, y, _family(method)) for label, method, (x, _), (y, _) in shown])
        axis.set_title(name, loc="left", fontsize=10, fontweight="bold")
        axis.set_xlabel("D_r: accuracy on what is kept (%)", fontsize=9)
        axis.set_ylabel("D_f: on what is forgotten (%)", fontsize=9)
        axis.grid(color="#dddddd")
    for axis in axes.flat[len(panels_of) :]:
        axis.set_visible(False)
    about = ". ".join(
        ["Bar: standard deviation over seeds"] * bars + ["Arrow: off the scale, its D_r in brackets"] * (low > min(kept))
    )
    headline(figure, f"{title}.\nTarget: the ringed star, retrain. Blue: the SSD family.\n{about}", 9)
    return figure


def _on_edge(point, edge):
    label, method, (x, _), y = point
    return f"{label} ({x:.0f})", method, (edge, None), y


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
        line = {"arrowstyle": "-", "linewidth": 0.5, "relpos": (0, 0.5), "color": colour, "alpha": 0.6}
        axis.annotate(label, (x, y), xytext=places[place], textcoords="axes fraction", fontsize=8, color=colour, va="center",
                      arrowprops=line)  # fmt: skip


def tuning(method, titles, trials, goals, best):
    """A panel a forget set: D_f against D_r of every trial, coloured by its distance to retrain; the best is ringed.

    trials: [([{score: percent} of each forget set], distance)]; goals and best: [{score: percent} of each forget set].
    """
    figure, axes = panels(1, len(titles), 4.2 * len(titles) + 1.2, 4.2)
    for number, (axis, title) in enumerate(zip(axes[0], titles, strict=True)):
        x, y = ([scores[number][name] for scores, _ in trials] for name in ("D_r %", "D_f %"))
        dots = axis.scatter(
            x, y, c=[distance for _, distance in trials], cmap="viridis_r", s=28, edgecolors="#888888", linewidths=0.5, zorder=3
        )
        for scores, marker, size, label in ((goals[number], "*", 18, "retrain"), (best[number], "o", 14, "best trial")):
            axis.plot(scores["D_r %"], scores["D_f %"], marker, markersize=size, linestyle="none", label=label, zorder=4,
                      color="black", markerfacecolor="none", clip_on=False)  # fmt: skip
        axis.set_title(f"forget {title}", loc="left", fontsize=10, fontweight="bold")
        axis.set_xlabel("D_r: accuracy on what is kept (%)", fontsize=9)
        axis.grid(color="#dddddd")
        axis.set_xlim(-5, 105)
        axis.set_ylim(-7, 107)
    axes[0, 0].set_ylabel("D_f: accuracy on what is forgotten (%)", fontsize=9)
    axes[0, 0].legend(fontsize=9, loc="upper left")
    figure.colorbar(dots, ax=axes[0, -1]).set_label("mean distance to retrain (points)", fontsize=9)
    headline(figure, f"{method}: {len(trials)} trials on validation images")
    return figure


def _histogram(row):
    counts = [run["entropy_histogram"] for run in row.runs if run.get("entropy_histogram")]
    totals = [sum(values) for values in zip(*counts, strict=True)]
    return [100 * value / sum(totals) for value in totals]


def entropy(title, sections):
    """A panel a method and forgotten class: the entropy of the outputs on D_f, after, before, and of retrain."""
    known = {name: [row for row in rows if _histogram(row)] for name, rows in sections.items()}
    methods = list(dict.fromkeys(row.label for rows in known.values() for row in rows if row.method not in FIXED))
    if not methods:
        return None
    figure, axes = panels(len(methods), len(known), 3.2 * len(known) + 1.5, 1.15 * len(methods) + 1.2, sharex="col", sharey=True)
    for column, (forgotten, rows) in zip(axes.T, known.items(), strict=True):
        column[0].set_title(f"forget {forgotten}", loc="left", fontsize=10, fontweight="bold")
        column[-1].set_xlabel("entropy on D_f (share of ln C)", fontsize=9)
        shown = {row.label: _histogram(row) for row in rows}
        for axis, label in zip(column, methods, strict=True):
            for name, colour, style in ((label, "#0072B2", "-"), ("baseline", "#888888", "-"), ("retrain", "#000000", "--")):
                if name in shown:
                    edges, after = [i / len(shown[name]) for i in range(len(shown[name]) + 1)], name == label
                    axis.stairs(shown[name], edges, color=colour, linestyle=style, fill=after, alpha=0.45 if after else 1,
                                label="after" if after else name)  # fmt: skip
    for axis, label in zip(axes[:, 0], methods, strict=True):
        text = label.replace(" (", "\n(").replace(", ", ",\n")
        axis.set_ylabel(text, fontsize=9, rotation=0, ha="right", va="center")
    legend(figure, axes, where="lower center", ncols=3)
    headline(figure, f"{title}.\nHow sure it is of D_f: share of the images in % over their entropy")
    return figure


def layers(title, sections):
    """A panel a forgotten class: the share of each parameter tensor that was dampened, input to output."""
    known = {name: [row for row in rows if any(run.get("selected_by_name") for run in row.runs)] for name, rows in sections.items()}
    known = {name: rows for name, rows in known.items() if rows}
    if not known:
        return None
    looks = looks_of(known)
    figure, axes = panels(len(known), 1, 9, 2.2 * len(known) + 1.6, sharex=True)
    for axis, (forgotten, rows) in zip(axes[:, 0], known.items(), strict=True):
        for row in rows:
            run = next(run for run in row.runs if run.get("selected_by_name"))
            names = list(run["selected_by_name"])
            shares = [100 * share for share in run["selected_by_name"].values()]
            colour, marker = looks[row.label]
            axis.plot(range(len(names)), shares, color=colour, marker=marker, markersize=4, linewidth=1, label=row.label)
        axis.set_title(f"forget {forgotten}", loc="left", fontsize=10, fontweight="bold")
        axis.set_ylabel("dampened (%)", fontsize=9)
        axis.grid(axis="y", color="#dddddd")
    axes[-1, 0].set_xticks(range(len(names)), names, rotation=90, fontsize=6 if len(names) > 40 else 8)
    legend(figure, axes, looks, "lower center", ncols=3)
    headline(figure, f"{title}: where SSD dampens (first seed)")
    return figure
