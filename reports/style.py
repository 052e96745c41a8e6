"""What all figures share: panels, titles, a legend, a look for each method, PNG and PDF bytes."""

import io
import textwrap
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter

from reports import lookup
from reports.averages import run_rows
from reports.room import LETTER, legend_columns
from reports.summary import Sections
from reports.texts import shown

DOTS_PER_INCH = 150
GRID = "#dddddd"
# Colours that the colour-blind can tell apart: Okabe and Ito's, and one of Tol's.
BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255")
MARKERS = "osD^vPX<>*"


class Look(NamedTuple):
    """How a method is drawn."""

    colour: str
    marker: str


OF_GOAL, OF_ORIGINAL = Look("#000000", "*"), Look("#888888", "o")
OF_SSD_FAMILY, OF_RIVAL = Look(BLUE, "o"), Look(ORANGE, "o")


def look_by_family(method: str) -> Look:
    """The look of what a method belongs to: retrain, the baseline, the SSD family, its rivals."""
    entry = lookup.method(method)
    if entry.is_goal:
        return OF_GOAL
    if entry.is_original:
        return OF_ORIGINAL
    return OF_SSD_FAMILY if entry.family == "ssd" else OF_RIVAL


def looks_of(sections: Sections) -> dict[str, Look]:
    """{label: look} of the rows, retrain and baseline first; the same look in every section."""
    fixed, others = {}, {}
    for row in run_rows(sections):
        if lookup.is_reference(row.method):
            fixed[row.label] = look_by_family(row.method)
        elif row.label not in others:
            place = len(others)
            colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
            others[row.label] = Look(colour, marker)
    return {**fixed, **others}


# ---- panels ----


def panels(rows: int, columns: int, width: float, height: float, **options):
    """(figure, its axes [rows, columns]) of that size in inches."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
        axis.set_axisbelow(True)
    return figure, axes


def panel_title(axis, text: str):
    axis.set_title(text, loc="left", fontsize=10, fontweight="bold")


def forget_title(axis, forgotten: str, letters: int = 40, before: str = ""):
    """A panel's title: what is forgotten, in at most so many letters."""
    panel_title(axis, f"{before}forget {shown(forgotten, letters)}")


def log_scale(axis):
    """A logarithmic x axis with plain numbers; where it spans little, 2 and 5 are named too."""
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    low, high = axis.get_xlim()
    if high < 20 * low:
        name_between_powers(axis, (2, 5))


def name_between_powers(axis, digits: tuple[int, ...]):
    """Name these multiples of the powers of ten on a logarithmic x axis."""
    axis.xaxis.set_minor_locator(LogLocator(subs=digits))
    axis.xaxis.set_minor_formatter("{x:g}")
    axis.tick_params(which="minor", labelsize=9)


# ---- around the panels ----


def headline(figure: Figure, lines: list[str], size: float = 10):
    """The figure's title, each line in as many parts as its width wants; empty lines are omitted.

    It is the last thing that a figure is given: it also makes sure that no text is mathematics.
    """
    room = int(figure.get_figwidth() * 72 / (LETTER * size))
    parts = []
    for line in lines:
        parts += _parted(line, room)
    figure.suptitle("\n".join(parts), fontsize=size)
    _take_texts_as_they_are(figure)


def _parted(line, room):
    """The line in as few parts as `room` letters allow, the longest as short as can be."""
    parts = textwrap.wrap(line, room)
    for width in range(1, room):
        narrower = textwrap.wrap(line, width)
        if len(narrower) == len(parts):
            return narrower
    return parts


def _take_texts_as_they_are(figure):
    """Names of classes and layers are the user's and may hold dollars, which are no mathematics."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)


def legend(figure: Figure, axes, order=(), columns: int = 1):
    """One legend below the panels of all that they show, once each.

    order: labels, of which those that are shown come in this order; without it all do. columns: at
    most so many.
    """
    handles = {}
    for axis in axes.flat:
        for handle in axis.get_legend_handles_labels()[0]:
            handles[handle.get_label()] = handle
    labels = [label for label in order if label in handles] or list(handles)
    texts = [shown(label, 40) for label in labels]
    figure.legend(
        [handles[label] for label in labels],
        texts,
        loc="outside lower center",
        ncols=legend_columns(texts, figure.get_figwidth(), columns),
        fontsize=9,
        frameon=False,
    )


def saved(figure: Figure, kind: str) -> bytes:
    """The figure as a file of that kind: png or pdf."""
    buffer = io.BytesIO()
    metadata = {"CreationDate": None} if kind == "pdf" else None
    with matplotlib.rc_context({"text.parse_math": False}):  # for labels made while drawing
        layout = figure.get_layout_engine()
        if layout is not None:
            layout.execute(figure)
            figure.set_layout_engine(None)  # or each kind would be laid out, and drawn, twice
        figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
    return buffer.getvalue()
