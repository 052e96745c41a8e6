"""Sets of images, and the batches that networks see."""

from dataclasses import replace

import pytest
import torch
import torchvision.transforms.functional as TF
from helpers import tiny_resnet

import datasets
from learning import images
from learning.augment import Augmentation
from learning.images import Batches, image_set

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [8, 14, 5])
def test_normalised_equals_torchvision(size):
    x = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    wanted = TF.normalize(x.float() / 255, images.MEAN, images.STD)
    wanted = TF.resize(wanted, [size, size], antialias=True)
    assert torch.allclose(images.resized(images.normalised(x), size), wanted, atol=1e-6)


def numbered(count):
    """Images of 2x2 pixels; each pixel, and the label, is the image's number."""
    labels = torch.arange(count)
    pixels = labels.to(torch.uint8)[:, None, None, None].repeat(1, 3, 2, 2)
    return image_set(
        "Numbers", pixels, labels, map(str, range(count)), Augmentation(2, 0, False, 0)
    )


def labels_of(data):
    return [y.tolist() for _, y, _ in data]


@pytest.fixture
def odd():
    """Seven of the numbers to 20: 3, 5, ..., 15."""
    return numbered(20).take(torch.arange(3, 17, 2))


def test_batches_cover_a_subset_in_order(odd):
    data = Batches(odd, 3, CPU, 2)
    assert labels_of(data) == [[3, 5, 7], [9, 11, 13], [15]]
    assert len(data) == 3


def test_a_batch_has_each_images_own_pixels(odd):
    for x, y, _ in Batches(odd, 3, CPU, 2):
        pixels = y.to(torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
        assert torch.equal(x, images.normalised(pixels))


def test_the_index_says_where_in_the_set_an_image_stands(odd):
    torch.manual_seed(0)
    for shuffle in (False, True):
        for _, y, index in Batches(odd, 3, CPU, 2, shuffle=shuffle):
            assert torch.equal(odd.labels[index], y)


def test_each_shuffled_pass_has_another_order(odd):
    torch.manual_seed(0)
    data = Batches(odd, 4, CPU, 2, shuffle=True)
    first, second = labels_of(data), labels_of(data)
    assert first != second
    for batches in (first, second):
        assert sorted(batches[0] + batches[1]) == odd.labels.tolist()


def test_a_shuffled_last_batch_of_one_is_omitted():
    data = Batches(numbered(7), 3, CPU, 2, shuffle=True)
    assert [len(y) for _, y, _ in data] == [3, 3]
    assert len(data) == 2


def test_the_only_batch_is_not_omitted():
    data = Batches(numbered(1), 3, CPU, 2, shuffle=True)
    assert [len(y) for _, y, _ in data] == [1]


def test_joined_sets_keep_labels_of_their_own():
    numbers = numbered(5)
    first, second = numbers.take(torch.tensor([3, 1])), numbers.take(torch.tensor([4]))
    second = images.replace(second, labels=torch.tensor([0]))
    both = images.joined(first, second)
    assert both.index.tolist() == [3, 1, 4]
    assert both.labels.tolist() == [3, 1, 0]


def test_digest_tells_sets_apart():
    numbers = numbered(5)
    assert numbered(5).digest == numbers.digest
    assert numbers.take(torch.tensor([1])).digest == numbers.digest
    pixels = numbers.pixels.clone()
    pixels[0] += 1
    changed = image_set("Numbers", pixels, numbers.labels, "01234", numbers.augmentation)
    assert changed.digest != numbers.digest


# ---- a set's own colours ----


def test_own_statistics_are_those_of_all_pixels():
    train, _ = datasets.load("Digits")
    mean, deviation = images.own_statistics(train)
    pixels = train.pixels[train.index].double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert deviation == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist())


def test_images_are_seen_by_their_own_colours():
    train, _ = datasets.load("Digits")
    own = images.with_statistics(train, images.own_statistics(train))
    x, _, _ = next(iter(images.batches(own, tiny_resnet(), len(own))))
    assert x.mean((0, 2, 3)).abs().max().item() < 1e-4
    assert (x.std((0, 2, 3)) - 1).abs().max().item() < 1e-3
    assert own.digest != train.digest
    usual, _, _ = next(iter(images.batches(train, tiny_resnet(), len(train))))
    assert usual.mean().abs().item() > 0.1


def test_a_colour_that_never_varies_is_not_divided_by_zero():
    train, _ = datasets.load("Digits")
    black = replace(train, pixels=torch.zeros_like(train.pixels))
    assert images.own_statistics(black) == ((0, 0, 0), (1, 1, 1))
