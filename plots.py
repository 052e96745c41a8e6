"""Summaries into figures: colour-blind safe, readable at the width of a page, as PNG and PDF bytes."""

import io
import math

from summaries import TASKS, over_alphas, over_shares

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255")  # Okabe and Ito, and one of Tol
MARKERS = "osD^vPX<>*"
FIXED = {"retrain": ("#000000", "*"), "baseline": ("#888888", "o")}
MEANING = {
    "D_r %": "accuracy on what is kept\n(test images, %)",
    "D_f %": "accuracy on what is forgotten\n(%)",
    "MIA %": "forgotten images judged\nto be members (%)",
    "seconds": "seconds of the method\n(logarithmic)",
}


def figures(key, sections):
    """{name: matplotlib figure} of one table: healing, or scores, trade-off and where records hold them entropy, layers, alpha."""
    import matplotlib

    matplotlib.use("Agg")
    title = f"{key[1]} on {key[2]}: {TASKS.get(key[0], key[0]).lower()}"
    sections = {name: [row for row in rows if row.runs] for name, rows in sections.items()}
    if key[0] == "corrupted":
        return {"healing": healing(title, sections)}
    over_alpha = over_alphas(sections)
    drawn = {row.label for by_name in over_alpha.values() for rows in by_name.values() for row in rows}  # too many for a legend
    others = {name: [row for row in rows if row.label not in drawn] for name, rows in sections.items()}
    made = {"alpha": alphas(title, sections, over_alpha)} if over_alpha else {}
    if all(others.values()):
        made |= {"scores": scores(title, others), "trade-off": trade_off(title, others), "entropy": entropy(title, others),
                 "layers": layers(title, others)}  # fmt: skip
    return {name: figure for name, figure in made.items() if figure}


def saved(figure, kind):
    """The bytes of a figure as `kind` (png, pdf)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150, metadata={"CreationDate": None} if kind == "pdf" else None)
    return buffer.getvalue()


def _panels(rows, columns, width, height, **options):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
        axis.set_axisbelow(True)
    return figure, axes


def _legend(figure, axes, order=(), where="right center", ncols=1):
    """One legend of what any panel shows, once each."""
    handles = {handle.get_label(): handle for axis in axes.flat for handle in axis.get_legend_handles_labels()[0]}
    shown = [label for label in order if label in handles] or list(handles)
    figure.legend(handles=[handles[label] for label in shown], loc=f"outside {where}", ncols=ncols, fontsize=9, frameon=False)


def _looks(sections):
    """{label: (colour, marker)}, the same in every figure of a table."""
    labels = list(dict.fromkeys(row.label for rows in sections.values() for row in rows if row.method not in FIXED))
    looks = {label: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, label in enumerate(labels)}
    return {**{row.label: FIXED[row.method] for rows in sections.values() for row in rows if row.method in FIXED}, **looks}


def scores(title, sections):
    """A row of panels a forgotten class: each score and the seconds, a dot a method, retrain's value as a dashed line."""
    heights = [0.9 + 0.24 * len(rows) for rows in sections.values()]
    figure, axes = _panels(len(sections), 4, 11, sum(heights) + 1.1, sharex="col", height_ratios=heights)
    for row_axes, (forgotten, rows) in zip(axes, sections.items(), strict=True):
        for axis, name in zip(row_axes, MEANING, strict=True):
            _dots(axis, rows, name)
        row_axes[0].set_yticks(range(len(rows)), [row.label for row in rows], fontsize=9)
        row_axes[0].set_title(f"forget {forgotten}", loc="left", fontsize=10, fontweight="bold")
    for axis, (name, text) in zip(axes[-1], MEANING.items(), strict=True):
        axis.set_xlabel(text, fontsize=9)
        if name == "seconds":
            axis.set_xscale("log")
        else:
            axis.set_xlim(-5, 105)
    figure.suptitle(f"{title}. Closest to retrain's dashed line is best.\n"
                    "Dot: mean over seeds, a cross where a run collapsed; bar: standard deviation", fontsize=10)  # fmt: skip
    return figure


