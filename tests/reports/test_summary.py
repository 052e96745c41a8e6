"""Rows by hand: means and spreads, pairs with retrain, what is measured against what."""

import pytest
import scipy.stats
from handmade import only_rows, only_setup, record

from reports.summary import interval, summarise

# ---- means and spreads ----


def test_interval_against_scipy():
    values = [1.0, 2.5, -0.5, 3.0, 0.2]
    wanted = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((sum(values) / 5, wanted.low, wanted.high))


def test_one_pair_has_no_interval():
    assert interval([2.0]) == (2.0, None, None)


def test_training_seeds_are_apart_from_unlearning_seeds():
    runs = [
        record("finetune", 0, 60, 0, 0, training=0),
        record("finetune", 1, 62, 0, 0, training=0),
        record("finetune", 0, 50, 0, 0, training=1),
        record("finetune", 1, 54, 0, 0, training=1),
    ]
    d_r = only_rows(runs)["finetune"].values["D_r %"]
    assert d_r.mean == 56.5  # of 61 and 52
    assert d_r.over_seeds == pytest.approx(2.1213, abs=1e-4)  # the mean of 1.41 and 2.83
    assert d_r.over_trainings == pytest.approx(6.3640, abs=1e-4)


def test_deterministic_is_what_draws_nothing_and_has_equal_scores():
    runs = [
        record("baseline", 0, 95, 96, 97),
        record("baseline", 1, 95, 96, 97),
        record("ssd", 0, 90, 0, 1, selected=0.1),
        record("lfssd", 0, 90, 0, 1, selected=0.1),
        record("lfssd", 1, 91, 0, 1, selected=0.1),
        record("salun", 0, 90, 0, 1, selected=0.1),
        record("finetune", 0, 90, 0, 1),
    ]
    rows = only_rows(runs)
    assert [label for label, row in rows.items() if row.deterministic] == ["baseline", "ssd"]


def test_where_the_seed_draws_d_f_nothing_is_deterministic():
    rows = only_rows([record("ssd", 0, 90, 0, 1, task="random", forget="0.1")])
    assert not rows["ssd"].deterministic


# ---- records that belong to no new run ----


@pytest.mark.parametrize("order", [1, -1])
def test_of_one_run_the_finer_fit_counts(order):
    old, new = record("finetune", 0, 90, 0, 20), record("finetune", 0, 90, 0, 25)
    new["config"]["mia"] = {"C": 2.0, "tol": 1e-10, "max_iter": 1000}
    row = only_rows([old, new][::order])["finetune"]
    assert row.values["MIA %"].mean == 25


def test_of_two_equal_runs_the_youngest_counts():
    young = {**record("finetune", 0, 50, 0, 20), "date": "2026-11-25"}
    old = {**record("finetune", 0, 90, 0, 20), "date": "2026-11-24"}
    assert only_rows([young, old])["finetune"].values["D_r %"].mean == 50


# ---- the goal ----


def test_a_class_named_1_is_not_measured_against_class_11():
    runs = [
        record("retrain", 0, 90, 5, 20, forget="1"),
        record("retrain", 0, 90, 60, 20, forget="11"),
        record("ssd", 0, 90, 5, 20, forget="1", alpha=10),
    ]
    _, sections = only_setup(runs)
    _, ssd = sections["1"]
    assert ssd.gaps["D_f %"].mean == 0
    assert ssd.pairs == 1


def test_the_goal_is_the_retrain_with_nothing_set():
    runs = [
        record("retrain", 0, 90, 0, 20, hyperparameters={"epochs": 20}),
        record("retrain", 0, 50, 0, 20, hyperparameters={"epochs": 1}, set={"epochs": 1}),
        record("jit", 0, 88, 0, 20),
    ]
    jit = only_rows(runs)["jit"]
    assert jit.pairs == 1
    assert jit.gaps["D_r %"].mean == -2


def test_a_retrain_with_something_set_is_the_goal_where_there_is_no_other():
    runs = [
        record("retrain", 0, 50, 0, 20, hyperparameters={"epochs": 1}, set={"epochs": 1}),
        record("jit", 0, 88, 0, 20),
    ]
    assert only_rows(runs)["jit"].gaps["D_r %"].mean == 38


def test_a_retrain_of_other_numerics_is_no_goal():
    runs = [record("retrain", 0, 94, 0, 20, numerics="bf16"), record("jit", 0, 94, 0, 20)]
    assert only_rows(runs)["jit"].pairs == 0


def test_a_deterministic_run_is_paired_with_every_retrain():
    runs = [
        record("retrain", 0, 94, 0, 20, seconds=50),
        record("retrain", 1, 95, 0, 24, seconds=70),
        record("baseline", 0, 95, 96, 97, seconds=2),
    ]
    baseline = only_rows(runs)["baseline"]
    assert baseline.pairs == 2
    assert baseline.distance == pytest.approx(57.1667, abs=1e-4)  # 1, 96, 77 and 0, 96, 73 points
    assert baseline.tug_of_war == pytest.approx((0.99 * 0.04 + 0.04) / 2)
    assert baseline.speed_up == 30  # 60 s over 2 s


