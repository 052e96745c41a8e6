"""All records as one table: report.load and report.py --csv."""

import json

import pandas as pd
import pytest
from handmade import FEW_RECORDS

import report
from common.errors import UserError
from runs import records


@pytest.fixture
def results(tmp_path):
    for number, entry in enumerate(FEW_RECORDS):
        records.write(tmp_path / "results" / f"{number}.json", entry)
    return tmp_path / "results"


def test_a_line_per_record_and_a_column_per_field(results):
    frame = report.load(results)
    assert len(frame) == len(FEW_RECORDS)
    for (_, line), entry in zip(frame.iterrows(), FEW_RECORDS, strict=True):
        assert line["task"] == entry["task"]
        assert line["config.method"] == entry["config"]["method"]
        assert line["scores.Df"] == entry["scores"]["Df"]
        assert line["seconds.method"] == entry["seconds"]["method"]
        assert line["entropy_histogram"] == entry["entropy_histogram"]
    assert frame.groupby("config.method")["scores.RetainTestAcc"].mean()["baseline"] == 95


def test_the_flat_file_holds_the_same_numbers(results, tmp_path):
    report.main([str(results), "--csv", str(tmp_path / "all.csv")])
    lines = pd.read_csv(tmp_path / "all.csv")
    assert lines["scores.MIA"].tolist() == report.load(results)["scores.MIA"].tolist()
    assert json.loads(lines["entropy_histogram"][0]) == FEW_RECORDS[0]["entropy_histogram"]
    assert json.loads(lines["config.set"][0]) == {}


def test_a_record_is_never_replaced_by_a_table(results):
    path = next(results.glob("*.json"))
    before = path.read_bytes()
    for flag in ("--csv", "--leaderboard"):
        with pytest.raises(UserError, match="such a file is called"):
            report.main([str(results), flag, str(path)])
    assert path.read_bytes() == before


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(UserError, match="no records"):
        report.load(tmp_path)
