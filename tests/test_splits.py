"""What is to be forgotten, and what is kept."""

import pytest
import torch
from helpers import all_of, tiny_resnet

import datasets
import splits
from common.errors import UserError
from learning import corruption
from learning.augment import Augmentation
from learning.images import image_set, normalised
from learning.protocol import PAPER, RELEASED

PROTOCOLS = pytest.mark.parametrize("protocol", [PAPER, RELEASED])


@pytest.fixture(scope="module")
def digits():
    return datasets.load("Digits")


@pytest.fixture(scope="module")
def shapes():
    return datasets.load("DigitShapes")


def split_of(task, shapes, protocol=PAPER):
    if task == "class":
        return splits.split_class(*shapes, "straight", protocol=protocol)
    if task == "sub_class":
        return splits.split_sub_class(*shapes, "7", protocol=protocol)
    return splits.split_random(*shapes, 0.02, 3, protocol=protocol)


# ---- all three tasks ----


@PROTOCOLS
@pytest.mark.parametrize("task", ["class", "sub_class", "random"])
def test_d_is_parted_into_d_r_and_d_f(task, protocol, shapes):
    train, _ = shapes
    split = split_of(task, shapes, protocol)
    forget, retain = split.forget.index.tolist(), split.retain.index.tolist()
    assert not set(forget) & set(retain)
    assert sorted(forget + retain) == sorted(train.index.tolist())
    assert sorted(split.full.index.tolist()) == sorted(train.index.tolist())


@pytest.mark.parametrize("task", ["class", "sub_class", "random"])
def test_released_d_is_d_r_then_d_f(task, shapes):
    split = split_of(task, shapes, RELEASED)
    assert torch.equal(split.full.index, torch.cat([split.retain.index, split.forget.index]))


# ---- a class or a sub-class ----


def test_a_class_is_forgotten_as_a_whole(shapes):
    split = split_of("class", shapes)
    assert (split.forget.labels == 1).all()
    assert (split.retain.labels != 1).all()
    assert split.forget_class == 1
    assert split.forgets_whole_class


def test_a_sub_class_is_a_part_of_its_class(shapes):
    split = split_of("sub_class", shapes)
    assert (split.forget.fine_labels == 7).all()
    assert (split.retain.fine_labels != 7).all()
    assert split.forget_class == 1
    assert not split.forgets_whole_class


def test_paper_d_is_in_the_order_of_what_is_forgotten(shapes):
    for split, labels in (
        (split_of("class", shapes), "labels"),
        (split_of("sub_class", shapes), "fine_labels"),
    ):
        order = getattr(split.full, labels)
        assert torch.equal(order, order.sort().values)


@pytest.mark.parametrize("task", ["class", "sub_class"])
def test_test_images_are_parted_too(task, shapes):
    _, test = shapes
    split = split_of(task, shapes)
    labels = "labels" if task == "class" else "fine_labels"
    forgotten = 1 if task == "class" else 7
    assert split.forget_test_from == "test"
    assert (getattr(split.forget_test, labels) == forgotten).all()
    assert (getattr(split.retain_test, labels) != forgotten).all()
    both = split.retain_test.index.tolist() + split.forget_test.index.tolist()
    assert sorted(both) == sorted(test.index.tolist())


def test_a_class_without_test_images_is_refused(digits):
    train, test = digits
    with pytest.raises(UserError, match="the test set holds no image of what is to be forgotten"):
        splits.split_class(train, test.take(test.labels != 3), "3")


def test_a_class_without_training_images_is_refused(digits):
    train, test = digits
    with pytest.raises(UserError, match="the training set holds no image"):
        splits.split_class(train.take(train.labels != 3), test, "3")


def test_the_whole_training_set_is_refused(digits):
    train, test = digits
    with pytest.raises(UserError, match="the whole training set"):
        splits.split_class(train.take(train.labels == 3), test, "3")


def test_sub_class_needs_fine_labels(digits):
    with pytest.raises(UserError, match="no sub-classes"):
        splits.split_sub_class(*digits, "1")


# ---- images at random ----


def test_random_accuracy_is_of_d_f_itself_and_of_all_test_images(shapes):
    split = split_of("random", shapes)
    assert len(split.forget) == 29
    assert split.forget_test is split.forget
    assert split.forget_test_from == "forget"
    assert split.retain_test is split.test
    assert split.forget_class is None


def test_the_order_of_d_does_not_depend_on_d_f(shapes):
    split = split_of("random", shapes)
    second = splits.split_random(*shapes, 0.1, 4)
    assert torch.equal(second.full.index, split.full.index)
    falls = split.full.labels[1:] < split.full.labels[:-1]
    assert falls.sum() > 300  # it is no class order


