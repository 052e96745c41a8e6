"""The data sets, the folders, and the splits."""

import pickle

import numpy as np
import pytest
import torch
from conftest import write_images
from PIL import Image

import datasets
import splits
from common.errors import UserError
from learning import folders
from learning.augment import Augmentation
from learning.images import image_set
from learning.protocol import PAPER, RELEASED


def test_digits_are_the_whole_bunch_in_two_stratified_parts():
    train, test = datasets.load("Digits")
    assert (
        len(train) + len(test) == 1797
        and train.pixels.shape == (1797, 3, 8, 8)
        and train.pixels.max() == 255
    )
    assert not set(train.index.tolist()) & set(test.index.tolist())
    shares = test.labels.bincount() / (train.labels.bincount() + test.labels.bincount())
    assert shares.min() > 0.19 and shares.max() <= 0.2
    shapes, _ = datasets.load("DigitShapes")
    assert torch.equal(shapes.fine_labels, train.labels)
    names = [
        shapes.classes[int(shapes.labels[shapes.fine_labels == digit].unique())]
        for digit in range(10)
    ]
    assert names == [
        "round",
        "straight",
        "curved",
        "curved",
        "straight",
        "curved",
        "round",
        "straight",
        "round",
        "round",
    ]


def test_every_fifth_keeps_copies_of_an_image_together():
    pixels = torch.randint(0, 256, (60, 3, 4, 4), dtype=torch.uint8)
    pixels[40:] = pixels[:20]  # twenty copies, under other labels too
    labels = torch.arange(60) % 3
    whole = image_set("Copies", pixels, labels, "abc", Augmentation(4, 0, False, 0))
    train, test = datasets.every_fifth(whole, labels)
    assert sorted(torch.cat([train, test]).tolist()) == list(range(60)) and len(test) >= 6
    images = [image.tobytes() for image in pixels.numpy()]
    assert not {images[i] for i in train} & {images[i] for i in test}


@pytest.mark.parametrize("protocol", [PAPER, RELEASED])
@pytest.mark.parametrize("task", ["class", "sub_class", "random"])
def test_splits_are_disjoint_complete_and_ordered(task, protocol):
    train, test = datasets.load("DigitShapes")
    if task == "class":
        split = splits.split_class(train, test, "straight", protocol=protocol)
        forgotten, order = split.forget.labels == 1, split.full.labels
    elif task == "sub_class":
        split = splits.split_sub_class(train, test, "7", protocol=protocol)
        forgotten, order = split.forget.fine_labels == 7, split.full.fine_labels
        assert split.forget_class == 1 and not split.forgets_whole_class
    else:
        split = splits.split_random(train, test, 0.02, 3, protocol=protocol)
        forgotten, order = torch.tensor([len(split.forget) == 29]), None
        assert split.forget_test is split.forget and torch.equal(
            split.retain_test.index, test.index
        )
    assert forgotten.all()
    forget, retain = split.forget.index.tolist(), split.retain.index.tolist()
    assert (
        sorted(forget + retain) == sorted(split.full.index.tolist()) == sorted(train.index.tolist())
    )
    assert not set(forget) & set(retain)
    if task != "random":
        assert sorted(
            split.retain_test.index.tolist() + split.forget_test.index.tolist()
        ) == sorted(test.index.tolist())
    if protocol is RELEASED:
        assert split.full.index.tolist() == retain + forget
    elif task == "random":
        other = splits.split_random(train, test, 0.1, 4)
        assert torch.equal(other.full.index, split.full.index)  # D's order does not depend on D_f
        assert (split.full.labels[1:] < split.full.labels[:-1]).sum() > 300  # and is no class order
    else:
        assert torch.equal(order, order.sort().values)


@pytest.mark.parametrize("seed", range(4))
def test_randomly_forgotten_images_lie_all_over_d(seed):
    """Seed 0 once drew D's order too, so that D_f was its first batch."""
    split = splits.split_random(*datasets.load("Digits"), 0.05, seed)
    at = torch.isin(split.full.index, split.forget.index).nonzero().squeeze(1) / len(split.full)
    assert (
        len(at) == 73 and (torch.histc(at, 4, 0, 1) > 5).all() and abs(at.mean() - 0.5) < 0.14
    )  # four standard deviations


