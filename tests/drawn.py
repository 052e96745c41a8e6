"""What a matplotlib figure shows: for the tests of figures."""

from matplotlib.text import Text

from reports.style import DOTS_PER_INCH

LARGEST = 3000  # pixels, of a figure's width and of its height


def size_of(figure):
    """The larger one of a figure's width and height, in pixels."""
    return max(figure.get_size_inches()) * DOTS_PER_INCH


def headline_of(figure):
    """The figure's title as one line."""
    return " ".join(figure.get_suptitle().split())


def texts_of(figure):
    """Every text of a figure, none of which is read as mathematics."""
    texts = figure.findobj(Text)
    assert not any(text.get_parse_math() for text in texts)
    return {text.get_text() for text in texts}


def points_of(axis):
    """{label: [x, y] of each point} of the points and lines with error bars in a panel."""
    return {bars.get_label(): bars.lines[0].get_xydata().tolist() for bars in axis.containers}


def lines_of(axis):
    """{label: [x, y] of each point} of the plain lines of a panel."""
    return {line.get_label(): line.get_xydata().tolist() for line in axis.get_lines()}