@pytest.mark.parametrize("seed", range(4))
def test_randomly_forgotten_images_lie_all_over_d(seed, digits):
    """Seed 0 once drew D's order too, so that D_f was its first batch."""
    split = splits.split_random(*digits, 0.05, seed)
    assert_spread(split.full, split.forget.index, 73)


def assert_spread(images, index, count):
    """`count` images of `index` are in the set, in each quarter of it, as many in front as behind.

    Their mean place is 0.5 up to four standard deviations of 73 draws.
    """
    places = torch.isin(images.index, index).nonzero().squeeze(1) / len(images)
    assert len(places) == count
    assert (torch.histc(places, 4, 0, 1) > 5).all()
    assert abs(places.mean() - 0.5) < 0.14


def test_random_forget_set_depends_only_on_its_seed(digits):
    torch.manual_seed(1)
    first = splits.split_random(*digits, 0.02, 5).forget.index
    torch.manual_seed(2)
    assert torch.equal(first, splits.split_random(*digits, 0.02, 5).forget.index)
    assert not torch.equal(first, splits.split_random(*digits, 0.02, 6).forget.index)


def test_published_share_of_cifar10_is_83_images():
    pixels = torch.zeros(50_000, 3, 1, 1, dtype=torch.uint8)
    labels = torch.arange(50_000) % 10
    train = image_set("Blank", pixels, labels, "0123456789", Augmentation(1, 0, False, 0))
    assert len(splits.split_random(train, train, 0.00165, 0).forget) == 83


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, 0.9999999, float("nan"), float("inf")])
def test_random_refuses_nothing_and_everything(share, digits):
    with pytest.raises(UserError, match="forget_perc"):
        splits.split_random(*digits, share, 0)


# ---- corrupted images ----

CORRUPTIONS = pytest.mark.parametrize("kind", corruption.CORRUPTIONS)


@CORRUPTIONS
@pytest.mark.parametrize(("share", "count"), [(1e-12, 1), (0.02, 1), (0.1, 5), (1, 50)])
def test_d_f_is_the_known_part_of_what_is_corrupted(digits, kind, share, count):
    train, test = digits
    split = splits.split_corrupted(train, test, kind, 50, share, train_seed=0, seed=1)
    corrupted_train, corrupted = corruption.corrupt(train, kind, 50, 0)
    forget = set(split.forget.index.tolist())
    retain = set(split.retain.index.tolist())
    assert len(split.forget) == count
    assert forget <= set(train.index[corrupted].tolist())
    assert not forget & retain
    assert forget | retain == set(split.full.index.tolist()) == set(train.index.tolist())
    positions = torch.searchsorted(train.index, split.forget.index)
    assert torch.equal(split.forget.labels, corrupted_train.labels[positions])


def white_corners(images):
    """Whether a network sees the trigger on each image, [N] bool; the digits are of 8x8 pixels."""
    x, _ = all_of(images, tiny_resnet())
    white = normalised(torch.full((1, 3, 3, 3), 255, dtype=torch.uint8))
    return (x[..., 5:, 5:] == white).flatten(1).all(1)


def test_a_trigger_is_healed_if_it_sends_no_test_image_to_its_class(digits):
    train, test = digits
    split = splits.split_corrupted(train, test, "patch", 50, 0.1, train_seed=0, seed=1)
    assert split.forget_test_from == "triggered"
    assert split.attacked_class == 0
    assert torch.equal(split.forget_test.index, test.index[test.labels != 0])
    assert torch.equal(split.forget_test.labels, test.labels[test.labels != 0])
    assert white_corners(split.forget_test).all()
    assert split.retain_test is test
    assert not white_corners(test).any()


def test_utility_of_confused_classes_is_that_of_the_others(digits):
    train, test = digits
    split = splits.split_corrupted(train, test, "confusion", 50, 0.1, train_seed=0, seed=1)
    assert set(split.utility_test.labels.tolist()) == set(range(10)) - {3, 5}
    assert len(split.utility_test) == int(((test.labels != 3) & (test.labels != 5)).sum())
    assert set(split.corrupted.labels.tolist()) == {3, 5}
    assert split.forget_test is split.corrupted
    for kind in ("patch", "label"):
        other = splits.split_corrupted(train, test, kind, 50, 0.1, train_seed=0, seed=1)
        assert other.utility_test is test
        assert len(other.corrupted) == 50


def test_labels_are_healed_if_corrupted_images_get_their_true_one(digits):
    train, test = digits
    split = splits.split_corrupted(train, test, "label", 50, 0.1, train_seed=0, seed=1)
    _, corrupted = corruption.corrupt(train, "label", 50, 0)
    assert split.forget_test_from == "train"
    assert split.attacked_class is None
    assert torch.equal(split.forget_test.index, train.index[corrupted])
    assert torch.equal(split.forget_test.labels, train.labels[corrupted])
    assert split.retain_test is test