def test_a_class_without_test_images_is_refused():
    train, test = datasets.load("Digits")
    with pytest.raises(UserError, match="no image of what is to be forgotten"):
        splits.split_class(train, test.take(test.labels != 3), "3")


def test_random_forget_set_depends_on_its_seed_alone():
    train, test = datasets.load("Digits")
    torch.manual_seed(1)
    one = splits.split_random(train, test, 0.02, 5).forget.index
    torch.manual_seed(2)
    assert torch.equal(one, splits.split_random(train, test, 0.02, 5).forget.index)
    assert not torch.equal(one, splits.split_random(train, test, 0.02, 6).forget.index)


def test_published_share_of_cifar10_is_83_images():
    pixels = torch.zeros(50_000, 3, 1, 1, dtype=torch.uint8)
    train = image_set(
        "Blank",
        pixels,
        torch.arange(50_000) % 10,
        map(str, range(10)),
        Augmentation(1, 0, False, 0),
    )
    assert len(splits.split_random(train, train, 0.00165, 0).forget) == 83


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, 0.9999999, float("nan"), float("inf")])
def test_random_refuses_nothing_and_everything(share):
    with pytest.raises(UserError, match="forget_perc"):
        splits.split_random(*datasets.load("Digits"), share, 0)


def test_class_number():
    names = ("apple", "aquarium_fish", "vehicles_2", "wolf")
    assert [splits.class_number(asked, names) for asked in ("apple", "vehicle2", 1, "1", "3")] == [
        0,
        2,
        1,
        1,
        3,
    ]
    assert splits.class_number("10", ("0", "1", "10", "2")) == 2  # the name, not the number
    with pytest.raises(UserError, match="nearest"):
        splits.class_number("3", ("0", "1", "10", "2"))  # and no number where names are numbers
    with pytest.raises(UserError, match="aquarium_fish"):
        splits.class_number("aquarium", names)
    for asked in ("4", "-1", "zzz", "", "\u0663"):
        with pytest.raises(UserError, match="nearest"):
            splits.class_number(asked, names)


def test_released_spellings_are_the_published_classes():
    """CIFAR-100's coarse labels as its archive spells them, against the numbers that the released scripts forget."""
    names = [
        "aquatic_mammals",
        "fish",
        "flowers",
        "food_containers",
        "fruit_and_vegetables",
        "household_electrical_devices",
        "household_furniture",
        "insects",
        "large_carnivores",
        "large_man-made_outdoor_things",
        "large_natural_outdoor_scenes",
        "large_omnivores_and_herbivores",
        "medium_mammals",
        "non-insect_invertebrates",
        "people",
        "reptiles",
        "small_mammals",
        "trees",
        "vehicles_1",
        "vehicles_2",
    ]
    asked = ("vehicle2", "veg", "people", "electrical_devices", "natural_scenes")
    assert [splits.class_number(name, names) for name in asked] == [19, 4, 14, 5, 10] and len(
        names
    ) == 20


def test_sub_class_needs_fine_labels():
    with pytest.raises(UserError, match="no sub-classes"):
        splits.split_sub_class(*datasets.load("Digits"), "1")


def test_folder_reads_as_pillow_does_and_uses_its_cache(image_folder, monkeypatch):
    Image.open(image_folder / "train" / "cat" / "0.png").convert("P").save(
        image_folder / "train" / "cat" / "palette.gif"
    )
    (image_folder / "train" / "cat" / "notes.txt").write_text("no image")
    train, test = datasets.load("Folder", image_folder)
    assert (
        train.classes == ("cat", "dog", "owl")
        and train.labels.bincount().tolist() == [9, 8, 8]
        and len(test) == 9
    )
    assert train.pixels.shape == (25, 3, 32, 32)
    picture = Image.open(image_folder / "train" / "dog" / "3.png").resize(
        (32, 32), Image.Resampling.BILINEAR
    )
    assert np.array_equal(train.pixels[9 + 3].permute(1, 2, 0).numpy(), np.asarray(picture))
    monkeypatch.setattr(folders, "_decode", None)  # from here on decoding would fail
    again, _ = datasets.load("Folder", image_folder)
    assert torch.equal(again.pixels, train.pixels) and again.digest == train.digest


