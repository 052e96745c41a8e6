"""What training does to an image: crop, flip and turn, in integer arithmetic."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Augmentation:
    """What training does to an image: random crop after zero padding, horizontal flip, rotation (nearest, zero fill)."""

    crop: int  # pixels; also the size at which un-augmented images are shown
    padding: int  # pixels on each side
    flip: bool
    degrees: float  # at most, either way


def draw(count, shape, augmentation):
    """How `count` images of [..., H, W] `shape` are to move, at random: (top, left, flip, degrees) for `placement`."""
    a, (height, width) = augmentation, shape[-2:]
    top = torch.randint(height + 2 * a.padding - a.crop + 1, (count,))
    left = torch.randint(width + 2 * a.padding - a.crop + 1, (count,))
    flip = torch.rand(count) < 0.5 if a.flip else torch.zeros(count, dtype=torch.bool)
    return top, left, flip, (2 * torch.rand(count, dtype=torch.float64) - 1) * a.degrees


def placement(top, left, flip, degrees, shape, crop, padding):
    """Where the pixels of B images come from that are zero-padded, cropped at (top, left), mirrored and rotated.

    top, left: [B] int64; flip: [B] bool; degrees: [B] float64, counter-clockwise; shape: the
    images', [..., H, W]. Returns int32 [B, 2, 5], for row and column each: its 16.16 fixed-point
    number at the crop's origin, by how much that grows with x and with y, and the first row
    (column) that is image within the crop and the first that is no longer. Source: Pillow,
    Image.rotate and Geometry.c (affine_fixed).
    """
    angle = -torch.deg2rad(degrees % 360)
    cos, sin = (
        torch.round(torch.cos(angle), decimals=15),
        torch.round(torch.sin(angle), decimals=15),
    )
    centre = crop / 2
    x0, y0 = centre - cos * centre - sin * centre, centre + sin * centre - cos * centre

    def fixed(value):
        return torch.floor(value * 65536 + 0.5).int()

    row = torch.stack([fixed(y0 - sin * 0.5 + cos * 0.5), -fixed(sin), fixed(cos)], 1)
    column = torch.stack([fixed(x0 + cos * 0.5 + sin * 0.5), fixed(cos), fixed(sin)], 1)
    column = torch.where(flip[:, None], -column, column)
    column[:, 0] += flip * ((crop << 16) - 1)  # so that crop - 1 - (c >> 16) is (that - c) >> 16
    found = []
    for numbers, start, size in (
        (row, top.int() - padding, shape[-2]),
        (column, left.int() - padding, shape[-1]),
    ):
        numbers[:, 0] += start << 16
        bounds = torch.stack([start.clamp(min=0), (start + crop).clamp(max=size)], 1)
        found.append(torch.cat([numbers, bounds], 1))
    return torch.stack(found, 1)


def moved(x, places, crop):
    """`x` ([B, 3, H, W] uint8) moved as `places` ([B, 2, 5], see placement) say, [B, 3, crop, crop]: PIL's pixels to the bit."""
    xs = torch.arange(crop, dtype=torch.int32, device=x.device)
    origin, by_x, by_y, first, last = places[..., None, None].unbind(2)
    source = (origin + by_x * xs) + by_y * xs[:, None] >> 16  # [B, 2, crop, crop]
    inside = (source >= first) & (source < last)
    inside = inside[:, 0] & inside[:, 1]
    source = torch.add(source[:, 1], source[:, 0], alpha=x.shape[-1]) * inside
    picked = x.flatten(2).gather(2, source.long().flatten(1)[:, None].expand(-1, x.shape[1], -1))
    return picked.view(len(x), x.shape[1], crop, crop) * inside[:, None]
