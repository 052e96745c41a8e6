"""The leaderboard: order, means, and what it shows of each method."""

import pandas as pd
import pytest
from handmade import record
from scipy import stats

import report
from reports import leaderboard
from reports.summary import summarise
from runs import records


def entry(method, d_f, forget, **config):
    made = record(method, 0, 90.0, d_f, 20.0, forget=forget, **config)
    made["forget_hash"] = forget * 64
    made["command"] = f"python forget_full_class_main.py -forget_class {forget} -method {method}"
    return made


RECORDS = []
for _forget in "123":
    RECORDS.append(entry("retrain", 0.0, _forget))
    RECORDS.append(entry("baseline", 95.0, _forget))
    RECORDS.append(entry("finetune", 30.0 + 3 * int(_forget), _forget))
    RECORDS.append(entry("amnesiac", 6.0, _forget))


def board(entries, audited=None):
    (chapter,) = leaderboard.boards(summarise(entries), audited or {})
    return chapter


def table(chapter):
    return chapter.sections[0].frames[0].set_index("method")


def test_the_method_nearest_to_retrain_comes_first():
    assert list(table(board(RECORDS)).index) == ["amnesiac", "finetune"]


def test_a_row_is_the_mean_over_forget_sets_with_an_interval():
    finetune = table(board(RECORDS)).loc["finetune"]
    distances = [11.0, 12.0, 13.0]  # a third of the difference in D_f
    wanted = stats.ttest_1samp(distances, 0).confidence_interval(0.95)
    assert finetune["distance"] == f"12.00 [{wanted.low:.2f}, {wanted.high:.2f}]"
    assert finetune["D_f - retrain's"] == "+36.00"
    assert finetune["n"] == "3 on 3"
    assert finetune["forget sets"] == "11111111 22222222 33333333"


def test_every_row_has_a_command():
    frame = board(RECORDS).sections[1].frames[0].set_index("method")
    assert frame.loc["amnesiac", "command"].endswith("-forget_class 1 -method amnesiac")


def test_what_was_audited_is_shown():
    setup = next(iter(summarise(RECORDS)))
    assert "U-LiRA AUC" not in table(board(RECORDS))
    shown = table(board(RECORDS, {(setup, "1", "amnesiac"): "0.51 [0.4, 0.6]"}))
    assert "0.51 [0.4, 0.6]" in shown.loc["amnesiac", "U-LiRA AUC"]
    assert shown.loc["finetune", "U-LiRA AUC"] == "not measured"


def test_trials_on_validation_images_are_left_out():
    trials = [entry(method, 1.0, "1", validation=True) for method in ("retrain", "finetune")]
    assert leaderboard.boards(summarise(trials), {}) == []


def test_it_is_written_as_markdown_and_as_a_page(tmp_path):
    for number, made in enumerate(RECORDS):
        records.write(tmp_path / "results" / f"{number}.json", made)
    path = tmp_path / "board.md"
    report.main([str(tmp_path / "results"), "--leaderboard", str(path), "--brief"])
    assert "| amnesiac " in path.read_text()
    assert "<table" in path.with_suffix(".html").read_text()
    assert isinstance(report.load(tmp_path / "results"), pd.DataFrame)


@pytest.mark.parametrize("text", ["Leaderboard", "Commands", "docs/audit.md"])
def test_the_committed_leaderboard_is_whole(text):
    from helpers import ROOT

    assert text in (ROOT / "docs" / "leaderboard.md").read_text()
