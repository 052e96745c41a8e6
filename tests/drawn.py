"""What a matplotlib figure shows: for the tests of figures."""

from matplotlib.text import Text

PAGE = (7.0, 9.5)  # inches: the text of a printed page


def fits_a_page(figure):
    """Whether a figure can be printed with letters of the size that they have."""
    width, height = figure.get_size_inches()
    return width <= PAGE[0] and height <= PAGE[1]


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
