"""Identical images within a data set and in both of its parts."""

import shutil

import pytest
import torch
from helpers import write_images

import datasets
from common.errors import UserError
from learning import duplicates
from learning.images import identities


@pytest.fixture
def copies(tmp_path):
    """own/: three classes of images, and three copies.

    dog/1 is in the test set too, cat/2 is an owl too, owl/3 is there twice.
    """
    root = tmp_path / "own"
    write_images(root / "train", ["cat", "dog", "owl"], 8, seed=1)
    write_images(root / "test", ["cat", "dog", "owl"], 3, seed=2)
    shutil.copy(root / "train" / "dog" / "1.png", root / "test" / "dog" / "9.png")
    shutil.copy(root / "train" / "cat" / "2.png", root / "train" / "owl" / "9.png")
    shutil.copy(root / "train" / "owl" / "3.png", root / "train" / "owl" / "99.png")
    return root


@pytest.fixture
def kept(copies):
    with pytest.warns(UserWarning):
        return datasets.load("Folder", copies)


def files_of(images):
    return {images.files[i] for i in images.index}


def test_copies_are_kept_and_counted(copies):
    with pytest.warns(UserWarning) as warnings:
        train, test = datasets.load("Folder", copies)
    assert (len(train), len(test)) == (26, 10)
    assert duplicates.counts(train, test) == {
        "groups": 3,
        "differing_labels": 1,
        "test_in_training": 1,
        "dropped": 0,
    }
    (warning,) = warnings
    message = str(warning.message)
    assert "3 groups of identical images, 1 of them with different labels" in message
    assert "; 1 test image also" in message
    assert str(copies / "duplicates-Folder.txt") in message


def test_all_copies_are_listed(copies, kept):
    lines = (copies / "duplicates-Folder.txt").read_text().splitlines()
    rows = [line.split("\t") for line in lines if "\t" in line]
    files = [row[-1].removeprefix(f"{copies}/") for row in rows]
    assert sorted(files) == [
        "test/dog/9.png",
        "train/cat/2.png",
        "train/dog/1.png",
        "train/owl/3.png",
        "train/owl/9.png",
        "train/owl/99.png",
    ]


def test_copies_leave_the_test_set(copies, kept):
    kept_train, kept_test = kept
    with pytest.warns(UserWarning, match="omitted: 1 test image"):
        train, test = datasets.load("Folder", copies, duplicates="drop_test")
    assert (len(train), len(test)) == (26, 9)
    assert train.digest == kept_train.digest
    assert test.digest != kept_test.digest
    assert files_of(kept_test) - files_of(test) == {str(copies / "test/dog/9.png")}


def test_copies_leave_the_training_set(copies, kept):
    kept_train, kept_test = kept
    with pytest.warns(UserWarning, match="omitted: 1 training image"):
        train, test = datasets.load("Folder", copies, duplicates="drop_train")
    assert (len(train), len(test)) == (25, 10)
    assert train.digest != kept_train.digest
    assert test.digest == kept_test.digest
    assert files_of(kept_train) - files_of(train) == {str(copies / "train/dog/1.png")}
    assert duplicates.counts(train, test) == {
        "groups": 2,
        "differing_labels": 1,
        "test_in_training": 0,
        "dropped": 1,
    }


def test_copies_are_refused(copies):
    words = r"duplicates-Folder.txt; remove them, or take -duplicates keep"
    with pytest.raises(UserError, match=words):
        datasets.load("Folder", copies, duplicates="refuse")


@pytest.mark.parametrize("handling", duplicates.HANDLING)
def test_a_test_set_that_is_the_training_set_is_refused(copies, handling):
    shutil.rmtree(copies / "test")
    shutil.copytree(copies / "train", copies / "test")
    with pytest.raises(UserError, match="26 of 26 test images are training images too"):
        datasets.load("Folder", copies, duplicates=handling)


def test_copies_among_the_retained_images_are_counted(kept):
    """cat/2 is an owl too; owl/3 and owl/99 are both forgotten."""
    train, _ = kept
    owls, others = train.take(train.labels == 2), train.take(train.labels != 2)
    assert duplicates.copies_among(owls, others) == 1


def test_equal_numbers_are_equal_images():
    train, _ = datasets.load("Digits")
    changed = train.pixels.clone()
    changed[5, 2, 7, 7] ^= 1
    differing = torch.where(identities(changed) != train.identity)[0]
    assert differing.tolist() == [5]
