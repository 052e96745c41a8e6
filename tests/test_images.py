"""images.py against PIL and torchvision."""

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from PIL import Image
from torchvision.transforms import InterpolationMode

from learning import augment, images
from learning.augment import Augmentation
from learning.images import Batches, image_set


@pytest.mark.parametrize(
    ("height", "width", "crop", "padding"), [(32, 32, 32, 4), (8, 8, 8, 1), (36, 40, 32, 4)]
)
def test_moved_images_equal_pils_to_the_bit(height, width, crop, padding):
    torch.manual_seed(0)
    count = 200
    x = torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)
    room = [side + 2 * padding - crop + 1 for side in (height, width)]
    top, left, flip = (
        torch.randint(room[0], (count,)),
        torch.randint(room[1], (count,)),
        torch.rand(count) < 0.5,
    )
    degrees = (torch.rand(count, dtype=torch.float64) - 0.5) * 30
    degrees[:3] = torch.tensor([0.0, 15.0, -15.0], dtype=torch.float64)
    got = augment.moved(
        x, augment.placement(top, left, flip, degrees, x.shape, crop, padding), crop
    )
    for i in range(count):
        picture = TF.pad(Image.fromarray(x[i].permute(1, 2, 0).numpy()), [padding])
        picture = TF.crop(picture, int(top[i]), int(left[i]), crop, crop)
        picture = TF.hflip(picture) if flip[i] else picture
        picture = TF.rotate(picture, float(degrees[i]), InterpolationMode.NEAREST)
        assert np.array_equal(np.asarray(picture), got[i].permute(1, 2, 0).numpy()), i


def augmented(x, augmentation):
    labels = torch.zeros(len(x), dtype=torch.int64)
    images_ = image_set("Moved", x, labels, ["one"], augmentation)
    data = Batches(images_, 64, torch.device("cpu"), augmentation.crop, augment=True)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (images.MEAN, images.STD))
    return torch.cat([(batch * std + mean) * 255 for batch, _ in data]).round().to(torch.uint8)


def test_augmented_draws_the_whole_range():
    torch.manual_seed(0)
    x = torch.zeros(400, 3, 5, 5, dtype=torch.uint8)
    x[:, :, 2, 2] = 255  # where the middle pixel goes tells the crop
    moved = augmented(x, Augmentation(crop=5, padding=2, flip=False, degrees=0))
    places = {tuple(p) for p in torch.nonzero(moved[:, 0])[:, 1:].tolist()}
    assert places == {(row, column) for row in range(5) for column in range(5)}
    x = torch.zeros(400, 3, 1, 2, dtype=torch.uint8).repeat(1, 1, 2, 1)
    x[..., 0] = 255
    flipped = augmented(x, Augmentation(crop=2, padding=0, flip=True, degrees=0))
    assert 150 < int((flipped[:, 0, 0, 1] == 255).sum()) < 250


@pytest.mark.parametrize("size", [8, 14, 5])
def test_normalised_equals_torchvision(size):
    x = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    wanted = TF.normalize(x.float() / 255, images.MEAN, images.STD)
    wanted = TF.resize(wanted, [size, size], antialias=True)
    assert torch.allclose(images.resized(images.normalised(x), size), wanted, atol=1e-6)


def numbered(count):
    pixels = torch.arange(count, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, 2, 2)
    return image_set(
        "Numbers", pixels, torch.arange(count), map(str, range(count)), Augmentation(2, 0, False, 0)
    )


def test_batches_cover_a_subset_in_order_and_shuffled():
    part = numbered(20).take(torch.tensor([3, 5, 7, 9, 11, 13, 15]))
    device = torch.device("cpu")
    plain = Batches(part, 3, device, 2)
    assert [y.tolist() for _, y in plain] == [[3, 5, 7], [9, 11, 13], [15]] and len(plain) == 3
    for x, y in plain:
        assert torch.equal(
            x, images.normalised(y.to(torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2))
        )
    shuffled = Batches(part, 4, device, 2, shuffle=True)
    torch.manual_seed(0)
    passes = [torch.cat([y for _, y in shuffled]).tolist() for _ in range(2)]
    assert passes[0] != passes[1] and sorted(passes[0]) == part.labels.tolist()


def test_a_shuffled_last_batch_of_one_is_left_out():
    shuffled = Batches(numbered(7), 3, torch.device("cpu"), 2, shuffle=True)
    assert [len(y) for _, y in shuffled] == [3, 3] and len(shuffled) == 2
    alone = Batches(numbered(1), 3, torch.device("cpu"), 2, shuffle=True)
    assert [len(y) for _, y in alone] == [1]


def test_digest_tells_sets_apart():
    one, other = numbered(5), numbered(5)
    assert one.digest == other.digest == one.take(torch.tensor([1])).digest
    other.pixels[0] += 1
    assert (
        image_set("Numbers", other.pixels, other.labels, "01234", other.augmentation).digest
        != one.digest
    )
