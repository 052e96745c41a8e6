"""The figure of what the importances said before a network was changed.

How much each alpha would select, and in which layers what is forgotten overlaps with what is kept.
"""

import math
from dataclasses import dataclass

from matplotlib.figure import Figure

from reports import lookup
from reports.room import PAGE_WIDTH, drawn_only, first_part, legend_height, rows_for
from reports.style import (
    COLOURS,
    DASHES,
    forget_title,
    legend,
    log_scale,
    panels,
    set_caption,
)
from reports.summary import Row, Sections
from reports.texts import shown

MOST_LAYERS = 60  # below a panel: the names of more would lie over each other
MOST_KINDS = len(COLOURS)
LEAST_PERCENT = 1e-3  # of the parameters, on a logarithmic axis

DAMPENED = {"marker": "o", "markersize": 4, "linestyle": "none"}
ADAPTIVE = {
    "marker": "D",
    "markersize": 6,
    "markerfacecolor": "none",
    "markeredgewidth": 1.2,
    "linestyle": "none",
}
CEILING = {"color": "black", "linestyle": "--", "linewidth": 1}
OVER_ALL = {"linestyle": "-.", "linewidth": 1}
MARKS = {
    "a run dampened by this alpha": DAMPENED,
    "Adaptive SSD's alpha": ADAPTIVE,
    "ceiling |D| / |D_f|": CEILING,
    "over all parameters": OVER_ALL,
}


@dataclass(frozen=True)
class Said:
    """What one kind of importances said of one network."""

    label: str  # the methods that dampen by them
    suitability: dict  # as records hold it
    dampened: dict  # {alpha of a run: share of the parameters that it dampened}


def suitability(sections: Sections) -> Figure | None:
    """For each forget set the share selected over alpha, and the overlap of every layer.

    A line for each kind of importances. None where no record holds any.
    """
    recorded = {}
    for forgotten, rows in sections.items():
        if kinds := _said(rows):
            recorded[forgotten] = kinds
    if not recorded:
        return None
    drawn = dict(list(recorded.items())[: rows_for(1.9, 2)])
    looks = _looks(drawn)
    layers = _layers(drawn)
    entries = [*looks, *MARKS]
    height = 1.9 * len(drawn) + 1.1 + legend_height(entries, PAGE_WIDTH, 3)
    figure, axes = panels(len(drawn), 2, PAGE_WIDTH, height, sharex="col", width_ratios=(1, 1.7))
    for (left, right), (forgotten, kinds) in zip(axes, drawn.items(), strict=True):
        for kind in kinds:
            _draw_selected(left, kind, looks[kind.label])
            _draw_overlaps(right, kind, layers, looks[kind.label])
        _draw_ceiling(left, kinds)
        forget_title(left, forgotten, 24)
        left.set_ylabel("would be selected (%)")
        left.set_yscale("log")
        left.set_ylim(LEAST_PERCENT, 100)
        left.yaxis.set_major_formatter("{x:g}")
        right.set_ylabel("overlap")
        right.set_ylim(0, 1.03)
        for axis in (left, right):
            axis.grid()
    axes[0, 0].set_xlim(*_range_of_alpha(drawn))
    log_scale(axes[0, 0])
    axes[-1, 0].set_xlabel("alpha (a smaller one selects more)")
    axes[0, 1].set_title("layers, from input to output")
    _name_layers(axes[-1, 1], layers)
    _explain(axes[0, 0])
    legend(figure, axes, entries, columns=3)
    about = "Before anything changed (first network). Overlap: cosine of I_D and I_Df. "
    meaning = "High: what is forgotten and what is kept lie in the same parameters."
    not_drawn = drawn_only(first_part(len(drawn), len(recorded)))
    set_caption(figure, [about + meaning, not_drawn])
    return figure


def _looks(recorded):
    """{label: the look of its line} of the kinds of importances; the same in every panel."""
    labels: dict[str, None] = {}
    for kinds in recorded.values():
        labels.update({kind.label: None for kind in kinds})
    looks = {}
    for place, label in enumerate(labels):
        colour, dashes = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
        looks[label] = {"color": colour, "linestyle": dashes}
    return looks


