"""The data sets by name."""

import pickle

import numpy as np
import pytest
import torch
from helpers import write_images

import datasets
from common.errors import UserError
from learning import cifar
from learning.augment import Augmentation
from learning.images import image_set
from learning.protocol import RELEASED

# ---- digits ----


def test_digits_are_the_whole_bunch_in_two_stratified_parts():
    train, test = datasets.load("Digits")
    assert len(train) + len(test) == 1797
    assert train.pixels.shape == (1797, 3, 8, 8)
    assert train.pixels.max() == 255
    assert not set(train.index.tolist()) & set(test.index.tolist())
    shares = test.labels.bincount() / (train.labels.bincount() + test.labels.bincount())
    assert shares.min() > 0.19
    assert shares.max() <= 0.2


def test_digit_shapes_are_the_digits_under_coarse_labels():
    train, test = datasets.load("Digits")
    shapes, shapes_test = datasets.load("DigitShapes")
    assert torch.equal(shapes.index, train.index)
    assert torch.equal(shapes.fine_labels, train.labels)
    assert torch.equal(shapes_test.fine_labels, test.labels)
    wanted = "round straight curved curved straight curved round straight round round".split()
    for digit, shape in enumerate(wanted):
        (label,) = shapes.labels[shapes.fine_labels == digit].unique().tolist()
        assert shapes.classes[label] == shape


def test_every_fifth_keeps_copies_of_an_image_together():
    pixels = torch.randint(0, 256, (60, 3, 4, 4), dtype=torch.uint8)
    pixels[40:] = pixels[:20]  # twenty copies, under different labels too
    labels = torch.arange(60) % 3
    images = image_set("Copies", pixels, labels, "abc", Augmentation(4, 0, False, 0))
    train, held_out = datasets.every_fifth(images, labels)
    assert sorted(torch.cat([train, held_out]).tolist()) == list(range(60))
    assert len(held_out) >= 6
    content = [image.tobytes() for image in pixels.numpy()]
    assert not {content[i] for i in train} & {content[i] for i in held_out}


# ---- names ----


def test_class_names_are_known_before_anything_is_decoded(image_folder, tmp_path):
    names = ["cat", "dog", "owl"]
    assert datasets.class_names("Folder", image_folder) == (names, names)
    for name in ("Digits", "DigitShapes"):
        train, _ = datasets.load(name)
        assert datasets.class_names(name) == (list(train.classes), list(train.fine_classes))
    with pytest.raises(UserError, match=r"no folder .*nowhere/train"):
        datasets.class_names("Folder", tmp_path / "nowhere")
    with pytest.raises(UserError, match="Kaggle"):
        datasets.class_names("PinsFaceRecognition", tmp_path / "nowhere")


def test_cifars_class_names():
    assert datasets.class_names("Cifar10")[0][3] == "cat"
    classes, fine_classes = datasets.class_names("Cifar20")
    assert (len(classes), len(fine_classes)) == (20, 100)
    assert fine_classes == sorted(fine_classes)
    assert classes[19] == "vehicles_2"
    assert fine_classes[69] == "rocket"
    assert 69 in cifar.CIFAR20_COARSE[19]


def test_each_fine_class_of_cifar_has_one_coarse_class():
    fine_labels = []
    for members in cifar.CIFAR20_COARSE:
        fine_labels += members
    assert sorted(fine_labels) == list(range(100))


# ---- a user's own images ----


def test_folders_are_read_as_two_parts(image_folder):
    train, test = datasets.load("Folder", image_folder)
    assert train.classes == test.classes == ("cat", "dog", "owl")
    assert train.labels.bincount().tolist() == [8, 8, 8]
    assert test.labels.bincount().tolist() == [3, 3, 3]
    assert train.pixels.shape == (24, 3, 32, 32)
    assert train.files[0].endswith("train/cat/0.png")


@pytest.mark.parametrize(("side", "stored"), [(20, 32), (100, 100), (300, 224)])
def test_large_images_keep_their_size_for_a_vit_and_small_ones_are_not_stored_large(
    side, stored, tmp_path
):
    for part, seed in (("train", 1), ("test", 2)):
        write_images(tmp_path / part, ["a", "b"], 2, seed=seed, size=(side, 10))
    train, _ = datasets.load("Folder", tmp_path, size=224)
    assert train.pixels.shape[-1] == stored
    assert train.augmentation.crop == stored


def test_both_parts_must_have_the_same_classes(image_folder):
    write_images(image_folder / "train", ["emu"], 1)
    with pytest.raises(UserError, match="only one of them has emu"):
        datasets.load("Folder", image_folder)


def test_one_class_is_refused(tmp_path):
    write_images(tmp_path / "train", ["cat"], 2, seed=1)
    write_images(tmp_path / "test", ["cat"], 2, seed=2)
    with pytest.raises(UserError, match="only one class"):
        datasets.load("Folder", tmp_path)


def test_pins_is_split_disjointly_and_under_released_not_at_all(tmp_path):
    write_images(tmp_path / "105_classes_pins_dataset", ["pins_A", "pins_B"], 10, size=(50, 40))
    train, test = datasets.load("PinsFaceRecognition", tmp_path)
    assert (len(train), len(test)) == (16, 4)
    assert train.pixels.shape[-1] == 36
    assert train.augmentation.crop == 32
    assert not set(train.index.tolist()) & set(test.index.tolist())
    released, released_test = datasets.load("PinsFaceRecognition", tmp_path, protocol=RELEASED)
    assert len(released) == 20
    assert torch.equal(released.index, released_test.index)
    # So that no network trained on the test images passes for one that was not.
    assert released.digest != train.digest


def test_pins_says_where_to_get_it(tmp_path):
    with pytest.raises(UserError, match="Kaggle"):
        datasets.load("PinsFaceRecognition", tmp_path / "nowhere")


