"""Identical images within a data set and in both of its parts."""

import json
import shutil

import pytest
import torch
from conftest import DIGITS, NET, assert_refused, call, only_record, write_images

import datasets
from common.errors import UserError
from learning import duplicates

FOLDER = (*NET, "-dataset", "Folder", "-data", "own")


@pytest.fixture
def copies(tmp_path):
    """own/: three classes of images; dog/1 is in the test set too, cat/2 is an owl too, owl/3 is there twice."""
    root = tmp_path / "own"
    write_images(root / "train", ["cat", "dog", "owl"], 8, seed=1)
    write_images(root / "test", ["cat", "dog", "owl"], 3, seed=2)
    shutil.copy(root / "train" / "dog" / "1.png", root / "test" / "dog" / "9.png")
    shutil.copy(root / "train" / "cat" / "2.png", root / "train" / "owl" / "9.png")
    shutil.copy(root / "train" / "owl" / "3.png", root / "train" / "owl" / "99.png")
    return root


def test_copies_are_kept_counted_and_listed(copies):
    with pytest.warns(
        UserWarning,
        match="3 groups of identical images, 1 of them with different labels; 1 test image also",
    ) as said:
        train, test = datasets.load("Folder", copies)
    assert len(said) == 1 and str(copies / "duplicates-Folder.txt") in str(said[0].message)
    assert (len(train), len(test)) == (26, 10)
    assert duplicates.counts(train, test) == {
        "groups": 3,
        "differing_labels": 1,
        "test_in_training": 1,
        "dropped": 0,
    }
    lines = (copies / "duplicates-Folder.txt").read_text().splitlines()
    files = {line.split("\t")[-1][len(str(copies)) + 1 :] for line in lines if "\t" in line}
    assert files == {
        "train/dog/1.png",
        "test/dog/9.png",
        "train/cat/2.png",
        "train/owl/9.png",
        "train/owl/3.png",
        "train/owl/99.png",
    }


def test_copies_leave_the_part_that_the_user_names(copies):
    with pytest.warns(UserWarning):
        kept, kept_test = datasets.load("Folder", copies)
    with pytest.warns(UserWarning, match="left out: 1 test image"):
        train, test = datasets.load("Folder", copies, duplicates="drop_test")
    assert (
        (len(train), len(test)) == (26, 9)
        and train.digest == kept.digest
        and test.digest != kept_test.digest
    )
    assert not any(test.files[i].endswith("dog/9.png") for i in test.index)
    with pytest.warns(UserWarning, match="left out: 1 training image"):
        train, test = datasets.load("Folder", copies, duplicates="drop_train")
    assert (
        (len(train), len(test)) == (25, 10)
        and train.digest != kept.digest
        and test.digest == kept_test.digest
    )
    assert not any(train.files[i].endswith("dog/1.png") for i in train.index)
    assert duplicates.counts(train, test) == {
        "groups": 2,
        "differing_labels": 1,
        "test_in_training": 0,
        "dropped": 1,
    }
    with pytest.raises(
        UserError, match=r"duplicates-Folder.txt; remove them, or take -duplicates keep"
    ):
        datasets.load("Folder", copies, duplicates="refuse")


def test_a_test_set_that_is_the_training_set_is_refused(copies):
    shutil.rmtree(copies / "test")
    shutil.copytree(copies / "train", copies / "test")
    for handling in duplicates.HANDLING:
        with pytest.raises(UserError, match="26 of 26 test images are training images too"):
            datasets.load("Folder", copies, duplicates=handling)


def test_equal_numbers_are_equal_images():
    train, _ = datasets.load("Digits")
    changed = train.pixels.clone()
    changed[5, 2, 7, 7] ^= 1
    equal = (
        datasets.image_set(
            "Digits", changed, torch.zeros(len(changed)), "0", train.augmentation
        ).identity
        == train.identity
    )
    assert torch.equal(torch.where(~equal)[0], torch.tensor([5]))


def test_a_run_says_which_forgotten_images_stay_in_the_training_set(copies, tmp_path):
    flags = (*FOLDER, "-forget_class", "cat", "-method", "baseline", "-wandb", "disabled")
    assert call("pretrain_model.py", *FOLDER, "-epochs", 1, "-b", 8, cwd=tmp_path).returncode == 0
    done = call("forget_full_class_main.py", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = only_record(tmp_path / "results")
    assert record["config"]["duplicates"] == "keep"
    assert record["duplicates"] == {
        "groups": 3,
        "differing_labels": 1,
        "test_in_training": 1,
        "dropped": 0,
        "forgotten_among_retained": 1,
    }
    other = call("forget_full_class_main.py", *flags, "-duplicates", "drop_test", cwd=tmp_path)
    assert other.returncode == 0, other.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json")]
    assert sorted(record["duplicates"]["dropped"] for record in records) == [0, 1]
    # Without the training copies it is another training set: a network of its own, under a name of its own.
    refused = call("forget_full_class_main.py", *flags, "-duplicates", "drop_train", cwd=tmp_path)
    assert_refused(
        refused, "ResNet18Slim-Folder-own-seed0-drop_train.safetensors", "pretrain_model.py"
    )


def test_an_unknown_handling_is_refused(tmp_path):
    assert_refused(
        call("pretrain_model.py", *DIGITS, "-duplicates", "burn", cwd=tmp_path),
        "-duplicates",
        "drop_test",
    )
