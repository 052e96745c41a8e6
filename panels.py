"""What all figures share: panels, a legend, a look for each method (colour-blind safe); PNG and PDF bytes."""

import io
import textwrap

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255")  # Okabe and Ito, and one of Tol
MARKERS = "osD^vPX<>*"
FIXED = {"retrain": ("#000000", "*"), "baseline": ("#888888", "o")}


def saved(figure, kind):
    """The bytes of a figure as `kind` (png, pdf)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150, metadata={"CreationDate": None} if kind == "pdf" else None)
    return buffer.getvalue()


def panels(rows, columns, width, height, **options):
    """(figure, its axes [rows, columns]) of that size in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
        axis.set_axisbelow(True)
    return figure, axes


def headline(figure, text, size=10):
    """The figure's title, in as many lines as its width wants, evenly parted."""
    room = int(figure.get_figwidth() * 72 / (0.58 * size))  # a letter is 0.58 of its size wide, on average
    figure.suptitle("\n".join(part for line in text.split("\n") for part in _parted(line, room)), fontsize=size)


def _parted(line, room):
    """The line in as few parts as `room` letters allow, the longest as short as can be."""
    fewest = len(textwrap.wrap(line, room))
    return next(parts for width in range(1, room + 1) if len(parts := textwrap.wrap(line, width)) == fewest)


def legend(figure, axes, order=(), where="right center", ncols=1):
    """One legend of what any panel shows, once each."""
    handles = {handle.get_label(): handle for axis in axes.flat for handle in axis.get_legend_handles_labels()[0]}
    shown = [label for label in order if label in handles] or list(handles)
    figure.legend(handles=[handles[label] for label in shown], loc=f"outside {where}", ncols=ncols, fontsize=9, frameon=False)


def looks_of(sections):
    """{label: (colour, marker)} of the rows, the same for one label in every section."""
    labels = list(dict.fromkeys(row.label for rows in sections.values() for row in rows if row.method not in FIXED))
    looks = {label: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, label in enumerate(labels)}
    return {**{row.label: FIXED[row.method] for rows in sections.values() for row in rows if row.method in FIXED}, **looks}
