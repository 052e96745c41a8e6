"""Odd names of classes, folders and devices are shown as they are: they break nothing."""

import csv
import io
import re

import pytest
from drawn import texts_of
from handmade import record

import report
from reports import formats, tables
from reports.figures import figures
from reports.page import page, views
from reports.summary import summarise
from runs import records

ODD_NAMES = [
    "$x_$",
    "a|b",
    "new\nline\r\ttab",
    "<b>&amp;</b>",
    "*x* _y_ `z` [l](u)",
    "\\frac{1}{2} 100% #1 ~^",
    "long " * 200,
    "\udce9",
    "  ",
    "$",
    "$$\\undefined$",
    "日本",
    "\x07bell",
]


def named(method, name, alpha=None):
    """A record in which all that a user can name has that name."""
    entry = record(
        method,
        0,
        80,
        5,
        5,
        alpha=alpha,
        forget=name,
        selected=0.1,
        dataset="Folder",
        data="data/$x_$",
        hyperparameters={"kind": name},
    )
    entry.update(
        device=name,
        command=f"python x.py -data '{name}'",
        selected_by_name={name: 0.1, "$w_$": 0.2},
        forgotten_before=[{"forget": name}],
    )
    return entry


@pytest.fixture(scope="module")
def summaries():
    runs = []
    for name in ODD_NAMES:
        runs += [named("retrain", name), named("ssd", name)]
    return summarise(runs)


@pytest.fixture(scope="module")
def chapters(summaries):
    return tables.chapters(summaries)


def test_every_line_of_a_markdown_table_has_the_cells_of_its_head(chapters):
    for block in re.findall(r"(?:^\|.*\n)+", formats.markdown(chapters), re.M):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1, block


def test_markdown_headings(chapters):
    text = formats.markdown(chapters)
    assert "\n### Forgotten: \\$x\\_\\$\n" in text
    assert "### Forgotten: a\\|b" in text
    assert "\n### Forgotten: new line tab\n" in text


def test_the_page_shows_tags_as_text(chapters):
    text = page(views(chapters, {}))
    assert "<h3>Forgotten: &lt;b&gt;&amp;amp;&lt;/b&gt;</h3>" in text
    assert "<b>" not in text


def test_a_byte_that_is_no_text_is_shown_as_its_number(chapters):
    assert "Forgotten: \\udce9" in page(views(chapters, {}))


def test_latex_captions(chapters):
    latex = formats.latex(chapters)
    assert "Forgotten: \\$x\\_\\$}" in latex
    assert "\\textbackslash{}frac\\{1\\}\\{2\\} 100\\% \\#1" in latex
    captions = [line for line in latex.splitlines() if line.startswith("\\caption")]
    assert max(map(len, captions)) < 300


def test_csv_keeps_the_names(summaries):
    rows = csv.DictReader(io.StringIO(formats.csv(summaries), newline=""))
    assert {row["forget"] for row in rows} == set(ODD_NAMES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records with odd names: a sweep over alpha, two rows of one method, and corrupted data."""
    folder = tmp_path_factory.mktemp("odd")
    alphas = [("retrain", None), ("assd", None)]
    alphas += [("ssd", alpha) for alpha in (1.0, 2.0, 4.0, 8.0)]
    for number, name in enumerate(("$x_$", " ".join(ODD_NAMES))):
        for method, alpha in alphas:
            records.write(folder / f"{number}-{method}-{alpha}.json", named(method, name, alpha))
        for kind in ("$k_$", name):
            entry = named("jit", name)
            entry["config"]["hyperparameters"] = {"kind": kind, "lr": 1}
            records.write(folder / f"{number}-jit-{len(kind)}.json", entry)
    entry = record(
        "ssd",
        0,
        80,
        5,
        5,
        task="corrupted",
        forget="5 é known $x_$",
        corruption="é",
        corrupt_count=5,
        known_share=0.5,
        dataset="Folder",
        data="$x_$",
    )
    records.write(folder / "corrupted.json", entry)
    return folder


@pytest.mark.filterwarnings("ignore:Glyph")  # the font has no Japanese; a box is drawn
def test_no_text_of_a_figure_is_read_as_mathematics(folder):
    setup, sections = next(iter(summarise(records.read_all(folder)).items()))
    texts = {name: texts_of(figure) for name, figure in figures(setup, sections).items()}
    for name in ("scores", "trade-off", "entropy", "layers"):
        assert "forget $x_$" in texts[name], name
    assert "ssd: forget $x_$" in texts["alpha"]
    assert "$w_$" in texts["layers"]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_command_goes_on_to_its_page(folder, tmp_path):
    report.main([str(folder), "--html", str(tmp_path / "page.html")])
    # Without an overview: there are no means over classes whose runs differ.
    assert (tmp_path / "page.html").read_text().count("<img") == 6
