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
from reports import dots, lookup
from reports.answer import WITHIN, Answer, answer
from reports.dots import Plot, plot
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
    plots: list[Plot | None] = field(default_factory=list)  # of its first sections


def views(
    chapters: list[Chapter], pictures: Pictures, summaries: Summaries | None = None
) -> list[View]:
    """A view of each chapter.

    summaries: where they are given, the chapters of their setups have an answer and plots.
    """
    setups = {setup.title: setup for setup in summaries or {}}
    made = []
    for chapter in chapters:
        of_chapter = pictures.get(chapter.title, [])
        setup = setups.get(chapter.title)
        if summaries is None or setup is None:
            made.append(View(chapter, of_chapter))
            continue
        sections = summaries[setup]
        plots: list[Plot | None] = []
        if not lookup.task(setup.task).heals:  # D_f is then no accuracy on what is forgotten
            plots = [plot(rows) for rows in sections.values()]
        made.append(View(chapter, of_chapter, answer(setup, sections), plots))
    return made


def page(
    views: list[View], legend: dict[str, str] = LEGEND, title: str = "Unlearning report"
) -> str:
    """The page. legend: {term: meaning}."""
    loader = jinja2.FileSystemLoader(FOLDER)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    template = environment.get_template("page.html.j2")
    return template.render(
        title=title,
        views=views,
        legend=legend,
        goal=GOAL,
        within=WITHIN,
        area=dots,
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
