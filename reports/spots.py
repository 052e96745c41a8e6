"""Where in a panel a text stands next to its point, so that little lies over anything."""

import math

from reports.room import FONT, LETTER

# How far from its point a text may stand, in points (1/72 inch), and in which direction, degrees.
DISTANCES = (5, 9, 14, 20, 27, 35)
DIRECTIONS = (0, 180, 90, 270, 45, 315, 135, 225, 22, 158, 202, 338, 67, 113)
MARK = 4  # points: half the side of a square around a point that texts keep free
LINE_FROM = 14  # a text as far away or farther has a line to its point

Box = tuple[float, float, float, float]  # left, bottom, right, top


def write_next_to(axis, places: list, texts: list[str], colours: list[str]):
    """Write each text next to its point, with a thin line where it must stand farther away.

    places: (x, y) of the points, in data; the limits of the axes are final.
    """
    points = _in_points(axis, places)
    panel = (0.0, 0.0, *_size(axis))
    marks = [(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in points]
    taken: list[Box] = []
    for number, text in enumerate(texts):
        others = [*marks[:number], *marks[number + 1 :], *taken]
        distance, offset, box = _best(points[number], text, others, panel)
        taken.append(box)
        line = {"arrowstyle": "-", "linewidth": 0.4, "color": colours[number], "shrinkA": 0}
        axis.annotate(
            text,
            places[number],
            xytext=offset,
            textcoords="offset points",
            color=colours[number],
            ha="center",
            va="center",
            arrowprops=line if distance >= LINE_FROM else None,
        )


def _size(axis):
    """(width, height) of a panel in points, as far as it is known before its layout."""
    figure = axis.figure
    rows, columns = axis.get_gridspec().get_geometry()
    return 72 * figure.get_figwidth() / columns * 0.8, 72 * figure.get_figheight() / rows * 0.75


def _in_points(axis, places):
    """The places in points from the panel's lower left corner."""
    width, height = _size(axis)
    shares = axis.transLimits.transform(places)
    return [(x * width, y * height) for x, y in shares.tolist()]


def _best(point, text, others, panel):
    """(distance, offset of a text's middle from its point, its box): the nearest that is free.

    Where none is, the one that lies over the fewest others. To lie outside the panel counts as two.
    """
    best = None
    for distance in DISTANCES:
        for direction in DIRECTIONS:
            offset, box = _candidate(point, text, distance, math.radians(direction))
            hidden = sum(_meet(box, other) for other in others)
            if not _lies_in(box, panel):
                hidden += 2
            if best is None or hidden < best[0]:
                best = (hidden, distance, offset, box)
            if hidden == 0:
                return best[1:]
    return best[1:]


def _candidate(point, text, distance, direction):
    """(offset of the text's middle, its box) where its edge is so far away in that direction."""
    half_width, half_height = _half(text)
    x = math.cos(direction) * (distance + half_width)
    y = math.sin(direction) * (distance + half_height)
    left, bottom = point[0] + x - half_width, point[1] + y - half_height
    return (x, y), (left, bottom, left + 2 * half_width, bottom + 2 * half_height)


def _half(text):
    """Half the width and half the height of a text, in points."""
    return LETTER * FONT * len(text) / 2, FONT / 2


def _meet(box, other):
    """Whether two boxes share an area."""
    is_beside = box[2] <= other[0] or other[2] <= box[0]
    is_above = box[3] <= other[1] or other[3] <= box[1]
    return not (is_beside or is_above)


def _lies_in(box, panel):
    return box[0] >= panel[0] and box[1] >= panel[1] and box[2] <= panel[2] and box[3] <= panel[3]