def test_sixteen_bit_images_keep_their_shades_and_ranges_unknown_are_refused(image_folder):
    shades = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(shades).save(image_folder / "train" / "cat" / "0.png")
    train, _ = datasets.load("Folder", image_folder)
    assert len(train.pixels[0].unique()) > 30 and train.pixels[0].max() > 200
    Image.fromarray(np.zeros((8, 8), dtype=np.float32)).save(
        image_folder / "train" / "cat" / "0.tiff"
    )
    with pytest.raises(UserError, match=r"0\.tiff.*mode F"):
        datasets.load("Folder", image_folder)


def test_folder_decodes_anew_after_damage_or_change(image_folder):
    before, _ = datasets.load("Folder", image_folder)
    cache = image_folder / ".decoded" / "train-32.safetensors"
    data = bytearray(cache.read_bytes())
    data[-1] ^= 1
    cache.write_bytes(data)
    after, _ = datasets.load("Folder", image_folder)
    assert torch.equal(after.pixels, before.pixels)
    cache.write_bytes(b"torn")
    assert torch.equal(datasets.load("Folder", image_folder)[0].pixels, before.pixels)
    Image.new("RGB", (5, 5), "red").save(image_folder / "train" / "cat" / "0.png")
    changed, _ = datasets.load("Folder", image_folder)
    assert (changed.pixels[0, 0] == 255).all() and changed.digest != before.digest


def test_large_images_keep_their_size_for_a_vit_and_small_ones_are_not_stored_large(tmp_path):
    for name, side, stored in (("small", 20, 32), ("middle", 100, 100), ("large", 300, 224)):
        for part, seed in (("train", 1), ("test", 2)):
            write_images(tmp_path / name / part, ["a", "b"], 2, seed=seed, size=(side, 10))
        assert datasets.load("Folder", tmp_path / name, size=224)[0].pixels.shape[-1] == stored


def test_folder_refusals(image_folder, tmp_path):
    def refused(words):
        with pytest.raises(UserError, match=words):
            datasets.load("Folder", image_folder)

    whole = (image_folder / "train" / "dog" / "1.png").read_bytes()
    (image_folder / "train" / "dog" / "1.png").write_bytes(whole[:-60])
    refused(r"1 file cannot be read as an image: .*dog/1\.png")
    (image_folder / "train" / "dog" / "1.png").write_bytes(b"not an image")
    (image_folder / "train" / "owl" / "2.png").write_bytes(b"")
    refused(r"2 files cannot be read as images: .*dog/1\.png .*owl/2\.png")
    (image_folder / "train" / "owl" / "2.png").unlink()
    (image_folder / "train" / "dog" / "1.png").write_bytes(whole)
    (image_folder / "train" / "emu").mkdir()
    refused("emu holds no image")
    write_images(
        image_folder / "train" / "emu", ["deeper"], 1
    )  # images in a folder of a folder count
    refused("only one of them has emu")
    with pytest.raises(UserError, match="no folder"):
        datasets.load("Folder", tmp_path / "nowhere")
    (tmp_path / "bare" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match="no class folders"):
        datasets.load("Folder", tmp_path / "bare")


def test_class_names_are_known_before_anything_is_decoded(image_folder, tmp_path):
    assert datasets.class_names("Folder", image_folder) == (["cat", "dog", "owl"],) * 2
    for name, words in (("Folder", "no folder .*nowhere/train"), ("PinsFaceRecognition", "Kaggle")):
        with pytest.raises(UserError, match=words):
            datasets.class_names(name, tmp_path / "nowhere")
    for name in ("Digits", "DigitShapes"):
        train, _ = datasets.load(name)
        assert datasets.class_names(name) == (list(train.classes), list(train.fine_classes))
    classes, fine_classes = datasets.class_names("Cifar20")
    assert (len(classes), len(fine_classes)) == (20, 100) and fine_classes == sorted(fine_classes)
    assert (classes[19], fine_classes[69]) == (
        "vehicles_2",
        "rocket",
    ) and 69 in datasets.CIFAR20_COARSE[19]
    assert [
        classes.index(splits.SPELLINGS[name]) for name in ("vehicle2", "veg", "natural_scenes")
    ] == [19, 4, 10]
    assert datasets.class_names("Cifar10")[0][3] == "cat"


