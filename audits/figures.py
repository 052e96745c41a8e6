"""The audits' results as figures: every method between its null and the originals."""

import re
from collections.abc import Iterator

from matplotlib.figure import Figure

from audits import AUDITS
from audits.results import Refusal, Result
from reports.figures import Drawing
from reports.style import GRID, headline, look_by_family, panel_title, panels
from reports.texts import shown

COLUMNS = 3  # panels in a row
BETTER = {"low": "lower is better", "high": "higher is better", "near": "as retrain is best"}
BAND, CEILING = "#cccccc", "#888888"


def drawings(results: list[Result]) -> Iterator[Drawing]:
    """A figure for each forget set."""
    by_pool: dict = {}
    for result in results:
        by_pool.setdefault(id(result.pool), []).append(result)
    for of_pool in by_pool.values():
        pool = of_pool[0].pool
        setup = pool.setup
        words = ["audit", setup.task, setup.net, setup.dataset, setup.protocol, setup.recipe]
        words += [pool.forget, str(pool.number)]
        name = "-".join(re.sub(r"[^\w.]", "_", word, flags=re.ASCII)[:40] for word in words)
        figure = overview(of_pool)
        if figure is not None:
            yield Drawing(f"Audit. {setup.title}", name, figure)


def overview(results: list[Result]) -> Figure | None:
    """A panel for the first number of each audit, a row in it for each method.

    Grey band: what held-out retrains get. Dashed: the originals. None where nothing was measured.
    """
    names = [name for name in AUDITS if any(_value(result, name) for result in results)]
    if not names:
        return None
    rows = -(-len(names) // COLUMNS)
    height = 0.27 * len(results) + 0.9
    figure, axes = panels(rows=rows, columns=COLUMNS, width=12, height=height * rows + 0.8)
    for axis, name in zip(axes.flat, names, strict=False):
        _draw(axis, results, name)
    for axis in list(axes.flat)[len(names) :]:
        axis.axis("off")
    for row_axes in axes:
        labels = [shown(result.label, 30) for result in results]
        row_axes[0].set_yticks(range(len(results)), labels, fontsize=9)
    pool = results[0].pool
    sides = sorted({result.side for result in results})
    networks = f"{sides[0]}" if len(sides) == 1 else f"{sides[0]} to {sides[-1]}"
    lines = [
        f"{pool.setup.title.removesuffix(' (protocol paper)')}. {pool.heading}",
        "Grey band: what held-out retrained networks get, the goal. Dashed: the originals.",
        f"Bar: the middle 95 % over random halves; {networks} networks a side. Blue: the SSD "
        "family.",
    ]
    headline(figure, lines)
    return figure


def _value(result, name):
    """The first number of an audit for a method; None where it was not measured."""
    columns = result.audits[name]
    return None if isinstance(columns, Refusal) else next(iter(columns.values()))


def _draw(axis, results, name):
    """One audit: the null, the originals, a dot with its interval for each method."""
    audit = AUDITS[name]
    column = next(iter(audit.columns))
    panel_title(axis, audit.title)
    axis.set_xlabel(f"{column} ({BETTER[audit.columns[column].better]})", fontsize=9)
    for height, result in enumerate(results):
        value = _value(result, name)
        if value is None:
            _write_not_measured(axis, height)
            continue
        _draw_null(axis, height, value)
        method = next(iter(result.pool.candidates[result.label].values()))["config"]["method"]
        axis.errorbar(
            value.value.mean,
            height,
            xerr=[[value.value.mean - value.value.low], [value.value.high - value.value.mean]],
            fmt="o",
            markersize=5,
            capsize=3,
            color=look_by_family(method).colour,
            zorder=3,
        )
    axis.set_yticks(range(len(results)), [""] * len(results))
    axis.set_ylim(len(results) - 0.5, -0.5)
    axis.grid(axis="x", color=GRID)


def _write_not_measured(axis, height):
    across = axis.get_yaxis_transform()  # x from 0 to 1 over the panel
    axis.text(0.5, height, "not measured", transform=across, fontsize=8, color=CEILING, ha="center")


def _draw_null(axis, height, value):
    """The floor's interval as a band and the ceiling as a dash, as high as one row."""
    floor = value.floor
    axis.fill_betweenx([height - 0.5, height + 0.5], floor.low, floor.high, color=BAND, lw=0)
    if floor.low == floor.high:
        axis.plot([floor.low] * 2, [height - 0.5, height + 0.5], color=BAND, linewidth=4)
    axis.plot([value.ceiling.mean] * 2, [height - 0.5, height + 0.5], color=CEILING, ls="--")
