"""The page: whole, self-contained, and nothing else is replaced by it."""

import html.parser

import pytest
from handmade import FEW_RECORDS, cells_of, markdown_of, record

from common.errors import UserError
from reports import tables
from reports.figures import Picture
from reports.page import check_page, page, views
from reports.summary import summarise


class Tags(html.parser.HTMLParser):
    """Counts of the tags of a page."""

    def __init__(self, text):
        super().__init__()
        self.opened, self.closed, self.pictures = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.opened.append(tag)
        if tag == "img":
            self.pictures.append(dict(attributes)["src"])

    def handle_endtag(self, tag):
        self.closed.append(tag)


def page_of(records, pictures=None):
    return page(views(tables.chapters(summarise(records)), pictures or {}))


def test_every_tag_is_closed():
    tags = Tags(page_of(FEW_RECORDS))
    for tag in ("table", "thead", "tbody", "tr", "td", "th", "h2", "h3", "p", "div", "dl", "body"):
        assert tags.opened.count(tag) == tags.closed.count(tag) > 0, tag


def test_the_page_has_every_cell_of_the_tables():
    rows = [row for row in cells_of(markdown_of(FEW_RECORDS)) if not row[0].startswith("---")]
    cells = [row for row in rows if row[0] != "method"]
    heads = [row for row in rows if row[0] == "method"]
    tags = Tags(page_of(FEW_RECORDS))
    assert tags.opened.count("td") == sum(map(len, cells))
    assert tags.opened.count("th") == sum(map(len, heads))


def test_figures_are_in_the_page_itself():
    chapters = tables.chapters(summarise(FEW_RECORDS))
    one, two, three = [Picture(name, f"{name}.", name.encode()) for name in ("one", "two", "three")]
    pictures = {chapters[0].title: [one, two], chapters[1].title: [three]}
    text = page_of(FEW_RECORDS, pictures)
    assert Tags(text).pictures == [
        "data:image/svg+xml;base64,b25l",
        "data:image/svg+xml;base64,dHdv",
        "data:image/svg+xml;base64,dGhyZWU=",
    ]
    assert "http" not in text
    assert "three. <span" in text


def test_the_goal_and_the_verdicts_stand_out():
    told = {**record("jit", 0, 95, 50, 90), "unchanged": ["D_f"]}
    text = page_of([told, record("retrain", 0, 90, 0, 5)])
    assert '<tr class="goal"><td>retrain</td>' in text
    assert '<td class="verdict">UNCHANGED</td>' in text
    assert "td.verdict { color" in text


def test_the_command_is_in_the_page():
    run = {**record("ssd", 0, 1, 1, 1), "command": "python forget_x_main.py -net Net"}
    assert "<code>python forget_x_main.py -net Net</code>" in page_of([run])


def test_folders_of_long_alike_names_have_chapters_of_their_own():
    runs = []
    for letter in "XY":
        folder = f"/d/{'a' * 50}{letter}{'b' * 40}"
        runs.append(record("ssd", 0, 90, 0, 5, dataset="Folder", data=folder))
    titles = [chapter.title for chapter in tables.chapters(summarise(runs))]
    assert len(set(titles)) == 2


def test_a_retrain_with_settings_is_the_goal_too():
    runs = [record("retrain", 0, 90, 0, 5, set={"lr": 0.1}), record("ssd", 0, 90, 0, 5)]
    assert page_of(runs).count('<tr class="goal">') == 1


# ---- where it is written ----


def test_a_page_replaces_a_page(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page_of(FEW_RECORDS))
    check_page(path)


def test_a_page_replaces_no_other_file(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("{}")
    for target in (path, tmp_path, ""):
        with pytest.raises(UserError, match="no page"):
            check_page(target)