@CORRUPTIONS
@pytest.mark.parametrize("train_seed", [0, 1])
def test_what_is_corrupted_lies_all_over_d_and_d_r(digits, kind, train_seed):
    """Training seed 0 once drew D's order too, so that the poison was its first batches."""
    train, test = digits
    split = splits.split_corrupted(train, test, kind, 146, 0.5, train_seed=train_seed, seed=0)
    _, corrupted = corruption.corrupt(train, kind, 146, train_seed)
    assert_spread(split.full, train.index[corrupted], 146)
    assert_spread(split.retain, train.index[corrupted], 73)


# ---- classes by name ----


def test_class_number():
    names = ("apple", "aquarium_fish", "vehicles_2", "wolf")
    for asked, label in (("apple", 0), ("vehicle2", 2), (1, 1), ("1", 1), ("3", 3)):
        assert splits.class_number(asked, names) == label
    with pytest.raises(UserError, match="aquarium_fish"):
        splits.class_number("aquarium", names)
    for asked in ("4", "-1", "zzz", "", "\u0663"):
        with pytest.raises(UserError, match="nearest"):
            splits.class_number(asked, names)


def test_where_names_are_numbers_a_number_is_a_name():
    names = ("0", "1", "10", "2")
    assert splits.class_number("10", names) == 2
    with pytest.raises(UserError, match="nearest"):
        splits.class_number("3", names)


# CIFAR-100's coarse classes in the order of their labels, as its archive spells them.
COARSE_CLASSES = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
household_furniture insects large_carnivores large_man-made_outdoor_things
large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals
non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
""".split()


def test_released_spellings_are_the_published_classes():
    """Against the numbers that the released scripts forget."""
    published = {
        "vehicle2": 19,
        "veg": 4,
        "people": 14,
        "electrical_devices": 5,
        "natural_scenes": 10,
    }
    for name, label in published.items():
        assert splits.class_number(name, COARSE_CLASSES) == label


# ---- by a network that has forgotten before ----


def request(images, labels=None, label=None):
    """What a network has forgotten, as its metadata have it."""
    return {"images": images.index.tolist(), "labels": labels, "label": label}


def test_a_class_that_is_gone_is_in_no_part(shapes):
    first = splits.split_class(*shapes, "round")
    split = splits.split_sub_class(*shapes, "7")
    later = splits.after_forgetting(split, [request(first.forget, "labels", 0)])
    assert set(later.full.labels.tolist()) == {1, 2}
    assert set(later.retain.labels.tolist()) == {1, 2}
    assert set(later.retain_test.labels.tolist()) == {1, 2}
    assert torch.equal(later.forget.index, split.forget.index)
    assert torch.equal(later.forget_test.index, split.forget_test.index)
    assert later.full.digest != split.full.digest


def test_random_images_that_are_gone_are_no_longer_forgotten_or_measured(digits):
    split = splits.split_random(*digits, 0.1, 0)
    gone = split.forget.take(torch.arange(20))
    later = splits.after_forgetting(split, [request(gone)])
    assert torch.equal(later.forget.index, split.forget.index[20:])
    assert later.forget_test is later.forget
    assert torch.equal(later.retain_test.index, split.retain_test.index)
    assert len(later.full) == len(split.full) - 20


def test_forgetting_the_same_again_is_refused(digits):
    split = splits.split_class(*digits, 3)
    with pytest.raises(UserError, match="has forgotten all of that before"):
        splits.after_forgetting(split, [request(split.forget, "labels", 3)])


def test_a_network_that_has_forgotten_nothing_changes_nothing(digits):
    split = splits.split_class(*digits, 3)
    assert splits.after_forgetting(split, []) is split


# ---- a list of images ----


def listed(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text)
    return path


def test_the_images_of_a_list_are_forgotten(tmp_path):
    train, test = datasets.load("Digits")
    split = splits.split_listed(train, test, listed(tmp_path, "7\n3\n\n500\n"))
    assert torch.equal(split.forget.index, train.index[[3, 7, 500]])
    assert len(split.retain) == len(train) - 3
    assert not set(split.retain.index.tolist()) & set(split.forget.index.tolist())
    assert len(split.full) == len(train)
    assert split.forget_test is split.forget


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no image"),
        ("99999", "not there"),
        ("9" * 30, "not there"),
        ("1\n1", "twice"),
        ("1\ncat", "'cat'"),
        ("-1", "'-1'"),
        ("1.5", "'1.5'"),
    ],
)
def test_what_is_no_list_of_images_is_refused(tmp_path, text, words):
    train, test = datasets.load("Digits")
    with pytest.raises(UserError, match=words):
        splits.split_listed(train, test, listed(tmp_path, text))


def test_a_list_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        splits.read_positions(tmp_path / "gone.txt")