def _dots(axis, rows, name):
    for height, row in enumerate(rows):
        value = row.values.get(name)
        if value is None or (name == "seconds" and row.method == "baseline"):  # doing nothing takes no time
            continue
        colour = "#D55E00" if row.collapsed else FIXED.get(row.method, ("#0072B2",))[0]
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
    """A panel a forgotten class: D_f against D_r, a point a method, retrain's star in its target rings."""
    looks, columns = _looks(sections), min(3, len(sections))
    count = math.ceil(len(sections) / columns)
    figure, axes = _panels(count, columns, 3.6 * columns + 2.2, 3.4 * count + 0.6, sharex=True, sharey=True)
    for axis, (forgotten, rows) in zip(axes.flat, sections.items(), strict=False):
        for row in reversed(rows):
            colour, marker = looks[row.label]
            x, y = row.values["D_r %"], row.values["D_f %"]
            axis.errorbar(x.mean, y.mean, xerr=x.over_seeds, yerr=y.over_seeds, color=colour, marker=marker, label=row.label,
                          linestyle="none", markersize=12 if row.method == "retrain" else 8, elinewidth=1, alpha=0.9)  # fmt: skip
            if row.method == "retrain":
                axis.plot(x.mean, y.mean, "o", markersize=22, markerfacecolor="none", markeredgecolor=colour, linestyle="none")
        axis.set_title(f"forget {forgotten}", loc="left", fontsize=10, fontweight="bold")
        axis.grid(color="#dddddd")
        axis.set_xlim(-5, 105)
        axis.set_ylim(-7, 107)
    for axis in axes.flat[len(sections) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("D_r: accuracy on what is kept (%)", fontsize=9)
    for axis in axes[:, 0]:
        axis.set_ylabel("D_f: accuracy on what is forgotten (%)", fontsize=9)
    _legend(figure, axes, looks)
    figure.suptitle(f"{title}: the ringed star, retrain, is the target", fontsize=10)
    return figure


def healing(title, sections):
    """A row of panels a corruption: healed, clean and attacked images over the share that is known, a line a method."""
    found, looks = over_shares(sections), _looks(sections)
    names = {"D_f %": "healed: true labels of\nthe corrupted images (%)", "D_r %": "clean test images (%)",
             "attack %": "triggered images sent to\nthe attacked class (%)"}  # fmt: skip
    names = {name: text for name, text in names.items() if any(name in row.values for rows in sections.values() for row in rows)}
    figure, axes = _panels(len(found), len(names), 3.2 * len(names) + 1.4, 3.0 * len(found) + 0.7, sharex=True)
    shares = sorted({100 * share for labels in found.values() for known in labels.values() for share in known})
    for row_axes, (corruption, labels) in zip(axes, found.items(), strict=True):
        for axis, (name, text) in zip(row_axes, names.items(), strict=True):
            for label, known in labels.items():
                points = [(100 * share, values[name]) for share, values in known.items() if name in values]
                colour, marker = looks[label]
                axis.errorbar([x for x, _ in points], [v.mean for _, v in points], yerr=[v.over_seeds or 0 for _, v in points],
                              color=colour, marker=marker, label=label, markersize=5, linewidth=1.2, capsize=2,
                              linestyle="--" if label.split()[0] in FIXED else "-")  # fmt: skip
            axis.set_xlim(shares[0] / 1.5, shares[-1] * 1.5)
            axis.set_xscale("log")
            axis.set_xticks(shares, [f"{share:g}" for share in shares])
            axis.minorticks_off()
            axis.set_ylim(-5, 105)
            axis.set_ylabel(text, fontsize=9)
            axis.grid(color="#dddddd")
        row_axes[0].set_title(corruption, loc="left", fontsize=10, fontweight="bold")
    for axis in axes[-1]:
        axis.set_xlabel("share that is known (%)", fontsize=9)
    _legend(figure, axes, looks)
    figure.suptitle(f"{title}. Bar: standard deviation over seeds", fontsize=10)
    return figure


def alphas(title, sections, found):
    """A row of panels a method, a panel a forgotten class: D_f, D_r and the share selected over alpha; ASSD needs none.

    found: over_alphas of the sections.
    """
    columns = [name for name in sections if any(name in by_name for by_name in found.values())]
    figure, axes = _panels(len(found), len(columns), 3.4 * len(columns) + 1.6, 2.7 * len(found) + 0.9, sharex=True, sharey=True)
    for row_axes, ((method, *_), by_name) in zip(axes, found.items(), strict=True):
        for axis, name in zip(row_axes, columns, strict=True):
            if name in by_name:
                _over_alpha(axis, by_name[name], sections[name])
            axis.set_title(f"{method}: forget {name}", loc="left", fontsize=10, fontweight="bold")
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
            axis.set_ylim(-5, 105)
            axis.grid(color="#dddddd")
        row_axes[0].set_ylabel("accuracy, share selected (%)", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("alpha (a smaller one selects more)", fontsize=9)
    _legend(figure, axes)
    figure.suptitle(f"{title}, over alpha. Cross: collapsed; bar: standard deviation", fontsize=10)
    return figure


def _over_alpha(axis, rows, all_rows):
    at = [row.runs[0]["config"]["alpha"] for row in rows]
    kinds = (("D_f %", "#D55E00", "D_f: what is forgotten"), ("D_r %", "#0072B2", "D_r: what is kept"))
    for name, colour, label in kinds:
        values = [row.values[name] for row in rows]
        axis.errorbar(at, [v.mean for v in values], yerr=[v.over_seeds or 0 for v in values], color=colour, marker="o",
                      markersize=4, linewidth=1.2, capsize=2, label=label)  # fmt: skip
        for other in all_rows:
            if other.method == "retrain":
                axis.axhline(other.values[name].mean, color=colour, linestyle=":", linewidth=1.2, label=f"{name[:3]} of retrain")
            elif other.method == "assd" and rows[0].method == "ssd":
                found = [run["adaptive_alpha"] for run in other.runs if "adaptive_alpha" in run]
                axis.plot(found, [other.values[name].mean] * len(found), "D", markersize=8, markeredgecolor="black",
                          color=colour, linestyle="none", zorder=4, label=f"{name[:3]} of ASSD, at its alpha")  # fmt: skip
    collapsed = [(alpha, row.values["D_r %"].mean) for alpha, row in zip(at, rows, strict=True) if row.collapsed]
    axis.plot([x for x, _ in collapsed], [y for _, y in collapsed], "X", color="black", linestyle="none", markersize=7, zorder=3)
    axis.plot(at, [row.values["selected %"].mean for row in rows], color="#666666", linestyle="-.", linewidth=1,
              label="parameters selected")  # fmt: skip
    if sizes := rows[0].runs[0].get("sizes"):
        axis.axvline(sizes["D"] / sizes["D_f"], color="black", linestyle="--", linewidth=1, label="ceiling |D| / |D_f|")


def tuning(method, titles, trials, goals, best):
    """A panel a forget set: D_f against D_r of every trial, coloured by its distance to retrain; the best is ringed.

    trials: [([{score: percent} of each forget set], distance)]; goals and best: [{score: percent} of each forget set].
    """
    figure, axes = _panels(1, len(titles), 4.2 * len(titles) + 1.2, 4.2)
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
    figure.suptitle(f"{method}: {len(trials)} trials on validation images", fontsize=10)
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
    figure, axes = _panels(len(methods), len(known), 3.2 * len(known) + 1.5, 1.15 * len(methods) + 1.2, sharex="col", sharey=True)
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
        axis.set_ylabel(label.split()[0], fontsize=9, rotation=0, ha="right", va="center")
    _legend(figure, axes, where="lower center", ncols=3)
    figure.suptitle(f"{title}.\nHow sure it is of D_f: share of the images in % over their entropy", fontsize=10)
    return figure


def layers(title, sections):
    """A panel a forgotten class: the share of each parameter tensor that was dampened, input to output."""
    known = {name: [row for row in rows if any(run.get("selected_by_name") for run in row.runs)] for name, rows in sections.items()}
    known = {name: rows for name, rows in known.items() if rows}
    if not known:
        return None
    looks = _looks(sections)
    figure, axes = _panels(len(known), 1, 9, 2.2 * len(known) + 1.6, sharex=True)
    for axis, (forgotten, rows) in zip(axes[:, 0], known.items(), strict=True):
        for row in rows:
            run = next(run for run in row.runs if run.get("selected_by_name"))
            names = list(run["selected_by_name"])
            shares = [100 * share for share in run["selected_by_name"].values()]
            axis.plot(
                range(len(names)),
                shares,
                color=looks[row.label][0],
                marker=looks[row.label][1],
                markersize=4,
                linewidth=1,
                label=row.label,
            )
        axis.set_title(f"forget {forgotten}", loc="left", fontsize=10, fontweight="bold")
        axis.set_ylabel("dampened (%)", fontsize=9)
        axis.grid(axis="y", color="#dddddd")
        axis.legend(fontsize=9, frameon=False)
    axes[-1, 0].set_xticks(range(len(names)), names, rotation=90, fontsize=6 if len(names) > 40 else 8)
    figure.suptitle(f"{title}: where SSD dampens (first seed)", fontsize=10)
    return figure
