"""report.py as a user runs it."""

import csv
import os
import re
import subprocess
import sys

import pytest
from handmade import FEW_RECORDS, record
from helpers import ROOT, call

import report
from common.errors import UserError
from runs import records


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    for number, entry in enumerate(FEW_RECORDS):
        records.write(folder / entry["task"] / f"{9 - number}.json", entry)
    return folder


def test_tables_figures_and_page_are_written(results, tmp_path):
    done = call("report.py", results, "--html", tmp_path / "page.html", cwd=results)
    assert done.returncode == 0, done.stderr
    wanted = {"report.csv", "report.md", "report.tex"}
    for task in ("full_class", "random"):
        for name in ("entropy", "layers", "scores", "trade-off"):
            for kind in ("pdf", "svg"):
                wanted.add(f"report-{task}-Net-Set-paper-{name}.{kind}")
    wanted -= {f"report-random-Net-Set-paper-layers.{kind}" for kind in ("pdf", "svg")}
    assert {path.name for path in results.glob("report*")} == wanted
    text = (results / "report.md").read_text()
    tables_only, figures = text.split("\n## Figures\n")
    assert tables_only.strip() in done.stdout
    assert figures.count("![") == (results / "report.tex").read_text().count(".pdf}") == 7
    for path in results.glob("*.svg"):
        assert f"({path.name})" in figures
    assert (tmp_path / "page.html").read_text().count("<img") == 7
    with open(results / "report.csv") as file:
        assert len(list(csv.DictReader(file))) == 6


def test_brief_prints_one_table_for_each_setup(results, capsys):
    report.main([str(results), "--brief"])
    printed = capsys.readouterr().out
    assert printed.count("| method ") == 2
    assert "| method " in (results / "report.md").read_text()
    assert printed.splitlines()[-1].startswith(f"tables: {results}/report.md")
    assert len(printed.splitlines()) < 30


def test_a_record_is_never_replaced_by_a_page(results):
    path = next(results.rglob("*.json"))
    before = path.read_bytes()
    with pytest.raises(UserError, match="no page"):
        report.main([str(results), "--html", str(path)])
    assert path.read_bytes() == before


@pytest.fixture
def few_results(tmp_path):
    """Records of one row."""
    folder = tmp_path / "few"
    for seed, d_r in ((0, 94), (1, 95)):
        records.write(folder / f"{seed}.json", record("jit", seed, d_r, 0, 26))
    return folder


def test_a_terminal_without_our_signs_gets_the_page(few_results, tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    page = tmp_path / "page.html"
    done = call("report.py", few_results, "--html", page, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "94.50 ± 0.71" in page.read_text()
    assert re.search(r"94\.50 \S+ 0\.71", done.stdout)


def test_the_page_is_written_before_anything_is_printed(few_results, tmp_path):
    """A reader that has left loses nothing that was to be kept."""
    page = tmp_path / "page.html"
    command = [sys.executable, str(ROOT / "report.py"), str(few_results), "--html", str(page)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment)
    assert done.returncode == 2
    assert page.exists()


@pytest.mark.parametrize(
    "flags",
    [
        ("--html", "page.html", "--leaderboard", "page.md"),
        ("--csv", "results/report.csv"),
        ("--leaderboard", "results/report.md"),
    ],
)
def test_two_tables_do_not_go_to_one_file(results, flags, monkeypatch):
    monkeypatch.chdir(results.parent)
    with pytest.raises(UserError, match="two tables or pages would go to"):
        report.main(["results", *flags])
    assert not list(results.glob("report*"))
