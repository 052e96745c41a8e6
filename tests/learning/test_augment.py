"""Augmentation against PIL and torchvision."""

import itertools

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from PIL import Image
from torchvision.transforms import InterpolationMode

from learning import augment
from learning.augment import Augmentation, Moves
from learning.images import MEAN, STD, Batches, image_set


def random_moves(count, shape, augmentation):
    """The whole range of crops and angles, with no angle, the largest and the least among them."""
    room = [side + 2 * augmentation.padding - augmentation.crop + 1 for side in shape]
    largest = augmentation.degrees
    degrees = (2 * torch.rand(count, dtype=torch.float64) - 1) * largest
    degrees[:3] = torch.tensor([0.0, largest, -largest], dtype=torch.float64)
    top, left = torch.randint(room[0], (count,)), torch.randint(room[1], (count,))
    return Moves(top, left, torch.rand(count) < 0.5, degrees)


def moved_by_pil(image, top, left, flip, degrees, augmentation):
    """[3, H, W] uint8 -> [crop, crop, 3] uint8, one step after the other."""
    crop = augmentation.crop
    picture = TF.pad(Image.fromarray(image.permute(1, 2, 0).numpy()), [augmentation.padding])
    picture = TF.crop(picture, int(top), int(left), crop, crop)
    if flip:
        picture = TF.hflip(picture)
    return np.asarray(TF.rotate(picture, float(degrees), InterpolationMode.NEAREST))


@pytest.mark.parametrize("degrees", [15, 180])
@pytest.mark.parametrize(
    ("height", "width", "crop", "padding"),
    [(32, 32, 32, 4), (8, 8, 8, 1), (36, 40, 32, 4), (7, 9, 6, 2)],
)
def test_moved_images_equal_pils_to_the_bit(height, width, crop, padding, degrees):
    torch.manual_seed(0)
    augmentation = Augmentation(crop, padding, flip=True, degrees=degrees)
    x = torch.randint(0, 256, (200, 3, height, width), dtype=torch.uint8)
    moves = random_moves(200, (height, width), augmentation)
    moved = augment.moved(x, augment.placement(moves, x.shape, augmentation), crop)
    for i, move in enumerate(zip(*moves, strict=True)):
        wanted = moved_by_pil(x[i], *move, augmentation)
        assert np.array_equal(moved[i].permute(1, 2, 0).numpy(), wanted), i


def shown(x, augmentation):
    """x [N, 3, H, W] uint8 as a pass of batches shows it, [N, 3, crop, crop] uint8."""
    labels = torch.zeros(len(x), dtype=torch.int64)
    images = image_set("Moved", x, labels, ["one"], augmentation)
    data = Batches(images, 64, torch.device("cpu"), augmentation.crop, augment=True)
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    pixels = [(batch * std + mean) * 255 for batch, _, _ in data]
    return torch.cat(pixels).round().to(torch.uint8)


def test_crops_are_drawn_from_the_whole_range():
    torch.manual_seed(0)
    x = torch.zeros(400, 3, 5, 5, dtype=torch.uint8)
    x[:, :, 2, 2] = 255  # where the middle pixel goes tells the crop
    cropped = shown(x, Augmentation(crop=5, padding=2, flip=False, degrees=0))
    _, rows, columns = torch.nonzero(cropped[:, 0], as_tuple=True)
    places = set(zip(rows.tolist(), columns.tolist(), strict=True))
    assert places == set(itertools.product(range(5), range(5)))


def test_half_of_the_images_are_mirrored():
    torch.manual_seed(0)
    x = torch.zeros(400, 3, 2, 2, dtype=torch.uint8)
    x[..., 0] = 255
    flipped = shown(x, Augmentation(crop=2, padding=0, flip=True, degrees=0))
    assert 150 < int((flipped[:, 0, 0, 1] == 255).sum()) < 250
