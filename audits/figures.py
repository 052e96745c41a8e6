"""The audits' results as figures: every method between its null and the originals."""

import textwrap
from collections.abc import Iterator

from matplotlib.figure import Figure

from audits import AUDITS
from audits.results import Refusal, Result
from reports.figures import Drawing, file_word
from reports.room import PAGE_WIDTH
from reports.style import FAMILIES, look_by_family, panels, set_caption
from reports.texts import shown

COLUMNS = 4  # panels in a row
IMAGE_COLUMNS = 5
BETTER = {"low": "lower is better", "high": "higher is better", "near": "as retrain is best"}
BAND, CEILING = "#cccccc", "#888888"


def drawings(results: list[Result]) -> Iterator[Drawing]:
    """Two figures for each forget set: all audits, and U-LiRA's AUC of each image."""
    by_pool: dict = {}
    for result in results:
        by_pool.setdefault(id(result.pool), []).append(result)
    for of_pool in by_pool.values():
        name = _file_name(of_pool[0].pool)
        chapter = f"Audit. {of_pool[0].pool.setup.title}"
        figures = {"": overview(of_pool), "-images": images(of_pool)}
        for ending, figure in figures.items():
            if figure is not None:
                yield Drawing(chapter, f"{name}{ending}", figure)


def _file_name(pool):
    """The name of a pool's figures: another one for every pool."""
    setup = pool.setup
    words = ["audit", setup.task, setup.net, setup.dataset, setup.protocol, setup.recipe]
    words += ["validation"] if setup.validation else []
    words += [setup.folder, pool.forget, str(pool.number)]
    return "-".join(file_word(word) for word in words if word)


def overview(results: list[Result]) -> Figure | None:
    """A panel for the first number of each audit, a row in it for each method.

    Grey band: what held-out retrains get. Dashed: the originals. None where nothing was measured.
    """
    names = [name for name in AUDITS if _was_measured(results, name)]
    if not names:
        return None
    rows = -(-len(names) // COLUMNS)
    height = 0.15 * len(results) + 0.6
    figure, axes = panels(rows=rows, columns=COLUMNS, width=PAGE_WIDTH, height=height * rows)
    for axis, name in zip(axes.flat, names, strict=False):
        _draw(axis, results, name)
    for axis in list(axes.flat)[len(names) :]:
        axis.axis("off")
    for row_axes in axes:
        labels = [shown(result.label, 24) for result in results]
        row_axes[0].set_yticks(range(len(results)), labels)
    pool = results[0].pool
    sentences = [
        f"{pool.heading}.",
        "Grey band: what held-out retrained networks get, the goal. Dashed: the originals.",
        f"Bar: the middle 95 % over random halves; {_sides(results)} networks a side.",
        FAMILIES,
    ]
    set_caption(figure, sentences)
    return figure


def _was_measured(results, name):
    return any(_value(result, name) for result in results)


def images(results: list[Result]) -> Figure | None:
    """U-LiRA's AUC of every forgotten image, ascending: a panel for each method.

    None where it was not measured.
    """
    drawn = [result for result in results if "u_lira" in result.images]
    if not drawn:
        return None
    columns = min(IMAGE_COLUMNS, len(drawn))
    rows = -(-len(drawn) // columns)
    figure, axes = panels(
        rows=rows,
        columns=columns,
        width=1.4 * columns,
        height=1.2 * rows + 0.3,
        sharex=True,
        sharey=True,
    )
    for axis, result in zip(axes.flat, drawn, strict=False):
        _draw_images(axis, result)
    for axis in list(axes.flat)[len(drawn) :]:
        axis.axis("off")
    for row_axes in axes:
        row_axes[0].set_ylabel("AUC")
    for axis in axes[-1]:
        axis.set_xlabel("share of images (%)")
    sentences = [
        f"{drawn[0].pool.heading}.",
        "U-LiRA's AUC of every forgotten image, ascending; the mean over random halves.",
        f"Grey: held-out retrains, the goal. Dashed: the originals. {_sides(drawn)} networks a "
        "side.",
    ]
    set_caption(figure, sentences)
    return figure


def _draw_images(axis, result):
    of_method, of_retrain, of_original = result.images["u_lira"]
    share = [100 * (place + 0.5) / len(of_method) for place in range(len(of_method))]
    axis.plot(share, of_retrain, color=BAND, linewidth=4)
    axis.plot(share, of_original, color=CEILING, linestyle="--", linewidth=1)
    axis.plot(share, of_method, color=_look_of(result).colour, linewidth=1.6)
    axis.set_ylim(0, 1.03)
    axis.grid()
    axis.set_title(shown(result.label, 15))


def _look_of(result):
    record = next(iter(result.pool.candidates[result.label].values()))
    return look_by_family(record["config"]["method"])


def _sides(results):
    """How many networks a side the results have, in words."""
    sides = sorted({result.side for result in results})
    return f"{sides[0]}" if len(sides) == 1 else f"{sides[0]} to {sides[-1]}"


def _value(result, name):
    """The first number of an audit for a method; None where it was not measured."""
    columns = result.audits[name]
    return None if isinstance(columns, Refusal) else next(iter(columns.values()))


def _draw(axis, results, name):
    """One audit: the null, the originals, a dot with its interval for each method."""
    audit = AUDITS[name]
    column = next(iter(audit.columns))
    axis.set_title(textwrap.fill(audit.title, 18))
    axis.set_xlabel(f"{column}\n({BETTER[audit.columns[column].better]})")
    for height, result in enumerate(results):
        value = _value(result, name)
        if value is None:
            _write_not_measured(axis, height)
            continue
        _draw_null(axis, height, value)
        mean = value.value.mean  # of skewed halves it may lie beyond an end of the interval
        axis.errorbar(
            mean,
            height,
            xerr=[[max(0, mean - value.value.low)], [max(0, value.value.high - mean)]],
            fmt=_look_of(result).marker,
            capsize=2,
            elinewidth=0.8,
            color=_look_of(result).colour,
            zorder=3,
        )
    axis.set_yticks(range(len(results)), [""] * len(results))
    axis.set_ylim(len(results) - 0.5, -0.5)
    axis.grid(axis="x")


def _write_not_measured(axis, height):
    across = axis.get_yaxis_transform()  # x from 0 to 1 over the panel
    axis.text(0.5, height, "not measured", transform=across, color=CEILING, ha="center")


def _draw_null(axis, height, value):
    """The floor's interval as a band and the ceiling as a dash, as high as one row."""
    floor = value.floor
    axis.fill_betweenx([height - 0.5, height + 0.5], floor.low, floor.high, color=BAND, lw=0)
    if floor.low == floor.high:
        axis.plot([floor.low] * 2, [height - 0.5, height + 0.5], color=BAND, linewidth=4)
    axis.plot([value.ceiling.mean] * 2, [height - 0.5, height + 0.5], color=CEILING, ls="--")
