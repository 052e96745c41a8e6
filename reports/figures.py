"""The figures of a report: which there are, and how their files are called.

comparisons.py draws the methods next to each other, scatter.py D_f against D_r, curves.py what was
varied, classes.py every class, forgotten_images.py what was forgotten, suitability.py what the
importances said beforehand.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from common.console import progress
from common.files import sha256, write_whole
from learning.recipes import PUBLISHED
from reports import lookup
from reports.averages import labels_of, over_alphas
from reports.classes import class_accuracies, confusion
from reports.comparisons import entropy, layers, scores
from reports.curves import alphas, healing
from reports.forgotten_images import grid
from reports.frame import Setup
from reports.scatter import overview, trade_off
from reports.style import caption_of, saved
from reports.suitability import suitability
from reports.summary import Sections, Summaries

FEW_ALPHAS = 12  # rows over alpha that are drawn next to the other methods too


@dataclass(frozen=True)
class Drawing:
    """A figure, the title of the chapter that it belongs to, its file's name without the ending."""

    chapter: str
    name: str
    figure: Figure


def drawings(summaries: Summaries, outputs: dict[str, Path]) -> Iterator[Drawing]:
    """Every figure of a report, drawn one at a time.

    outputs: {name of a file of outputs: its path}, for the figures of forgotten images.
    """
    for setup, sections in summaries.items():
        words = [setup.task, file_word(setup.net), file_word(setup.dataset), setup.protocol]
        if setup.recipe != PUBLISHED:
            words.append(file_word(setup.recipe))
        if setup.validation:
            words.append("validation")
        if len(_folders_of(setup, summaries)) > 1:
            words.append(file_word(setup.folder))
        for name, figure in figures(setup, sections).items():
            yield Drawing(setup.title, f"report-{'-'.join(words)}-{name}", figure)
        for name, figure in _image_grids(setup, sections, outputs).items():
            yield Drawing(setup.title, f"report-{'-'.join(words)}-{name}", figure)


def _image_grids(setup, sections, outputs):
    """{name: figure} of the forgotten images of each forget set of which some are kept."""
    task = lookup.task(setup.task)
    if task.heals or not outputs:
        return {}
    drawn = {}
    for forgotten, rows in sections.items():
        ran = [row for row in rows if row.runs]
        figure = grid(forgotten + task.share_of, ran, outputs)
        if figure is not None:
            drawn[f"images-{file_word(forgotten)}"] = figure
    return drawn


def _folders_of(setup, setups):
    """The folders of images of the setups that are the same otherwise."""
    return {other.folder for other in setups if replace(other, folder=setup.folder) == setup}


@dataclass(frozen=True)
class Picture:
    """A figure that is drawn and written."""

    name: str  # of its files, without their ending
    caption: str
    svg: bytes


Pictures = dict[str, list[Picture]]  # {title of a chapter: its pictures}


def write_all(drawings: Iterable[Drawing], folder: Path) -> Pictures:
    """Write each figure into the folder as SVG and PDF."""
    pictures: Pictures = {}
    for drawing in progress(drawings, "drawing figures"):
        svg = saved(drawing.figure, "svg")
        write_whole(folder / f"{drawing.name}.svg", svg)
        write_whole(folder / f"{drawing.name}.pdf", saved(drawing.figure, "pdf"))
        picture = Picture(drawing.name, caption_of(drawing.figure), svg)
        pictures.setdefault(drawing.chapter, []).append(picture)
    return pictures


def file_word(name):
    """A name as a part of a file's name; another one for every name."""
    word = re.sub(r"[^\w-]", "_", name, flags=re.ASCII)[:40]
    if word == name:
        return word
    code = sha256(name.encode(errors="backslashreplace"))[:6]
    return f"{word}-{code}"


def figures(setup: Setup, sections: Sections) -> dict[str, Figure]:
    """{name: figure} of one setup, as far as its records hold what they show."""
    task = lookup.task(setup.task)
    share_of = " of the images" if task.share_of else ""
    run_sections = {}
    for forgotten, rows in sections.items():
        run_sections[forgotten + share_of] = [row for row in rows if row.runs]
    if task.heals:
        return {"healing": healing(run_sections)}
    curves = over_alphas(run_sections)
    others, note = _without_curves(run_sections, curves)
    drawn: dict[str, Figure | None] = {}
    if curves:
        drawn["alpha"] = alphas(run_sections, curves)
    if all(others.values()):
        drawn["scores"] = scores(others, note)
        drawn["trade-off"] = trade_off(others, note)
        if task.averaged and len(others) > 1:
            drawn["overview"] = overview(others, note)
        drawn["classes"] = class_accuracies(others, note)
        if task.forgets_class:
            drawn["confusion"] = confusion(others, note)
        drawn["entropy"] = entropy(others, note)
        drawn["layers"] = layers(others, note)
    drawn["suitability"] = suitability(run_sections)
    return {name: figure for name, figure in drawn.items() if figure}


def _without_curves(sections, curves):
    """(the sections without the rows of the curves, a sentence on that); a few rows stay."""
    labels = set()
    for curve in curves:
        labels.update(labels_of(curve.sections))
    if len(labels) <= FEW_ALPHAS:
        return sections, ""
    others = {}
    for forgotten, rows in sections.items():
        others[forgotten] = [row for row in rows if row.label not in labels]
    methods = ", ".join(dict.fromkeys(curve.method for curve in curves))
    return others, f"{methods}: {len(labels)} rows are drawn in the figure over alpha."
