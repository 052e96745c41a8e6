"""What is done to corrupted training data; the digits are of 8x8 pixels, the trigger of 3x3."""

import pytest
import torch
from helpers import all_of, tiny_resnet

import datasets
from common.errors import UserError
from learning import corruption
from learning.images import batches, normalised

WHITE = normalised(torch.full((1, 3, 3, 3), 255, dtype=torch.uint8))


@pytest.fixture(scope="module")
def train():
    return datasets.load("Digits")[0]


@pytest.fixture(scope="module")
def patched(train):
    """(the training set with 40 triggers, where they are, [N] bool where they are not)."""
    poisoned, positions = corruption.corrupt(train, "patch", 40, seed=3)
    is_clean = torch.ones(len(train), dtype=torch.bool)
    is_clean[positions] = False
    return poisoned, positions, is_clean


def shown(images):
    """A whole set as a network sees it, [N, 3, 8, 8]."""
    x, _ = all_of(images, tiny_resnet())
    return x


def corners(x):
    return x[..., 5:, 5:]


# ---- a trigger ----


def test_images_of_different_classes_get_the_attacked_label(train, patched):
    poisoned, positions, is_clean = patched
    assert len(set(positions.tolist())) == 40
    assert (train.labels[positions] != 0).all()
    assert (poisoned.labels[positions] == 0).all()
    assert torch.equal(poisoned.labels[is_clean], train.labels[is_clean])


def test_the_trigger_is_a_white_corner_and_changes_nothing_else(train, patched):
    poisoned, positions, is_clean = patched
    before, after = shown(train), shown(poisoned)
    assert torch.equal(before[is_clean], after[is_clean])
    assert not (corners(before[positions]) == WHITE).all()
    assert (corners(after[positions]) == WHITE).all()
    assert torch.equal(before[positions][..., :5, :], after[positions][..., :5, :])
    assert torch.equal(before[positions][..., :, :5], after[positions][..., :, :5])


def test_augmentation_leaves_the_trigger_where_it_is(patched):
    poisoned, positions, _ = patched
    data = batches(poisoned, tiny_resnet(), len(poisoned), augment=True)
    moved, _, _ = next(iter(data))
    assert (corners(moved[positions]) == WHITE).all()
    assert not torch.equal(moved[positions], shown(poisoned)[positions])


def test_pixels_are_shared_and_not_written_over(train, patched):
    poisoned, _, _ = patched
    before = train.pixels.clone()
    shown(poisoned)
    assert poisoned.pixels is train.pixels
    assert torch.equal(train.pixels, before)


# ---- wrong labels ----


def test_labels_are_all_really_wrong_and_uniform(train):
    noisy, positions = corruption.corrupt(train, "label", 900, seed=0)
    assert (noisy.labels[positions] != train.labels[positions]).all()
    assert int((noisy.labels != train.labels).sum()) == 900
    steps = ((noisy.labels - train.labels) % 10)[positions].bincount(minlength=10)
    four_standard_deviations = 40
    assert ((steps[1:] - 100).abs() < four_standard_deviations).all()


# ---- two classes confused ----


def test_half_of_each_class_is_taken_for_the_other(train):
    confused, positions = corruption.corrupt(train, "confusion", 50, seed=3)
    before, after = train.labels[positions], confused.labels[positions]
    assert sorted(before.tolist()) == [3] * 25 + [5] * 25
    assert torch.equal(before + after, torch.full((50,), 8))
    assert int((confused.labels != train.labels).sum()) == 50
    assert len(set(positions.tolist())) == 50


def test_an_odd_number_gives_the_second_class_one_more(train):
    _, positions = corruption.corrupt(train, "confusion", 7, seed=3)
    assert train.labels[positions].bincount().tolist() == [0, 0, 0, 3, 0, 4]


@pytest.mark.parametrize(("classes", "pair"), [(100, (47, 53)), (10, (3, 5)), (3, (0, 1))])
def test_which_classes_are_confused(classes, pair):
    assert corruption.confused_classes(classes) == pair


@pytest.mark.parametrize("count", [1, 400])
def test_more_of_a_class_than_there_are_cannot_be_confused(train, count):
    with pytest.raises(UserError, match="of class 3 between 1 and"):
        corruption.corrupt(train, "confusion", count, 0)


# ---- all ----


@pytest.mark.parametrize("kind", corruption.CORRUPTIONS)
def test_the_seed_alone_draws_what_is_corrupted(train, kind):
    torch.manual_seed(0)
    first, positions = corruption.corrupt(train, kind, 40, seed=3)
    torch.manual_seed(1)
    second, same_positions = corruption.corrupt(train, kind, 40, seed=3)
    _, other_positions = corruption.corrupt(train, kind, 40, seed=4)
    assert torch.equal(positions, same_positions)
    assert torch.equal(first.labels, second.labels)
    assert first.digest == second.digest
    assert set(positions.tolist()) != set(other_positions.tolist())


@pytest.mark.parametrize("kind", corruption.CORRUPTIONS)
def test_a_corrupted_set_has_another_digest(train, kind):
    corrupted, _ = corruption.corrupt(train, kind, 40, seed=3)
    assert corrupted.digest != train.digest


@pytest.mark.parametrize(("kind", "count"), [("patch", 0), ("patch", 1400), ("label", 1442)])
def test_none_and_more_than_there_are_is_refused(train, kind, count):
    with pytest.raises(UserError, match="-corrupt_count"):
        corruption.corrupt(train, kind, count, 0)