def test_pins_is_split_disjointly_and_under_released_not_at_all(tmp_path):
    write_images(tmp_path / "105_classes_pins_dataset", ["pins_A", "pins_B"], 10, size=(50, 40))
    train, test = datasets.load("PinsFaceRecognition", tmp_path)
    assert (
        len(train) == 16
        and len(test) == 4
        and train.pixels.shape[-1] == 36
        and train.augmentation.crop == 32
    )
    assert not set(train.index.tolist()) & set(test.index.tolist())
    parted = train.digest
    train, test = datasets.load("PinsFaceRecognition", tmp_path, protocol=RELEASED)
    assert (
        train.digest != parted
    )  # so that no network trained on the test images passes for one that was not
    assert torch.equal(train.index, test.index) and len(train) == 20
    with pytest.raises(UserError, match="Kaggle"):
        datasets.load("PinsFaceRecognition", tmp_path / "nowhere")


def fake_cifar(root, kind, monkeypatch, wrong_coarse=False):
    """An archive in CIFAR's own format with two images a fine class in each part, its md5 check left out."""
    import torchvision.datasets

    rng = np.random.default_rng(0)
    archive = getattr(torchvision.datasets, kind)
    monkeypatch.setattr(archive, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    folder = root / archive.base_folder
    folder.mkdir(parents=True)
    fine = list(range(100 if kind == "CIFAR100" else 10)) * 2
    coarse = [
        next(c for c, members in enumerate(datasets.CIFAR20_COARSE) if f in members) for f in fine
    ]
    coarse[3] = (coarse[3] + wrong_coarse) % 20
    for name, _ in archive.train_list + archive.test_list:
        entry = {"data": rng.integers(0, 256, (len(fine), 3072), dtype=np.uint8)}
        entry.update(
            {"fine_labels": fine, "coarse_labels": coarse}
            if kind == "CIFAR100"
            else {"labels": fine}
        )
        (folder / name).write_bytes(pickle.dumps(entry))
    names = {
        "fine_label_names": [f"fine{i}" for i in range(100)],
        "coarse_label_names": [f"coarse{i}" for i in range(20)],
    }
    meta = names if kind == "CIFAR100" else {"label_names": [f"class{i}" for i in range(10)]}
    (folder / archive.meta["filename"]).write_bytes(pickle.dumps(meta))


def test_cifar_sets_from_archives(tmp_path, monkeypatch):
    fake_cifar(tmp_path, "CIFAR10", monkeypatch)
    fake_cifar(tmp_path, "CIFAR100", monkeypatch)
    train, test = datasets.load("Cifar10", tmp_path)
    assert (
        len(train) == 100
        and len(test) == 20
        and train.pixels.shape[1:] == (3, 32, 32)
        and train.classes[3] == "class3"
    )
    fine, _ = datasets.load("Cifar100", tmp_path)
    assert fine.classes[69] == "fine69" and fine.labels[69] == 69
    coarse, _ = datasets.load("Cifar20", tmp_path)
    assert (
        coarse.classes[19] == "coarse19"
        and coarse.labels[69] == 19
        and coarse.fine_labels[69] == 69
    )
    assert torch.equal(coarse.pixels, fine.pixels)
    row = np.asarray(
        pickle.loads((tmp_path / "cifar-100-python" / "train").read_bytes())["data"][5]
    ).reshape(3, 32, 32)
    assert np.array_equal(fine.pixels[5].numpy(), row)  # channels first, rows in order
    split = splits.split_sub_class(coarse, coarse, "fine69")
    assert split.forget_class == 19 and len(split.forget) == 2


def test_cifar20_refuses_other_coarse_labels(tmp_path, monkeypatch):
    fake_cifar(tmp_path, "CIFAR100", monkeypatch, wrong_coarse=True)
    with pytest.raises(UserError, match="published"):
        datasets.load("Cifar20", tmp_path)


def test_cifar20_map_has_every_fine_label_once():
    assert sorted(fine for members in datasets.CIFAR20_COARSE for fine in members) == list(
        range(100)
    )


def test_no_network_says_what_to_fetch(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_network)
    with pytest.raises(UserError, match=r"cifar-10-python\.tar\.gz.*md5"):
        datasets.load("Cifar10", tmp_path)
