"""Folders of images: what is read, what is kept, and what is refused."""

import numpy as np
import pytest
import torch
from helpers import write_images
from PIL import Image

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
