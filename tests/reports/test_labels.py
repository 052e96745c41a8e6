"""What the rows are called: the settings that set the rows of one method apart."""

from handmade import only_rows, only_setup, record


def d_r_by_label(runs):
    """{label: D_r} of records of one section."""
    return {label: row.values["D_r %"].mean for label, row in only_rows(runs).items()}


def test_hyperparameters_in_effect_set_rows_apart():
    """A default that has changed is another row, though nothing was given with -set."""
    runs = [
        record("finetune", 0, 90, 0, 20, hyperparameters={"lr": 0.1, "epochs": 5}),
        record("finetune", 0, 50, 0, 20, hyperparameters={"lr": 0.1, "epochs": 10}),
    ]
    assert d_r_by_label(runs) == {"finetune (epochs 5)": 90, "finetune (epochs 10)": 50}


def test_lists_of_hyperparameters_set_rows_apart():
    runs = [
        record("retrain", 0, 90, 0, 20, hyperparameters={"milestones": [1, 2]}),
        record("retrain", 0, 50, 0, 20, hyperparameters={"milestones": [1, 3]}),
    ]
    assert d_r_by_label(runs) == {
        "retrain (milestones [1, 2])": 90,
        "retrain (milestones [1, 3])": 50,
    }


def test_what_was_given_is_named():
    settings = {"hyperparameters": {"lr": 0.2, "epochs": 5}, "set": {"lr": 0.2}}
    assert d_r_by_label([record("finetune", 0, 90, 0, 20, **settings)]) == {"finetune (lr 0.2)": 90}


def test_a_default_that_was_given_is_the_same_row():
    runs = [
        record("finetune", 0, 90, 0, 20, hyperparameters={"lr": 0.1}),
        record("finetune", 1, 50, 0, 20, hyperparameters={"lr": 0.1}, set={"lr": 0.1}),
    ]
    assert d_r_by_label(runs) == {"finetune": 70}


def test_the_batch_size_of_the_task_is_no_setting_of_a_method():
    runs = [
        record("finetune", 0, 90, 0, 20, hyperparameters={"lr": 0.1}),
        record("finetune", 1, 50, 0, 20, hyperparameters={"lr": 0.1, "batch_size": 64}),
        record("jit", 0, 90, 0, 20, hyperparameters={"batch_size": 64}),
        record("jit", 0, 50, 0, 20, hyperparameters={"batch_size": 16}),
    ]
    assert d_r_by_label(runs) == {"finetune": 70, "jit": 90, "jit (batch_size 16)": 50}


def test_the_eighth_digit_sets_rows_apart():
    runs = [
        record("finetune", 0, 90, 0, 1, set={"lr": 0.01}),
        record("finetune", 0, 50, 0, 1, set={"lr": 0.01000001}),
    ]
    assert d_r_by_label(runs) == {"finetune (lr 0.01)": 90, "finetune (lr 0.01000001)": 50}


def test_records_without_hyperparameters_fall_back_to_what_was_set():
    runs = [
        record("finetune", 0, 90, 0, 20, set={"lr": 0.1}),
        record("finetune", 0, 50, 0, 20, set={"lr": 0.2}),
    ]
    assert d_r_by_label(runs) == {"finetune (lr 0.1)": 90, "finetune (lr 0.2)": 50}


def test_hyperparameters_that_were_not_recorded_are_said():
    runs = [
        record("finetune", 0, 90, 0, 20),
        record("finetune", 0, 50, 0, 20, hyperparameters={"lr": 0.1, "epochs": 10}),
    ]
    assert d_r_by_label(runs) == {"finetune (hyper-parameters not recorded)": 90, "finetune": 50}


def test_the_baseline_has_no_hyperparameters():
    runs = [
        record("baseline", 0, 90, 0, 20),
        record("baseline", 0, 50, 0, 20, hyperparameters={}),
    ]
    assert d_r_by_label(runs) == {"baseline": 50}


def test_other_data_set_rows_apart():
    runs = [record("finetune", 0, 90, 0, 0), record("finetune", 1, 50, 0, 0, data_hash="e" * 64)]
    assert d_r_by_label(runs) == {"finetune (data dddddd)": 90, "finetune (data eeeeee)": 50}


def test_another_network_by_the_same_training_seed_sets_rows_apart():
    other = record("ssd", 0, 50, 0, 1)
    other["weights_hash"] = "f" * 64
    runs = [record("ssd", 0, 90, 0, 1), other]
    assert d_r_by_label(runs) == {"ssd (weights 000000)": 90, "ssd (weights ffffff)": 50}


def test_networks_that_had_forgotten_before_stand_apart():
    first, second = record("ssd", 0, 90, 0, 20, alpha=10), record("ssd", 1, 50, 0, 20, alpha=10)
    earlier = [{"forget": "cat", "method": "ssd"}, {"forget": "owl", "method": "jit"}]
    second.update(weights_hash="f" * 64, forgotten_before=earlier)
    assert d_r_by_label([first, second]) == {"ssd": 90, "ssd (after cat, owl)": 50}


def test_other_corruptions_are_other_data_by_nature():
    runs = []
    for kind in "ab":
        corruption = {"corruption": kind, "corrupt_count": 5, "known_share": 0.5}
        run = record(
            "potion", 0, 90, 50, 5, task="corrupted", forget=kind, data_hash=kind * 64, **corruption
        )
        run["weights_hash"] = run["data_hash"]
        runs.append(run)
    _, sections = only_setup(runs)
    labels = []
    for rows in sections.values():
        labels += [row.label for row in rows]
    assert labels == ["potion", "potion"]


def test_retrain_comes_first_then_the_baseline_then_methods_by_name_and_alpha():
    runs = [
        record("ssd", 0, 90, 0, 1, alpha=10),
        record("jit", 0, 90, 0, 1),
        record("ssd", 0, 90, 0, 1, alpha=2),
        record("baseline", 0, 95, 96, 97),
        record("retrain", 0, 94, 0, 20),
    ]
    assert list(only_rows(runs)) == [
        "retrain",
        "baseline",
        "jit",
        "ssd (alpha 2)",
        "ssd (alpha 10)",
    ]