def _range_of_alpha(recorded):
    """The ends of the alphas' axis, with a margin."""
    alphas = []
    for kinds in recorded.values():
        for kind in kinds:
            alphas += [*map(float, kind.suitability["selected"]), *kind.dampened]
            alphas.append(kind.suitability.get("ceiling", 0))
    positive = [alpha for alpha in alphas if alpha > 0] or [1]
    return min(positive) / 1.3, max(positive) * 1.3


def _layers(recorded):
    """The names of all layers, from input to output."""
    layers: dict[str, None] = {}
    for kinds in recorded.values():
        for kind in kinds:
            layers.update(dict.fromkeys(kind.suitability["overlap_by_layer"]))
    return list(layers)


# ---- what the records hold ----


def _said(rows: list[Row]) -> list[Said]:
    """A Said for each kind of importances, of the first network that has any."""
    runs_of: dict[tuple, list[dict]] = {}
    network = None
    for row in rows:
        for run in row.runs:
            if "suitability" not in run:
                continue
            network = network or run["weights_hash"]
            if run["weights_hash"] == network:
                runs_of.setdefault(_kind_of(run), []).append(run)
    said = []
    for runs in sorted(runs_of.values(), key=_place)[:MOST_KINDS]:
        said.append(Said(_label(runs), runs[0]["suitability"], _dampened(runs)))
    return said


def _place(runs):
    """The place of the first of their methods among the methods."""
    return min(lookup.place_of_method(run["config"]["method"]) for run in runs)


def _kind_of(run):
    """What two runs share whose importances are the same."""
    config = run["config"]
    measure = lookup.method(config["method"]).measure or config["method"]
    return measure, config["importance"], config["b"], run["suitability"]["denominator"]


def _label(runs):
    names = dict.fromkeys(run["config"]["method"] for run in runs)
    label = ", ".join(sorted(names, key=lookup.place_of_method))
    first = runs[0]
    if first["suitability"]["denominator"] != "D":
        label += " over I_Dr"
    if first["config"]["importance"] == "sample":
        label += ", each sample's own"
    return label


def _dampened(runs):
    """{alpha: share} of those that are to be seen on logarithmic axes."""
    shares = {}
    for run in runs:
        alpha = run.get("adaptive_alpha", run["config"]["alpha"])
        if alpha and run["selected"]:
            shares[alpha] = run["selected"]
    return shares


# ---- how they are drawn ----


def _draw_selected(axis, kind, line):
    """The share over alpha; dots where a run has dampened, a diamond at Adaptive SSD's alpha."""
    shares = {float(alpha): share for alpha, share in kind.suitability["selected"].items()}
    shares |= kind.dampened
    alphas = [alpha for alpha in sorted(shares) if alpha > 0 and shares[alpha] > 0]
    percent = {alpha: 100 * shares[alpha] for alpha in alphas}
    axis.plot(alphas, list(percent.values()), **line, label=kind.label)
    for alpha in kind.dampened:
        adaptive = kind.suitability.get("adaptive_alpha") == alpha
        mark = ADAPTIVE if adaptive else DAMPENED
        axis.plot(alpha, percent[alpha], color=line["color"], **mark, zorder=3)


def _draw_ceiling(axis, kinds):
    ceilings = {kind.suitability.get("ceiling") for kind in kinds} - {None}
    for ceiling in ceilings:  # one, since the kinds are of one D and one D_f
        axis.axvline(ceiling, **CEILING)


def _draw_overlaps(axis, kind, layers, line):
    """The overlap of each layer, and that over all parameters as a level line."""
    by_layer = kind.suitability["overlap_by_layer"]
    places = [layers.index(layer) for layer in by_layer]
    axis.plot(places, list(by_layer.values()), **line, marker="o", markersize=2)
    if "overlap" in kind.suitability:
        axis.axhline(kind.suitability["overlap"], color=line["color"], **OVER_ALL)


def _explain(axis):
    """What the marks mean, in the legend and in no kind's colour."""
    for label, look in MARKS.items():
        axis.plot([], [], **{"color": "#666666", **look}, label=label)


def _name_layers(axis, layers):
    """Name every so many-th layer below the panel."""
    step = max(1, math.ceil(len(layers) / MOST_LAYERS))
    places = range(0, len(layers), step)
    texts = [shown(layers[place], 30) for place in places]
    axis.set_xticks(places, texts, rotation=90, fontsize=6)
