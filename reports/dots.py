"""The plot of a page: D_f against D_r, drawn by the browser, each dot with what to say of it."""

from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from reports import lookup
from reports.room import fitted
from reports.scatter import Point, lowest_shown, point_of
from reports.summary import Row
from reports.texts import shown
from runs.records import short

WIDTH, HEIGHT = 380, 300  # of the plot, in pixels of a narrow screen
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 44  # margins
MOST_DOTS = 60


@dataclass(frozen=True)
class Dot:
    """A method in the plot."""

    label: str
    kind: str  # goal, original, ssd or rival: how it is drawn
    x: float  # pixels
    y: float
    about: str  # its scores
    command: str  # that makes one of its runs; empty where the record holds none


@dataclass(frozen=True)
class Plot:
    """The dots of one forget set, and the ticks of the axes as (pixel, text)."""

    dots: list[Dot]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    off_scale: bool  # whether a dot lies on the left edge, since its D_r is lower
    not_drawn: str  # the sentence on what is omitted; empty where nothing is


def plot(rows: list[Row]) -> Plot | None:
    """The plot of the rows of one forget set; None where there are none with runs."""
    ran = [row for row in rows if row.runs]
    if not ran:
        return None
    drawn, not_drawn = fitted({"": ran}, MOST_DOTS, 1)
    drawn = drawn[""]
    points = [point_of(row) for row in drawn]
    lowest = lowest_shown(points)
    x_ends = lowest - 2, max(point.d_r for point in points) + 2
    y_ends = min(point.d_f for point in points) - 4, max(point.d_f for point in points) + 4
    dots = []
    for row, point in zip(drawn, points, strict=True):
        d_r = max(point.d_r, lowest - 1.5)
        x = _scaled(d_r, x_ends, LEFT, WIDTH - RIGHT)
        y = _scaled(point.d_f, y_ends, HEIGHT - BOTTOM, TOP)
        about, command = _about(row, point), row.runs[0].get("command", "")
        dots.append(Dot(shown(row.label), _kind(row.method), x, y, about, shown(command, 2000)))
    # The last ones lie on top. Below them the target's ring is still seen.
    dots.sort(key=lambda dot: ("original", "goal", "rival", "ssd").index(dot.kind))
    return Plot(
        dots,
        _ticks(x_ends, LEFT, WIDTH - RIGHT),
        _ticks(y_ends, HEIGHT - BOTTOM, TOP),
        any(point.d_r < lowest for point in points),
        not_drawn,
    )


def _scaled(value, ends, first, last):
    """Where a value between two ends lies between two pixels."""
    share = (value - ends[0]) / (ends[1] - ends[0])
    return round(first + share * (last - first), 1)


def _ticks(ends, first, last):
    ticks = []
    for value in MaxNLocator(6).tick_values(*ends):
        if ends[0] <= value <= ends[1]:
            ticks.append((_scaled(value, ends, first, last), f"{value:g}"))
    return ticks


def _kind(method):
    entry = lookup.method(method)
    if entry.is_goal:
        return "goal"
    if entry.is_original:
        return "original"
    return "ssd" if entry.family == "ssd" else "rival"


def _about(row: Row, point: Point) -> str:
    """The scores of a row, in one line."""
    parts = [f"D_r {point.d_r:.1f} %", f"D_f {point.d_f:.1f} %"]
    parts.append(f"MIA {row.values['MIA %'].mean:.1f} %")
    if not lookup.method(row.method).is_original:
        parts.append(f"{short(row.values['seconds'].mean)} s")
    if row.distance is not None and not lookup.method(row.method).is_goal:
        parts.append(f"{row.distance:.1f} points from retrain")
    return ", ".join(parts)
