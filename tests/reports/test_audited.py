"""The column that report.py takes from audit.csv."""

import pandas as pd
from handmade import cells_by_method, record

from reports import formats, tables
from reports.audited import read, u_lira
from reports.summary import summarise

RECORDS = [
    record("ssd", 0, 90, 0, 1),
    record("finetune", 0, 90, 0, 1),
    record("retrain", 0, 9, 0, 2),
]
LINE = {
    "task": "full_class",
    "net": "Net",
    "dataset": "Set",
    "folder": "",
    "protocol": "paper",
    "recipe": "published",
    "images": "test",
    "forget": "7",
    "method": "ssd",
    "audit": "u_lira",
    "column": "AUC",
    "value": 0.5678,
    "value low": 0.4,
    "value high": 0.7654321,
}


def table_of(folder, lines):
    pd.DataFrame(lines).to_csv(folder / "audit.csv", index=False)
    chapters = tables.chapters(summarise(RECORDS), u_lira(read(folder)))
    return cells_by_method(formats.markdown(chapters))


def test_without_an_audit_there_is_no_column(tmp_path):
    chapters = tables.chapters(summarise(RECORDS), u_lira(read(tmp_path)))
    assert "U-LiRA" not in cells_by_method(formats.markdown(chapters))["ssd"]


def test_the_column_says_what_was_measured_and_what_was_not(tmp_path):
    cells = table_of(tmp_path, [LINE, {**LINE, "audit": "klom", "column": "forget P50"}])
    assert cells["ssd"]["U-LiRA AUC"] == "0.57 [0.40, 0.77]"
    assert cells["finetune"]["U-LiRA AUC"] == "not measured"
    assert cells["retrain"]["U-LiRA AUC"] == ""


def test_an_audit_of_another_setup_is_not_shown(tmp_path):
    cells = table_of(tmp_path, [{**LINE, "net": "Other"}])
    assert "U-LiRA AUC" not in cells["ssd"]


def test_a_row_of_several_forget_sets_refers_to_the_audit(tmp_path):
    cells = table_of(tmp_path, [LINE, LINE])
    assert cells["ssd"]["U-LiRA AUC"] == "see audit.md"


def test_what_was_refused_is_not_measured(tmp_path):
    refused = {**LINE, "column": "", "value": "", "value low": "", "value high": ""}
    cells = table_of(tmp_path, [refused, {**LINE, "method": "finetune"}])
    assert cells["ssd"]["U-LiRA AUC"] == "not measured"
