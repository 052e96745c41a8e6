"""A report as one HTML page that needs no other file and no network.

It opens with the answer, then shows tables and plots. page.js lets a reader sort, filter, and
choose a class; without it every table and plot is there, one below the other.
"""

import base64
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
from markupsafe import Markup

from common.errors import UserError
from common.files import check_writable
from methods import GOAL
from reports.answer import Answer, answer
from reports.dots import HEIGHT, WIDTH, Plot, plot
from reports.figures import Picture, Pictures
from reports.legend import LEGEND
from reports.summary import Summaries
from reports.tables import Chapter

FOLDER = Path(__file__).parent
START = b"<!doctype html>"


@dataclass(frozen=True)
class View:
    """A chapter as a page shows it."""

    chapter: Chapter
    pictures: list[Picture] = field(default_factory=list)
    answer: Answer | None = None
    plots: dict[str, Plot] = field(default_factory=dict)  # {heading of a section: its plot}


def views(
    chapters: list[Chapter], pictures: Pictures, summaries: Summaries | None = None
) -> list[View]:
    """A view of each chapter.

    summaries: those of the first chapters, in their order, which then get an answer and plots.
    """
    answers, plots = _of_summaries(summaries or {})
    made = []
    for number, chapter in enumerate(chapters):
        of_chapter = pictures.get(chapter.title, [])
        if number < len(answers):
            headings = [section.heading for section in chapter.sections]
            by_heading = dict(zip(headings, plots[number], strict=False))
            made.append(View(chapter, of_chapter, answers[number], by_heading))
        else:
            made.append(View(chapter, of_chapter))
    return made


def _of_summaries(summaries):
    """(the answer of each setup, the plots of each setup: one for each forget set)."""
    answers, plots = [], []
    for setup, sections in summaries.items():
        answers.append(answer(setup, sections))
        plots.append([plot(rows) for rows in sections.values()])
    return answers, plots


def page(views: list[View], legend: dict[str, str] = LEGEND) -> str:
    """The page. legend: {term: meaning}."""
    loader = jinja2.FileSystemLoader(FOLDER)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    template = environment.get_template("page.html.j2")
    return template.render(
        views=views,
        legend=legend,
        goal=GOAL,
        width=WIDTH,
        height=HEIGHT,
        style=Markup((FOLDER / "page.css").read_text()),
        script=Markup((FOLDER / "page.js").read_text()),
    )


def check_page(path):
    """UserError where the page cannot be written, or would replace a file that is no page."""
    path = Path(path)
    is_page = path.is_file() and path.read_bytes().startswith(START)
    if path.exists() and not is_page:
        raise UserError(f"--html {path} is there and no page; name another file")
    check_writable(path.parent)
