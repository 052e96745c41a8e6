"""How long a sweep takes, as past runs tell."""

import pytest
from helpers import DIGITS, copy_of, only_record

import forget_full_class_main
from sweeps import estimate
from sweeps.estimate import Past, kind_of, past_of, time_left
from sweeps.lines import Line
from sweeps.plan import plan

FLAGS = (*DIGITS, "-forget_class", "7", "-wandb", "disabled", "-method", "amnesiac")


@pytest.fixture
def jobs():
    """Runs of two kinds, and the training that they need."""
    argvs = [(*FLAGS, "-seed", "0"), (*FLAGS, "-seed", "1"), (*FLAGS, "-set", "epochs=9")]
    return plan([Line("forget_full_class_main", argv) for argv in argvs]).jobs


def test_the_time_left_counts_what_is_known_and_nothing_else(jobs):
    training, short, another_short, long = jobs
    assert kind_of(short) == kind_of(another_short) != kind_of(long)
    seconds = {
        kind_of(short): [9.0, 10.0, 400.0],
        kind_of(training): [300.0],
        ("of no line",): [9999.0],
    }
    past = Past(seconds, set())
    assert time_left([short, another_short], past, 2) == "about 10 s left"
    assert time_left([short, training], past, 2) == "about 2.6 min left"
    assert time_left([short, long], past, 2) == "more than 5 s left"
    assert time_left([long], past, 2) == ""
    assert time_left([short], past, 2) == "about 10 s left"  # it cannot be split
    past.commands.add((another_short.args.results, another_short.args.command))
    assert time_left([another_short, short], past, 2) == "about 10 s left"


def test_a_duration_in_words():
    spans = [estimate.span(seconds) for seconds in (0.2, 89, 90, 5399, 5400, 90_000)]
    assert spans == ["1 s", "89 s", "1.5 min", "90.0 min", "1.5 h", "25.0 h"]


def test_times_of_past_runs_are_told_apart(place, tmp_path):
    copy_of(place, tmp_path)
    flags = (*FLAGS, "-set")
    forget_full_class_main.main([*flags, "epochs=1"])
    seconds = only_record(tmp_path / "results")["seconds"]
    argvs = [(*flags, "epochs=1"), (*flags, "epochs=1", "-seed", "5"), (*flags, "epochs=2")]
    same, again, longer = plan([Line("forget_full_class_main", argv) for argv in argvs]).jobs
    past = past_of([same, again, longer])
    expected = seconds["method"] + seconds["evaluation"]
    assert past.expected(kind_of(same)) == past.expected(kind_of(again)) == expected
    assert past.expected(kind_of(longer)) is None
    assert [past.has(job) for job in (same, again, longer)] == [True, False, False]
