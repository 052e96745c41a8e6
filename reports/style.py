"""What all figures share: a size that fits a printed page, one style, a look for each method.

Figures are at most as wide as the text of a page, 7 inches, with letters of 8 points; crowded
names have 6 or 7. They have no title: what one shows is said by its caption, which a page or a
paper sets below it.
"""

import io
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter

from reports import lookup
from reports.averages import run_rows
from reports.room import FONT, legend_columns
from reports.summary import Sections
from reports.texts import shown

DOTS_PER_INCH = 200  # of the images in a figure
GRID = "#dddddd"
# Colours that the colour-blind can tell apart: Okabe and Ito's, and one of Tol's.
BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255")
# In grey, shapes and dashes tell apart what colours do not.
MARKERS = "osD^vPX<>*"
DASHES = ("-", (0, (4, 1)), (0, (1, 1)), (0, (5, 1, 1, 1)))

matplotlib.rcParams.update(
    {
        "font.size": FONT,
        "axes.titlesize": FONT,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.5,
        "legend.fontsize": FONT,
        "legend.frameon": False,
        "lines.linewidth": 1.2,
        "lines.markersize": 4,
        "svg.hashsalt": "unlearning",  # the same figure is the same file
    }
)


class Look(NamedTuple):
    """How a method is drawn."""

    colour: str
    marker: str
    dashes: object = "-"  # of its line


OF_GOAL, OF_ORIGINAL = Look("#000000", "*"), Look("#777777", "s")
OF_SSD_FAMILY, OF_RIVAL = Look(BLUE, "o"), Look(ORANGE, "^")
FAMILIES = "Circles: the SSD family. Triangles: other methods."


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
            others[row.label] = Look(
                colour=COLOURS[place % len(COLOURS)],
                marker=MARKERS[place % len(MARKERS)],
                dashes=DASHES[place % len(DASHES)],
            )
    return {**fixed, **others}


# ---- panels ----


def panels(rows: int, columns: int, width: float, height: float, **options):
    """(figure, its axes [rows, columns]) of that size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes


def forget_title(axis, forgotten: str, letters: int = 40, before: str = ""):
    """A panel's title: what is forgotten, in at most so many letters."""
    axis.set_title(f"{before}forget {shown(forgotten, letters)}")


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


# ---- around the panels ----


def set_caption(figure: Figure, sentences: list[str]):
    """What is to stand below the figure; it is not drawn. Empty sentences are omitted.

    It is the last thing that a figure is given: it also makes sure that no text is mathematics.
    """
    figure.set_label(" ".join(filter(None, sentences)))
    _take_texts_as_they_are(figure)


def caption_of(figure: Figure) -> str:
    """What is to stand below the figure."""
    return str(figure.get_label())


def _take_texts_as_they_are(figure):
    """Names of classes and layers are the user's and may hold dollars, which are no mathematics."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)


def legend(
    figure: Figure,
    axes,
    order=(),
    columns: int = 1,
    texts: dict | None = None,
    place: str = "outside lower center",
):
    """One legend outside the panels of all that they show, once each.

    order: labels, of which those that are shown come in this order; without it all do. columns: at
    most so many. texts: {label: what the legend says of it}, where that is not the label.
    """
    handles = {}
    for axis in axes.flat:
        for handle in axis.get_legend_handles_labels()[0]:
            handles[handle.get_label()] = handle
    labels = [label for label in order if label in handles] or list(handles)
    words = [shown((texts or {}).get(label, label), 40) for label in labels]
    figure.legend(
        [handles[label] for label in labels],
        words,
        loc=place,
        handlelength=1.6,
        columnspacing=1.0,
        ncols=legend_columns(words, figure.get_figwidth(), columns),
    )


def saved(figure: Figure, kind: str) -> bytes:
    """The figure as a file of that kind: svg or pdf."""
    buffer = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with matplotlib.rc_context({"text.parse_math": False}):  # for labels made while drawing
        layout = figure.get_layout_engine()
        if layout is not None:
            layout.execute(figure)
            figure.set_layout_engine(None)  # or each kind would be laid out, and drawn, twice
        figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=undated[kind])
    return buffer.getvalue()
