"""audit.py as a user runs it, and the example of the page on extending."""

import csv
import re
import runpy

import torch
from handmade_pool import write_pool
from helpers import ROOT, assert_refused, call

from audits.networks import Networks


def test_tables_figures_and_page_are_written(tmp_path):
    write_pool(tmp_path / "results", networks=8, ssd=6.0)
    page = tmp_path / "page.html"
    done = call("audit.py", "results", "--html", page, "--brief", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| ssd " in done.stdout
    assert "†" in done.stdout
    names = {path.suffix for path in (tmp_path / "results").glob("audit*")}
    assert names == {".md", ".csv", ".svg", ".pdf"}
    text = (tmp_path / "results" / "audit.md").read_text()
    assert "U-LiRA. Can many networks tell" in text
    assert page.read_text().count("<img") == 2
    with open(tmp_path / "results" / "audit.csv") as file:
        lines = list(csv.DictReader(file))
    assert {line["method"] for line in lines} == {"ssd"}
    assert {"u_lira", "klom", "linear_probe"} <= {line["audit"] for line in lines}


def test_the_report_shows_what_the_audit_found(tmp_path):
    write_pool(tmp_path / "results", networks=8, ssd=6.0)
    assert call("audit.py", "results", cwd=tmp_path).returncode == 0
    page = tmp_path / "page.html"
    done = call("report.py", "results", "--html", page, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "U-LiRA AUC" in done.stdout
    assert "all audits" in page.read_text()


def test_records_without_outputs_are_refused_with_the_way_out(tmp_path):
    write_pool(tmp_path / "results", networks=1)  # only references
    assert_refused(call("audit.py", "results", cwd=tmp_path), "-outputs", "-train_seed")


def test_one_network_is_measured_where_it_can_be_and_the_rest_is_said(tmp_path):
    write_pool(tmp_path / "results", networks=1, ssd=0.0)
    done = call("audit.py", "results", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "some audits need 8; to make them: python forget_full_class_main.py" in done.stdout


def test_the_example_of_the_page_on_extending_is_an_audit(tmp_path):
    page = (ROOT / "docs" / "extending.md").read_text()
    section = page.split("## Add an audit")[1]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    (tmp_path / "my_audit.py").write_text(code)
    audit = runpy.run_path(str(tmp_path / "my_audit.py"))["AUDIT"]
    labels = {"forget": torch.tensor([0])}
    one = Networks([{}], {"forget": torch.tensor([[[2.0, 0.0]]])}, labels, [{}])
    other = Networks([{}], {"forget": torch.tensor([[[0.0, 1.0]]])}, labels, [{}])
    assert audit.measure(one, other, one) == {"difference": 3.0}
    assert audit.columns.keys() == {"difference"}
