"""Folders of images: what is read, what is kept, and what is refused."""

import numpy as np
import pytest
import torch
from helpers import write_images
from PIL import Image

import datasets
import splits
from common.errors import UserError
from learning import folders
from learning.folders import read_folder


@pytest.fixture
def train_folder(image_folder):
    """Eight images each in cat, dog and owl."""
    return image_folder / "train"


def refused(folder, words):
    with pytest.raises(UserError, match=words):
        read_folder(folder, 32)


# ---- what is read ----


def test_images_are_resized_as_pillow_does(train_folder):
    decoded = read_folder(train_folder, 32)
    file = train_folder / "dog" / "3.png"
    row = decoded.files.index(str(file))
    picture = Image.open(file).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(decoded.pixels[row].permute(1, 2, 0).numpy(), np.asarray(picture))
    assert decoded.labels[row] == 1
    assert decoded.classes == ["cat", "dog", "owl"]


def test_every_format_counts_and_nothing_else(train_folder):
    picture = Image.open(train_folder / "cat" / "0.png")
    picture.convert("P").save(train_folder / "cat" / "palette.gif")
    (train_folder / "cat" / "notes.txt").write_text("no image")
    decoded = read_folder(train_folder, 32)
    assert decoded.labels.bincount().tolist() == [9, 8, 8]


def test_images_in_a_folder_of_a_class_folder_count(train_folder):
    write_images(train_folder / "owl", ["deeper"], 1)
    decoded = read_folder(train_folder, 32)
    assert decoded.labels.bincount().tolist() == [8, 8, 9]


def test_sixteen_bit_images_keep_their_shades(train_folder):
    shades = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(shades).save(train_folder / "cat" / "0.png")
    pixels = read_folder(train_folder, 32).pixels[0]
    assert len(pixels.unique()) > 30
    assert pixels.max() > 200


# ---- the cache ----


def test_images_are_decoded_once(train_folder, monkeypatch):
    first = read_folder(train_folder, 32)
    monkeypatch.setattr(folders, "_decode", None)  # from here on decoding would fail
    second = read_folder(train_folder, 32)
    assert torch.equal(second.pixels, first.pixels)
    assert second.digest == first.digest


@pytest.mark.parametrize("damage", ["a bit", "torn"])
def test_a_damaged_cache_is_decoded_anew(train_folder, damage):
    first = read_folder(train_folder, 32)
    cache = train_folder.parent / ".decoded" / "train-32.safetensors"
    data = bytearray(cache.read_bytes())
    data[-1] ^= 1
    cache.write_bytes(data if damage == "a bit" else b"torn")
    assert torch.equal(read_folder(train_folder, 32).pixels, first.pixels)


def test_a_changed_image_is_decoded_anew(train_folder):
    first = read_folder(train_folder, 32)
    Image.new("RGB", (5, 5), "red").save(train_folder / "cat" / "0.png")
    second = read_folder(train_folder, 32)
    assert (second.pixels[0, 0] == 255).all()
    assert second.digest != first.digest


# ---- what is refused ----


def test_a_torn_image_is_named(train_folder):
    file = train_folder / "dog" / "1.png"
    file.write_bytes(file.read_bytes()[:-60])
    refused(train_folder, r"1 file cannot be read as an image: .*dog/1\.png")


def test_all_broken_images_are_named(train_folder):
    (train_folder / "dog" / "1.png").write_bytes(b"not an image")
    (train_folder / "owl" / "2.png").write_bytes(b"")
    refused(
        train_folder, r"2 files cannot be read as images: .*dog/1\.png .*no format.* .*owl/2\.png"
    )


def test_a_range_of_brightness_that_is_unknown_is_refused(train_folder):
    Image.fromarray(np.zeros((8, 8), dtype=np.float32)).save(train_folder / "cat" / "0.tiff")
    refused(train_folder, r"0\.tiff.*mode F")


def test_a_class_without_images_is_refused(train_folder):
    (train_folder / "emu").mkdir()
    refused(train_folder, "emu holds no image")


def test_folders_that_are_not_there_are_refused(tmp_path):
    refused(tmp_path / "nowhere", "no folder")
    (tmp_path / "bare").mkdir()
    refused(tmp_path / "bare", "no class folders")


# ---- two levels: classes and sub-classes ----


@pytest.fixture
def two_levels(tmp_path):
    """DIR/train and DIR/test with two classes of two sub-classes; "other" is in both."""
    root = tmp_path / "animals"
    for part, count in (("train", 4), ("test", 2)):
        write_images(root / part / "bird", ["other", "owl"], count, seed=count)
        write_images(root / part / "cat", ["lion", "other"], count, seed=count + 9)
    return root


def test_sub_folders_are_sub_classes(two_levels):
    train, test = datasets.load("Folder", two_levels)
    assert train.classes == ("bird", "cat")
    assert train.fine_classes == ("bird/other", "owl", "lion", "cat/other")
    assert train.labels.bincount().tolist() == [8, 8]
    assert train.fine_labels.bincount().tolist() == [4, 4, 4, 4]
    for file, fine_label in zip(train.files, train.fine_labels.tolist(), strict=True):
        folder = "/".join(file.split("/")[-3:-1])
        assert folder.endswith(train.fine_classes[fine_label])
    assert test.fine_classes == train.fine_classes
    names = datasets.class_names("Folder", two_levels)
    assert names == (list(train.classes), list(train.fine_classes))


def test_a_sub_class_of_a_folder_is_forgotten(two_levels):
    train, test = datasets.load("Folder", two_levels)
    split = splits.split_sub_class(train, test, "owl")
    assert len(split.forget) == 4
    assert len(split.forget_test) == 2
    assert split.forget_class == 0
    assert not split.forgets_whole_class


def test_other_sub_classes_are_other_data(two_levels):
    before = datasets.load("Folder", two_levels)[0].digest
    for part in ("train", "test"):
        folder = two_levels / part / "cat"
        (folder / "lion").rename(folder / "lynx")
        (folder / "other").rename(folder / "lion")
        (folder / "lynx").rename(folder / "other")
    assert datasets.load("Folder", two_levels)[0].digest != before


def folder_refused(root, words):
    with pytest.raises(UserError, match=words):
        datasets.load("Folder", root)


def test_a_tree_in_which_only_some_classes_have_sub_folders_is_refused(two_levels):
    write_images(two_levels / "train", ["dog"], 2)
    folder_refused(two_levels, "is mixed: dog has no sub-folders")


def test_an_image_next_to_sub_folders_is_refused(two_levels):
    folder = two_levels / "train" / "cat"
    (folder / "lion" / "0.png").rename(folder / "0.png")
    folder_refused(two_levels, "lies next to sub-folders")


def test_a_sub_class_without_images_is_refused(two_levels):
    (two_levels / "train" / "cat" / "tiger").mkdir()
    folder_refused(two_levels, "tiger holds no image")


def test_a_sub_class_that_only_one_part_has_is_refused(two_levels):
    write_images(two_levels / "train" / "cat", ["tiger"], 2)
    folder_refused(two_levels, "same sub-classes; only one of them has tiger")


def test_a_flat_folder_has_no_sub_classes(image_folder):
    classes, fine_classes = datasets.class_names("Folder", image_folder)
    assert classes == fine_classes == ["cat", "dog", "owl"]
