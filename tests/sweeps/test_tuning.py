"""tune.py: no test image, the objective by hand, killed and resumed."""

import json
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import time

import optuna
import pytest
from helpers import DIGITS, ENVIRONMENT, NET, ROOT, assert_refused, call

import datasets
import pretrain_model
import splits
import tune
from common.errors import UserError
from runs.cache import Cache
from sweeps import study, tuning

LINE = ["forget_full_class_main.py", *DIGITS, "-forget_class", "7", "-method", "ssd"]
TUNE = [sys.executable, "-W", "ignore", str(ROOT / "tune.py")]


class TestImages:
    """Stands for the test set: whoever looks at it fails."""

    __test__ = False

    def __getattribute__(self, name):
        raise AssertionError(f"a test image was asked for: {name}")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A folder with a network of two epochs that has not seen the validation images."""
    folder = tmp_path_factory.mktemp("tuned")
    done = call("pretrain_model.py", *DIGITS, "-epochs", 2, "-validation", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def study_in(folder):
    (database,) = folder.glob("*.db")
    return optuna.load_study(study_name=database.stem, storage=f"sqlite:///{database}")


def test_no_test_image_is_looked_at_and_the_objective_is_the_distance_to_retrain(
    tuned, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tuned)
    load = datasets.load

    def without_test_images(*args, **options):
        train, _ = load(*args, **options)
        return train, TestImages()

    monkeypatch.setattr(datasets, "load", without_test_images)
    flags = ["--trials", "3", "--also", "-forget_class 3", "--range", "alpha=1,20"]
    values = tune.main([*LINE, *flags, "--out", str(tmp_path)])
    row = f'"ssd": {{"ResNet18Slim": {values["alpha"]!r}}}'
    assert f"ALPHA in forget_full_class_main.py:   {row}" in capsys.readouterr().out
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("*.json")]
    assert len(records) == 2 * (1 + 3)
    assert all(record["config"]["validation"] for record in records)
    found = study_in(tmp_path)
    for trial in found.trials:
        chosen = trial.user_attrs["values"]
        assert 1 <= chosen["alpha"] <= 20
        assert trial.value == pytest.approx(distance_by_hand(records, chosen))
    assert values == found.best_trial.user_attrs["values"]
    assert found.best_value == min(trial.value for trial in found.trials)
    assert len(list(tmp_path.glob("*.svg"))) == 1


def distance_by_hand(records, chosen):
    """The mean of |difference to retrain| over both digits and three scores."""
    differences = []
    for digit in ("7", "3"):
        of_digit = [record for record in records if record["config"]["forget"] == digit]
        (goal,) = [record for record in of_digit if record["config"]["method"] == "retrain"]
        (run,) = [record for record in of_digit if record["config"]["alpha"] == chosen["alpha"]]
        assert run["config"]["lambda"] == chosen["lam"]
        for name in ("RetainTestAcc", "Df", "MIA"):
            differences.append(abs(run["scores"][name] - goal["scores"][name]))
    return statistics.fmean(differences)


def test_corrupted_data_are_tuned_towards_the_retrain_that_knows_all_of_them(
    tuned, tmp_path, monkeypatch
):
    monkeypatch.chdir(tuned)
    wrong = [*map(str, DIGITS), "-validation", "-corruption", "label", "-corrupt_count", "40"]
    assert call("pretrain_model.py", *wrong, "-epochs", 1, cwd=tuned).returncode == 0
    line = [*wrong, "-known_share", "0.2", "-method", "scrub", "-wandb", "disabled"]
    line += ["-results", str(tmp_path)]
    config = tuning.goal("forget_corrupted_main", line, Cache())["config"]
    assert config["method"] == "retrain"
    assert config["known_share"] == 1
    assert config["validation"] is True


def test_validation_images_are_a_fifth_of_the_training_images():
    train, test = datasets.load("Digits")
    kept, validation = datasets.hold_out(train, train.fine_labels)
    parts = [set(part.index.tolist()) for part in (kept, validation, test)]
    assert parts[0] | parts[1] == set(train.index.tolist())
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]
    assert len(kept) / len(train) == pytest.approx(0.8, abs=0.01)
    assert kept.digest != train.digest
    args = pretrain_model.arguments([*DIGITS, "-validation"])
    assert args.out.name == "ResNet18Slim-Digits-seed0-validation.safetensors"


@pytest.mark.slow
def test_a_damaged_study_and_one_in_use(tuned, tmp_path):
    flags = (*LINE[:-1], "lfssd", "--trials", "2", "--out", str(tmp_path))
    two = []
    for _ in range(2):
        process = subprocess.Popen(
            [*TUNE, *flags],
            cwd=tuned,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        two.append(process)
    printed = [process.communicate(timeout=300) for process in two]
    assert [process.returncode for process in two] == [0, 0], printed
    assert len({text.split("best of")[1] for text, _ in printed}) == 1
    (database,) = tmp_path.glob("*.db")
    database.write_bytes(b"garbage" * 300)
    assert_refused(call("tune.py", *flags, cwd=tuned), "damaged", "remove it")


@pytest.mark.slow
def test_killed_and_resumed(tuned, tmp_path):
    command = [*TUNE, *LINE, "--out", str(tmp_path), "--trials"]
    process = subprocess.Popen(
        [*command, "60"], cwd=tuned, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    trials = 0
    for line in process.stdout:
        trials += "distance" in line and "left]" in line
        if trials == 3:
            break
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    def finished():
        trials = study.successful(study_in(tmp_path))
        return {trial.number: trial.value for trial in trials}

    def resumed():
        return subprocess.run(
            [*command, "7"], cwd=tuned, capture_output=True, text=True, env=ENVIRONMENT, timeout=300
        )

    before = finished()
    done = resumed()
    assert done.returncode == 0, done.stderr
    assert f"going on after {len(before)} trials" in done.stdout
    after = finished()
    assert len(before) >= 3
    assert len(after) == 7
    assert before.items() <= after.items()
    assert resumed().returncode == 0
    assert finished() == after


def test_a_trial_that_was_killed_comes_first_again(tmp_path):
    trial = study.resumed(tmp_path / "a.db").ask()
    killed = study.suggested(trial, "alpha", 0.1, 100.0)
    again = study.resumed(tmp_path / "a.db")
    assert study.suggested(again.ask(), "alpha", 0.1, 100.0) == killed
    assert all(trial.distributions["alpha"].log for trial in again.get_trials())
    assert study.finished(again) == []


def test_the_flags_of_a_trial():
    values = {"alpha": 2.5, "lam": 1.0, "epochs": 3, "lr": 1e-05}
    assert tuning.flags_of(values) == [
        *("-alpha", "2.5", "-lambda", "1.0"),
        *("-set", "epochs=3", "lr=1e-05"),
    ]
    assert tuning.flags_of({"alpha": 2.0}) == ["-alpha", "2.0"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["pretrain_model.py", *DIGITS, "-method", "ssd"], ["forget_full_class_main.py"]),
        (["forget_full_class_main.py", *DIGITS, "-forget_class", "7"], ["-method"]),
        ([*LINE, "-alpha", "3"], ["-alpha", "is not for tune.py"]),
        ([*LINE, "-save", "a.safetensors"], ["-save", "every trial would write over"]),
        (
            [*LINE, "--also", "-forget_class 3 -save=a.safetensors"],
            ["-save", "every trial would write over"],
        ),
        ([*LINE, "--also", "-set epochs=3"], ["-set", "is not for tune.py"]),
        ([*LINE, "-nonsense"], ["-nonsense"]),
        ([*LINE, "-set", "epochs=1"], ["-set", "is not for tune.py"]),
        ([*LINE, "--range", "alpha=nan,2"], ["LOW < HIGH"]),
        ([*LINE, "-weight_path", "nowhere.safetensors"], ["no checkpoint at nowhere.safetensors"]),
        ([*LINE, "--range", "beta=1,2"], ["NAME=LOW,HIGH", "alpha, lam"]),
        ([*LINE, "--range", "alpha=3,2"], ["LOW < HIGH"]),
        ([*LINE, "--trials", "0"], ["--trials 0"]),
        ([*LINE[:-1], "ntk"], ["ntk", "nothing to tune"]),
        ([*LINE, "--also", "-forget_class '3"], ["--also", "quotation"]),
        ([*LINE, "--also", "-method lfssd"], ["-method", "--also"]),
        ([*LINE[:-4], "-method", "ssd"], ["-forget_class"]),
        ([*LINE[:-3], "sevem", "-method", "ssd"], ["'sevem'"]),
    ],
)
def test_bad_input(tuned, tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(tuned)
    assert_refuses([*flags, "--out", tmp_path], *words)


def assert_refuses(flags, *words):
    """tune.py raises a UserError that says each of the words."""
    with pytest.raises(UserError) as refused:
        tune.main([str(flag) for flag in flags])
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("script", "flags", "words"),
    [
        (
            "forget_full_class_main.py",
            [*NET, "-dataset", "Cifar20", "-forget_class", "rocket"],
            ["no class 'rocket'"],
        ),
        (
            "forget_full_class_main.py",
            [*DIGITS, "-forget_class", "7", "--also", "-forget_class 10"],
            ["no class '10'"],
        ),
        ("forget_sub_class_main.py", [*DIGITS, "-forget_class", "7"], ["no sub-classes"]),
        ("forget_random_main.py", [*DIGITS, "-forget_perc", "1.5"], ["-forget_perc 1.5"]),
        (
            "forget_corrupted_main.py",
            [*DIGITS, "-known_share", "1", "-corruption", "label", "-corrupt_count", "5000"],
            ["-corrupt_count 5000"],
        ),
        (
            "forget_full_class_main.py",
            [*NET, "-dataset", "Folder", "-data", "nowhere", "-forget_class", "cat"],
            ["nowhere"],
        ),
        (
            "forget_full_class_main.py",
            [*DIGITS, "-forget_class", "7", "--out", __file__],
            ["cannot write", "a file is where"],
        ),
    ],
)
def test_what_is_wrong_is_said_before_any_training(tmp_path, script, flags, words):
    assert_refuses([script, *flags, "-method", "ssd"], *words)
    assert not (tmp_path / "checkpoints").exists()


def test_the_examples_classes_are_there():
    classes, _ = datasets.class_names("Cifar20")
    words = re.findall(r"-forget_class (\w+)", tune.__doc__)
    assert words
    for word in words:
        assert splits.class_number(word, classes) in range(20)


@pytest.mark.parametrize(
    ("reason", "way_out"),
    [
        ("file is not a database", "remove it"),
        ("database disk image is malformed", "remove it"),
        ("database or disk is full", "make room"),
        ("attempt to write a readonly database", "make it writable"),
        ("unable to open database file", "make it writable"),
        ("database is locked", "name another folder"),
    ],
)
def test_what_to_do_about_a_study_that_cannot_be_used(reason, way_out):
    outer = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    outer.__cause__ = sqlite3.OperationalError(reason)
    message = str(study.unusable("study.db", outer))
    assert reason in message
    assert way_out in message
    assert "permissions" not in message
