"""report.py on records made by hand."""

import csv
import json

import pytest
from conftest import call

import records
import report
from common import UserError


def record(method, seed, d_r, d_f, mia, *, task="full_class", forget="7", alpha=None, selected=None, seconds=1.0, full=None):
    config = {"net": "Net", "dataset": "Set", "train_seed": 0, "protocol": "paper", "method": method, "seed": seed,
              "forget": forget, "b": 64, "alpha": alpha, "lambda": alpha and 1, "importance": "batch", "set": {}}  # fmt: skip
    return {"task": task, "config": config, "scores": {"RetainTestAcc": d_r, "Df": d_f, "MIA": mia, "TestAcc": 0, "ZRF": 1},
            "seconds": {"method": seconds, "evaluation": 1, "full_importance": full}, "selected": selected,
            "collapse": [], "weights_hash": "w" * 64, "data_hash": "d" * 64}  # fmt: skip


@pytest.fixture
def results(tmp_path):
    made = [
        record("ssd", 0, 90, 0, 1, alpha=10, selected=0.01, full=2.0),
        record("ssd", 1, 92, 2, 4, alpha=10, selected=0.03, full=2.0),
        record("baseline", 0, 95, 96, 97, seconds=0.0),
        record("retrain", 0, 94, 0, 20, seconds=50),
        record("retrain", 1, 95, 0, 24, seconds=70),
        record("ssd", 0, 80, 90, 50, task="random", forget="0.1", alpha=10),
        record("amnesiac", 0, 84.9, 0, 26),
        record("amnesiac", 1, 94, 0, 26),
        record("ssd", 0, 85, 95, 55, task="random", forget="0.1", alpha=5),
    ]
    for number, entry in enumerate(made):
        records.write(tmp_path / entry["task"] / f"{9 - number}.json", entry)
    return tmp_path


def test_tables_by_hand(results):
    text = report.markdown(report.grouped(records.read_all(results)))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n") if line.startswith("| ")]
    assert [row[0] for row in rows[2:6]] == ["retrain", "baseline", "amnesiac", "ssd"]  # retrain first
    assert rows[2][1:] == ["94.50 ± 0.71", "0.00 ± 0.00", "22.00 ± 2.83", "0.00 ± 0.00", "60", "", "", "2", ""]
    # 1, 96 and 77 points from the retrain of seed 0; one seed: no spread
    assert rows[3][1:] == ["95.00", "96.00", "97.00", "58.00", "0", "", "", "1", ""]
    # 9.1, 0, 6 points and 1, 0, 2; 84.9 is 10.1 below the baseline's 95
    assert rows[4][4:] == ["3.02 ± 2.85", "1", "", "", "2", "1 of 2"]
    # 4, 0, 19 points and 3, 2, 20
    assert rows[5][1:] == ["91.00 ± 1.41", "1.00 ± 1.41", "2.50 ± 2.12", "8.00 ± 0.47", "1", "2", "2", "2", ""]
    assert [row[0] for row in rows[8:10]] == ["ssd (alpha 5)", "ssd (alpha 10)"]  # never averaged together
    assert [row[4] for row in rows[8:10]] == ["", ""]  # no retrain, no distance
    assert text.index("one class") < text.index("random images")


def test_script_writes_tables_and_a_plot_a_task(results):
    done = call("report.py", results, cwd=results)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in results.glob("report*")) == [
        "report-full_class-Net-Set-0-paper.png", "report-random-Net-Set-0-paper.png", "report.csv", "report.md"]  # fmt: skip
    assert (results / "report.md").read_text().strip() in done.stdout
    with open(results / "report.csv") as file:
        rows = list(csv.DictReader(file))
    ssd = next(row for row in rows if row["method"] == "ssd")
    assert float(ssd["MIA % mean"]) == 2.5 and float(ssd["MIA % std"]) == pytest.approx(2.1213, abs=1e-4) and ssd["n"] == "2"


def test_collapse_is_said():
    scores = {"RetainTestAcc": 84.0, "Df": 0.0}
    assert records.collapse(scores, 95.0, 30.0) == ["D_r 84.00 % is 11.0 points below the original's",
                                                    "D_f 0.00 % is 30.0 points below retrain's"]  # fmt: skip
    assert records.collapse(scores, 94.0, 10.0) == records.collapse(scores, None, None) == []


def test_no_records_is_an_error_and_other_files_are_left_out(tmp_path, capsys):
    with pytest.raises(UserError, match="run an experiment"):
        records.read_all(tmp_path)
    (tmp_path / "torn.json").write_text(json.dumps(record("ssd", 0, 1, 2, 3))[:50])
    (tmp_path / "foreign.json").write_text('{"task": "nope", "config": {}, "scores": {}}')
    for name in ("torn.json", "foreign.json"):
        with pytest.raises(UserError, match=name):
            records.read(tmp_path / name)
    with pytest.raises(UserError, match="run an experiment"):
        records.read_all(tmp_path)
    records.write(tmp_path / "whole.json", record("ssd", 0, 1, 2, 3))
    assert len(records.read_all(tmp_path)) == 1
    assert capsys.readouterr().err.count("left out: ") == 4


def test_record_path_is_determined_by_the_identity(tmp_path):
    paths = [
        records.path_of(tmp_path, "random", "name", identity) for identity in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2, "b": 2})
    ]
    assert paths[0] == paths[1] != paths[2] and paths[0].parent == tmp_path / "random"
