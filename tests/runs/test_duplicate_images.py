"""What the scripts do about identical images."""

import json
import shutil

import pytest
from helpers import DIGITS, NET, assert_refused, call, only_record, write_images

FOLDER = (*NET, "-dataset", "Folder", "-data", "own")
FORGET_CAT = (*FOLDER, "-forget_class", "cat", "-method", "baseline", "-wandb", "disabled")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a network of one epoch for own/, of which cat/2 is an owl too."""
    folder = tmp_path_factory.mktemp("trained")
    write_images(folder / "own" / "train", ["cat", "owl"], 8, seed=1)
    write_images(folder / "own" / "test", ["cat", "owl"], 3, seed=2)
    shutil.copy(folder / "own/train/cat/2.png", folder / "own/train/owl/9.png")
    shutil.copy(folder / "own/train/owl/1.png", folder / "own/test/owl/9.png")
    done = call("pretrain_model.py", *FOLDER, "-epochs", 1, "-b", 8, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def run(folder, *flags):
    return call("forget_full_class_main.py", *FORGET_CAT, *flags, cwd=folder)


@pytest.fixture(scope="module")
def record(trained):
    """Of a run that keeps all copies."""
    done = run(trained)
    assert done.returncode == 0, done.stderr
    return only_record(trained / "results")


def test_a_run_says_which_forgotten_images_stay_in_the_training_set(record):
    assert record["config"]["duplicates"] == "keep"
    assert record["duplicates"] == {
        "groups": 2,
        "differing_labels": 1,
        "test_in_training": 1,
        "dropped": 0,
        "forgotten_among_retained": 1,
    }


def test_a_run_that_handles_copies_otherwise_is_another_run(trained, record):
    done = run(trained, "-duplicates", "drop_test")
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in (trained / "results").rglob("*.json")]
    assert sorted(record["duplicates"]["dropped"] for record in records) == [0, 1]


def test_without_the_training_copies_it_is_another_network(trained):
    done = run(trained, "-duplicates", "drop_train")
    name = "ResNet18Slim-Folder-own-seed0-drop_train.safetensors"
    assert_refused(done, name, "pretrain_model.py")


def test_an_unknown_handling_is_refused(tmp_path):
    done = call("pretrain_model.py", *DIGITS, "-duplicates", "burn", cwd=tmp_path)
    assert_refused(done, "-duplicates", "drop_test")
