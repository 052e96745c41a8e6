"""What experiments/suitability_plot.py says of the records of its experiment."""

import math
import re

import pytest
from handmade import cells_of, record
from helpers import ROOT

from experiments import suitability_plot
from experiments.suitability_plot import correlation, frame_of, interval, picture, table
from reports import style
from runs import records

OVERLAPS = {"0": 0.1, "1": 0.2, "2": 0.3, "3": 0.4}


def case(training, forget, lost, selected, overlap):
    """The baseline, SSD and ASSD of one network and one class."""
    where = {"training": training, "forget": forget, "dataset": "Digits"}
    baseline = record("baseline", 0, 95, 100, 90, **where)
    ssd = record("ssd", 0, 95 - lost, 0, 5, alpha=6.0, selected=selected, **where)
    assd = record("assd", 0, 94, 50, 5, selected=0.01, **where)
    assd["adaptive_alpha"] = 1 + lost
    for run in (ssd, assd):
        run["suitability"] = {"denominator": "D", "overlap": overlap}
    return [baseline, ssd, assd]


@pytest.fixture
def runs():
    """Two networks: D_r lost rises with the share selected, and falls with overlap in one."""
    result = []
    for forget, overlap in OVERLAPS.items():
        place = int(forget)
        result += case(0, forget, 12 * place, 0.01 * (1 + place), overlap)
        result += case(1, forget, 12 * place, 0.01 * (1 + place), 1 - overlap)
    return result


def test_a_run_is_compared_with_the_baseline_of_its_network_and_class(runs):
    runs[0]["scores"]["RetainTestAcc"] = 97  # of network 0, class 0
    frame = frame_of(runs)
    first = frame[(frame["network"] == 0) & (frame["forget"] == "0")]
    assert dict(zip(first["family"], first["lost"], strict=True)) == {"assd": 3, "ssd": 2}
    assert dict(zip(first["family"], first["left"], strict=True)) == {"assd": 50, "ssd": 0}
    assert first["selected_percent"].dropna().tolist() == [1]
    assert first["adaptive_alpha"].dropna().tolist() == [1]


def test_correlations_by_hand(runs):
    """Over both networks overlap tells nothing; within them +1 and -1 are 0 on average."""
    _, *rows = cells_of("\n".join(table(frame_of(runs))))
    of_row = {(row[1], row[5]): row for row in rows}
    _, _, *counts, _, value, within = of_row["ssd (alpha 6)", "overlap"]
    assert counts == ["8", "6", "0"]
    assert value.startswith("+0.00 [")
    assert within == "+0.00"
    _, _, *counts, _, value, within = of_row["ssd (alpha 6)", "share that alpha selects"]
    assert (value, within) == ("+1.00 [+1.00, +1.00]", "+1.00")
    assert of_row["assd", "overlap"][2:5] == ["8", "0", "8"]
    assert of_row["assd", "overlap"][6] == "none: one of them does not vary"
    assert len(rows) == 4


def test_what_does_not_vary_has_no_correlation():
    assert math.isnan(correlation([1, 1, 1], [1, 2, 3]))


def test_the_interval_is_the_percentiles_of_resampled_pairs(monkeypatch):
    monkeypatch.setattr(suitability_plot, "RESAMPLES", 2000)
    x = list(range(20))
    assert interval(x, x) == pytest.approx((1, 1))
    noisy = [value + 9 * (value % 3) for value in x]
    low, high = interval(x, noisy)
    assert low < correlation(x, noisy) < high < 1


def test_it_can_be_drawn(runs):
    figure = picture(frame_of(runs))
    assert style.saved(figure, "svg")
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["SSD, the digits", "SSD, the digits", "ASSD, the digits"]


def test_the_table_in_the_docs_is_that_of_the_published_records(monkeypatch):
    """But for the intervals, which take a minute."""
    monkeypatch.setattr(suitability_plot, "RESAMPLES", 9)
    frame = frame_of(records.read_all(ROOT / "published" / "suitability"))
    page = without_intervals((ROOT / "docs" / "results.md").read_text())
    for line in table(frame)[2:]:
        assert without_intervals(line) in page


def without_intervals(text):
    text = re.sub(r" \[[-+.\d]+, [-+.\d]+\]", "", text)
    return re.sub(" +", " ", text)