def test_the_seconds_of_a_deterministic_method_are_those_of_all_its_runs():
    runs = [
        record("retrain", 0, 94, 0, 20, seconds=60),
        record("ssd", 0, 90, 0, 1, seconds=2),
        record("ssd", 1, 90, 0, 1, seconds=4),
    ]
    assert only_rows(runs)["ssd"].speed_up == 20


def test_the_goal_of_corrupted_data_is_the_retrain_to_which_all_is_known():
    def run(method, share, clean, corruption="patch"):
        return record(
            method,
            0,
            clean,
            0,
            50,
            task="corrupted",
            forget=f"50 {corruption} known {share}",
            corruption=corruption,
            corrupt_count=50,
            known_share=share,
        )

    runs = [
        run("retrain", 1, 40, corruption="label"),
        run("retrain", 0.1, 20),
        run("retrain", 1, 95),
        run("potion", 0.1, 91),
    ]
    _, sections = only_setup(runs)
    rows = {row.label: row for row in sections["50 patch known 0.1"]}
    assert rows["potion"].gaps["D_r %"].mean == -4


# ---- collapse and no change ----


def test_the_original_of_a_network_that_had_forgotten_is_not_the_baseline():
    second = record("ssd", 1, 50, 0, 20, alpha=10)
    second.update(weights_hash="f" * 64, forgotten_before=[{"forget": "cat", "method": "ssd"}])
    runs = [record("baseline", 0, 95, 96, 97), record("ssd", 0, 90, 0, 20, alpha=10), second]
    assert [row.collapsed for row in only_rows(runs).values()] == [0, 0, 0]


def test_the_original_of_another_forget_set_is_not_the_baseline():
    """D_r is on other test images where something else is forgotten."""
    runs = [record("baseline", 0, 95, 96, 97, forget="8"), record("jit", 0, 80, 0, 20)]
    _, sections = only_setup(runs)
    assert [row.collapsed for row in sections["7"]] == [0, 0]


def test_unchanged_is_what_the_record_says():
    runs = [
        {**record("jit", 0, 95, 50, 90), "unchanged": ["D_f"]},
        {**record("ntk", 0, 95, 96, 90), "unchanged": []},
        record("baseline", 0, 95, 96, 97),
    ]
    rows = only_rows(runs)
    assert (rows["jit"].unchanged, rows["ntk"].unchanged) == (1, 0)


def test_of_an_older_record_the_baseline_tells_whether_it_is_unchanged():
    runs = [
        record("baseline", 0, 95, 96, 97),
        record("ntk", 0, 95, 95.1, 90),
        record("jit", 0, 95, 94.9, 90),
    ]
    rows = only_rows(runs)
    assert (rows["ntk"].unchanged, rows["jit"].unchanged) == (1, 0)


# ---- tables of their own ----


def test_trials_on_validation_images_come_last_and_have_a_goal_of_their_own():
    runs = [
        record("retrain", 0, 84, 0, 20, validation=True),
        record("ssd", 0, 80, 0, 20, alpha=10, validation=True),
        record("retrain", 0, 90, 0, 20),
        record("ssd", 0, 80, 0, 20, alpha=10),
        record("baseline", 0, 95, 96, 97),
    ]
    summaries = summarise(runs)
    assert [setup.validation for setup in summaries] == [False, True]
    of_ssd = []
    for sections in summaries.values():
        of_ssd += [row for row in sections["7"] if row.method == "ssd"]
    assert [row.gaps["D_r %"].mean for row in of_ssd] == [-10, -4]
    assert [row.collapsed for row in of_ssd] == [1, 0]  # the baseline is of the test results only


def test_folders_of_images_are_tables_of_their_own():
    runs = [
        record("ssd", 0, 90, 0, 20, dataset="Folder", data="data/my own"),
        record("ssd", 0, 50, 0, 20, dataset="Folder", data="else/my_own"),
    ]
    assert [setup.title for setup in summarise(runs)] == [
        "Forget one class: Net on Folder my own (protocol paper)",
        "Forget one class: Net on Folder my_own (protocol paper)",
    ]


def test_tasks_and_methods_of_another_version_are_shown_by_their_names():
    runs = [
        record("later_method", 0, 90, 5, 5, task="later_task", selected=0.1),
        record("retrain", 0, 91, 5, 5, task="later_task"),
        record("retrain", 0, 92, 5, 5),
    ]
    summaries = summarise(runs)
    titles = [setup.title for setup in summaries]
    assert titles[1] == "later_task: Net on Set (protocol paper)"
    (rows,) = list(summaries.values())[1].values()
    assert [row.label for row in rows] == ["retrain", "later_method"]
    assert rows[1].gaps["D_r %"].mean == -1