# ---- CIFAR ----


@pytest.fixture
def cifar_archives(tmp_path, monkeypatch):
    """A folder with both archives in CIFAR's own format; their md5 is not checked.

    Each part has two images a fine class, in the order of the labels.
    """
    import torchvision.datasets

    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    for kind, classes in (("CIFAR10", 10), ("CIFAR100", 100)):
        archive = getattr(torchvision.datasets, kind)
        monkeypatch.setattr(archive, "_check_integrity", lambda self: True)
        folder = tmp_path / archive.base_folder
        folder.mkdir()
        labels = list(range(classes)) * 2
        for name, _ in archive.train_list + archive.test_list:
            write_cifar_part(folder / name, labels)
    names = {"label_names": [f"class{i}" for i in range(10)]}
    write_pickle(tmp_path / "cifar-10-batches-py" / "batches.meta", names)
    names = {
        "fine_label_names": [f"fine{i}" for i in range(100)],
        "coarse_label_names": [f"coarse{i}" for i in range(20)],
    }
    write_pickle(tmp_path / "cifar-100-python" / "meta", names)
    return tmp_path


def write_cifar_part(file, labels, wrong_coarse=0):
    rng = np.random.default_rng(list(file.name.encode()))
    part = {"data": rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8)}
    if "cifar-100" in str(file):
        part["fine_labels"] = labels
        part["coarse_labels"] = [coarse_of(label) for label in labels]
        part["coarse_labels"][3] += wrong_coarse
    else:
        part["labels"] = labels
    write_pickle(file, part)


def coarse_of(fine_label):
    (coarse,) = [c for c, members in enumerate(cifar.CIFAR20_COARSE) if fine_label in members]
    return coarse


def write_pickle(file, content):
    file.write_bytes(pickle.dumps(content))


def test_cifar10_from_its_archive(cifar_archives):
    train, test = datasets.load("Cifar10", cifar_archives)
    assert (len(train), len(test)) == (100, 20)
    assert train.pixels.shape[1:] == (3, 32, 32)
    assert train.classes[3] == "class3"
    assert train.labels[3] == 3


def test_cifar100_and_cifar20_are_one_archive(cifar_archives):
    fine, _ = datasets.load("Cifar100", cifar_archives)
    assert fine.classes[69] == "fine69"
    assert fine.labels[69] == 69
    coarse, _ = datasets.load("Cifar20", cifar_archives)
    assert coarse.classes[19] == "coarse19"
    assert coarse.labels[69] == 19
    assert coarse.fine_labels[69] == 69
    assert torch.equal(coarse.pixels, fine.pixels)


def test_cifars_pixels_are_channels_first_with_rows_in_order(cifar_archives):
    train, _ = datasets.load("Cifar100", cifar_archives)
    part = pickle.loads((cifar_archives / "cifar-100-python" / "train").read_bytes())
    image = part["data"][5].reshape(3, 32, 32)
    assert np.array_equal(train.pixels[5].numpy(), image)


def test_cifar20_refuses_wrong_coarse_labels(cifar_archives):
    file = cifar_archives / "cifar-100-python" / "train"
    write_cifar_part(file, list(range(100)) * 2, wrong_coarse=1)
    with pytest.raises(UserError, match="published"):
        datasets.load("Cifar20", cifar_archives)


def write_cifar_folders(root, classes):
    """Two different images a class in each part."""
    for part, seed in (("train", 1), ("test", 2)):
        write_images(root / part, classes, 2, seed=seed, size=(32, 32))


def test_cifar100_as_folders_of_images_has_the_archives_classes(tmp_path):
    write_cifar_folders(tmp_path / "cifar100", cifar.CIFAR100_CLASSES)
    fine, fine_test = datasets.load("Cifar100", tmp_path)
    coarse, _ = datasets.load("Cifar20", tmp_path)
    assert (len(fine), len(fine_test)) == (200, 200)
    assert fine.classes == tuple(cifar.CIFAR100_CLASSES)
    assert coarse.classes == tuple(cifar.CIFAR20_CLASSES)
    assert fine.source == coarse.source == "folders"
    rockets = fine.labels == cifar.CIFAR100_CLASSES.index("rocket")
    assert rockets.sum() == 2
    assert torch.equal(coarse.fine_labels, fine.labels)
    assert coarse.labels[rockets].tolist() == [19, 19]
    for coarse_label, fine_label in zip(coarse.labels, coarse.fine_labels, strict=True):
        assert int(fine_label) in cifar.CIFAR20_COARSE[coarse_label]


def test_cifar10_as_folders_and_the_archive_comes_first(cifar_archives):
    write_cifar_folders(cifar_archives / "cifar10", cifar.CIFAR10_CLASSES)
    from_archive, _ = datasets.load("Cifar10", cifar_archives)
    assert from_archive.source == "archive"
    (cifar_archives / "cifar-10-batches-py").rename(cifar_archives / "elsewhere")
    from_folders, _ = datasets.load("Cifar10", cifar_archives)
    assert from_folders.source == "folders"
    assert from_folders.classes[3] == "cat"
    assert from_folders.digest != from_archive.digest


def test_folders_that_are_not_cifars_classes_are_named(tmp_path):
    write_cifar_folders(tmp_path / "cifar10", [*cifar.CIFAR10_CLASSES[:9], "lorry"])
    with pytest.raises(UserError, match=r"CIFAR10's 10 classes.*lorry, truck"):
        datasets.load("Cifar10", tmp_path)


def test_no_network_says_what_to_fetch(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_network)
    with pytest.raises(UserError, match=r"cifar-10-python\.tar\.gz.*md5"):
        datasets.load("Cifar10", tmp_path)
