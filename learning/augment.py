"""What training does to an image: random crop after zero padding, mirror, rotation.

A pixel of the result is one of the image's own, or black. Which one is computed here for a whole
batch at once, and equals what Pillow gives for one image after the other, to the bit.

Pillow rotates in 16.16 fixed point, and so does this file. That is an int32 whose upper 16 bits
are whole pixels and whose lower 16 bits are 65,536ths of a pixel. Sums of such numbers are exact.
Floats would round here and there to the neighbouring pixel.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

BITS = 16  # of a fixed-point number that stand after the point
ONE_PIXEL = 1 << BITS  # in fixed point


@dataclass(frozen=True)
class Augmentation:
    """What training does to an image."""

    crop: int  # pixels a side; un-augmented images are shown at this size too
    padding: int  # pixels of black on each side, before the crop
    flip: bool  # whether half of the images, drawn at random, are mirrored, left to right
    degrees: float  # at most, either way, by which it is turned


class Moves(NamedTuple):
    """How B images are to move."""

    top: Tensor  # [B] int64: the crop's first row in the padded image
    left: Tensor  # [B] int64: its first column
    flip: Tensor  # [B] bool
    degrees: Tensor  # [B] float64, counter-clockwise


def draw(count: int, shape, augmentation: Augmentation) -> Moves:
    """Random moves of `count` images, which are of `shape` [..., H, W]."""
    height, width = shape[-2:]
    room = 2 * augmentation.padding - augmentation.crop + 1
    top = torch.randint(height + room, (count,))
    left = torch.randint(width + room, (count,))
    if augmentation.flip:
        flip = torch.rand(count) < 0.5
    else:
        flip = torch.zeros(count, dtype=torch.bool)
    degrees = (2 * torch.rand(count, dtype=torch.float64) - 1) * augmentation.degrees
    return Moves(top, left, flip, degrees)


def placement(moves: Moves, shape, augmentation: Augmentation) -> Tensor:
    """Where the pixels of moved images come from, int32 [B, 2, 5]: five numbers for row and column.

    shape: the images', [..., H, W]. The pixel at (x, y) of the result comes from the row

        (origin + x * by_x + y * by_y) >> 16,

    and from the column that the same formula gives with the column's numbers. It is black where
    the row is less than `first` or not less than `end`, and where the column is. The five numbers
    are origin, by_x and by_y in fixed point, and first and end in pixels.

    Source: Pillow, Image.rotate and Geometry.c (affine_fixed).
    """
    height, width = shape[-2:]
    crop, padding = augmentation.crop, augmentation.padding
    row, column = _rotation(moves.degrees, crop)
    column = _mirrored(column, moves.flip, crop)
    # The crop's first row and column in the image, which starts `padding` pixels into the padding.
    top = moves.top.int() - padding
    left = moves.left.int() - padding
    row = _cropped(row, top, height, crop)
    column = _cropped(column, left, width, crop)
    return torch.stack([row, column], 1)


def _rotation(degrees, crop):
    """Rotation of a crop about its centre: int32 [B, 3] for the row, and the same for the column.

    The three numbers are origin, by_x and by_y as `placement` defines them, within the crop.
    """
    # Pillow rounds sine and cosine, so that 90 degrees are exact.
    angle = -torch.deg2rad(degrees % 360)
    cos = torch.round(torch.cos(angle), decimals=15)
    sin = torch.round(torch.sin(angle), decimals=15)
    # Where the crop's corner (0, 0) comes from if its centre is to stay where it is.
    centre = crop / 2
    corner_column = centre - cos * centre - sin * centre
    corner_row = centre + sin * centre - cos * centre
    # The middle of the first pixel lies half a pixel to the right of the corner and below it.
    first_column = corner_column + cos * 0.5 + sin * 0.5
    first_row = corner_row - sin * 0.5 + cos * 0.5
    # One pixel to the right in the result is `cos` columns to the right and `-sin` rows down in
    # the crop; one pixel down is `sin` columns to the right and `cos` rows down.
    cos, sin = _fixed(cos), _fixed(sin)
    row = torch.stack([_fixed(first_row), -sin, cos], 1)
    column = torch.stack([_fixed(first_column), cos, sin], 1)
    return row, column


def _fixed(pixels):
    """Float64 pixels in 16.16 fixed point, rounded to the nearest, int32."""
    return torch.floor(pixels * ONE_PIXEL + 0.5).int()


def _mirrored(column, flip, crop):
    """The column's numbers [B, 3] of a crop that is mirrored before it is turned, if `flip` is set.

    Column c of the mirrored crop is column crop - 1 - c of the crop. In fixed point that is
    (crop * ONE_PIXEL - 1) - c: it has the whole part crop - 1 - (c >> 16), whatever the fraction.
    """
    column = torch.where(flip[:, None], -column, column)
    column[:, 0] += flip * (crop * ONE_PIXEL - 1)
    return column


def _cropped(numbers, start, size, crop):
    """Of numbers [B, 3] within a crop those [B, 5] within the image, as `placement` returns them.

    start: [B] int32, the crop's first row (or column) in the image, negative in the padding.
    size: the image's rows (or columns).
    """
    numbers[:, 0] += start * ONE_PIXEL
    first = start.clamp(min=0)
    end = (start + crop).clamp(max=size)
    return torch.cat([numbers, first[:, None], end[:, None]], 1)


def moved(x: Tensor, places: Tensor, crop: int) -> Tensor:
    """Images with their pixels where `places` [B, 2, 5] says, [B, C, crop, crop] uint8.

    x: [B, C, H, W] uint8; places: as `placement` gives them.
    """
    count, channels, _, width = x.shape
    step = torch.arange(crop, dtype=torch.int32, device=x.device)
    origin, by_x, by_y, first, end = places[..., None, None].unbind(2)  # each [B, 2, 1, 1]
    source = (origin + by_x * step + by_y * step[:, None]) >> BITS  # [B, 2, crop, crop], in pixels
    is_within = (source >= first) & (source < end)
    row, column = source.unbind(1)  # [B, crop, crop]
    is_image = is_within[:, 0] & is_within[:, 1]
    position = (row * width + column) * is_image  # in the flat image; 0 where the result is black
    position = position.long().flatten(1)[:, None].expand(-1, channels, -1)
    pixels = x.flatten(2).gather(2, position).view(count, channels, crop, crop)
    return pixels * is_image[:, None]
