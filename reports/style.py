"""What all figures share: panels, a legend, a look for each method (colour-blind safe), what fits,
PNG and PDF bytes."""

import io
import math
import statistics
import textwrap

from reports.provenance import shown

DOTS_PER_INCH = 150


LARGEST = 20  # inches, of a figure's width and of its height: 3,000 pixels


LETTER = 0.58  # of its size is a letter wide, on average


NEAREST = "rows, the nearest to retrain"


COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#882255",
)  # Okabe and Ito, and one of Tol


MARKERS = "osD^vPX<>*"


FIXED = {"retrain": ("#000000", "*"), "baseline": ("#888888", "o")}


def saved(figure, kind):
    """The bytes of a figure as `kind` (png, pdf); its layout is worked out the first time and kept."""
    import matplotlib

    buffer = io.BytesIO()
    metadata = {"CreationDate": None} if kind == "pdf" else None
    with matplotlib.rc_context({"text.parse_math": False}):  # for labels made while drawing
        layout = figure.get_layout_engine()
        if layout is not None:
            layout.execute(figure)
            figure.set_layout_engine(None)  # else each kind is laid out, and drawn, twice
        figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
    return buffer.getvalue()


def _take_texts_as_they_are(figure):
    """Read no text as mathematics: names of classes and layers are the user's and may hold dollars."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)


def panels(rows, columns, width, height, **options):
    """(figure, its axes [rows, columns]) of that size in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
        axis.set_axisbelow(True)
    return figure, axes


def headline(figure, text, size=10):
    """The figure's title, in as many lines as its width wants, evenly parted.

    It is the last thing that a figure is given: it also makes sure that no text is mathematics.
    """
    room = int(figure.get_figwidth() * 72 / (LETTER * size))
    figure.suptitle(
        "\n".join(part for line in text.split("\n") for part in _parted(line, room)), fontsize=size
    )
    _take_texts_as_they_are(figure)


def forget_title(axis, forgotten, letters=40, before=""):
    """A panel's title: what is forgotten, in at most so many letters."""
    text = f"{before}forget {shown(forgotten, letters)}"
    axis.set_title(text, loc="left", fontsize=10, fontweight="bold")


def log_scale(axis):
    """A logarithmic x axis with plain numbers; 2 and 5 are named too where it spans little."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    low, high = axis.get_xlim()
    if high < 20 * low:
        axis.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.xaxis.set_minor_formatter("{x:g}")
        axis.tick_params(which="minor", labelsize=9)


def _parted(line, room):
    """The line in as few parts as `room` letters allow, the longest as short as can be."""
    fewest = len(textwrap.wrap(line, room))
    return next(
        parts for width in range(1, room + 1) if len(parts := textwrap.wrap(line, width)) == fewest
    )


def legend(figure, axes, order=(), ncols=1):
    """One legend of what any panel shows, once each, below the panels in `ncols` columns or fewer."""
    handles = {
        handle.get_label(): handle
        for axis in axes.flat
        for handle in axis.get_legend_handles_labels()[0]
    }
    names = [label for label in order if label in handles] or list(handles)
    texts = [shown(name, 40) for name in names]
    ncols = legend_columns(texts, figure.get_figwidth(), ncols)
    shown_handles = [handles[name] for name in names]
    where = "outside lower center"
    figure.legend(shown_handles, texts, loc=where, ncols=ncols, fontsize=9, frameon=False)


def widest(texts, size, most):
    """The width in inches of the longest of these texts, cut to so many letters, at a font size."""
    return min(max(map(len, texts), default=1), most) * LETTER * size / 72


def legend_columns(texts, width, most):
    """How many columns of these texts a legend has room for in that width, inches; 1 to `most`."""
    column = 0.7 + widest(texts, 9, 40)  # a line with its mark, then the text
    return max(1, min(most, int(width / column)))


def legend_height(texts, width, most):
    """The height of such a legend, inches."""
    return 0.2 * math.ceil(len(texts) / legend_columns(texts, width, most))


# ---- what fits into a figure of the largest size ----


def room_for(size, margin):
    """How many panels or rows of that size, inches, a figure has room for; at least one."""
    return max(1, int((LARGEST - margin) / size))


def fitted(sections, most_rows, most_sections):
    """({forgotten: rows} that are drawn, a sentence on what is not; empty where all is drawn).

    Of the rows retrain and baseline come first, then what lies nearest to retrain on average; of
    the sections the first ones.
    """
    labels = set(nearest(sections, most_rows))
    drawn = {}
    for forgotten, rows in sections.items():
        some = [row for row in rows if row.label in labels]
        if some and len(drawn) < most_sections:
            drawn[forgotten] = some
    every = len(labels_of(sections))
    return drawn, left_out(len(labels), every, NEAREST, len(drawn), len(sections))


def labels_of(sections):
    """The labels of the rows of all sections, once each."""
    return list(dict.fromkeys(row.label for rows in sections.values() for row in rows))


def nearest(sections, most):
    """The labels of at most so many rows: retrain, baseline, then the nearest to retrain on average."""
    distances, fixed = {}, set()
    for rows in sections.values():
        for row in rows:
            of_label = distances.setdefault(row.label, [])
            if row.distance is not None:
                of_label.append(row.distance)
            if row.method in FIXED:
                fixed.add(row.label)

    def place(label):
        values = distances[label]
        return label not in fixed, statistics.fmean(values) if values else math.inf

    return sorted(distances, key=place)[:most]


def left_out(rows, all_rows, what, sections, all_sections):
    """What a figure has no room for, as a sentence; empty where it has room for all."""
    parts = []
    if rows < all_rows:
        parts.append(f"{rows} of {all_rows} {what}")
    if sections < all_sections:
        parts.append(f"the first {sections} of {all_sections} forget sets")
    return f"Drawn: {'; '.join(parts)} (the tables have all)" if parts else ""


def looks_of(sections):
    """{label: (colour, marker)} of the rows, the same for one label in every section."""
    labels = list(
        dict.fromkeys(
            row.label for rows in sections.values() for row in rows if row.method not in FIXED
        )
    )
    looks = {
        label: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
        for i, label in enumerate(labels)
    }
    return {
        **{
            row.label: FIXED[row.method]
            for rows in sections.values()
            for row in rows
            if row.method in FIXED
        },
        **looks,
    }
