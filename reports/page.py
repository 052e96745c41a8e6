"""A report as one HTML page that needs no other file: tables, and the figures in it."""

import base64
from pathlib import Path

import jinja2

from common.errors import UserError
from common.files import check_writable
from methods import GOAL
from reports.legend import LEGEND
from reports.tables import Chapter

TEMPLATE = Path(__file__).with_name("page.html.j2")
START = b"<!doctype html>"


def page(
    chapters: list[Chapter],
    pictures: dict[str, list[bytes]],
    legend: dict[str, str] = LEGEND,
) -> str:
    """The page.

    pictures: the PNG files of the figures, for each chapter's title. legend: {term: meaning}.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    template = environment.from_string(TEMPLATE.read_text())
    return template.render(chapters=chapters, pictures=pictures, legend=legend, goal=GOAL)


def check_page(path):
    """UserError where the page cannot be written, or would replace a file that is no page."""
    path = Path(path)
    is_page = path.is_file() and path.read_bytes().startswith(START)
    if path.exists() and not is_page:
        raise UserError(f"--html {path} is there and no page; name another file")
    check_writable(path.parent)
