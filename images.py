"""Images as whole uint8 tensors: sets and subsets of them, and the batches that networks see."""

from threads import one_thread

import functools
import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from common import progress, sha256

MEAN = (0.5070751592371323, 0.48654887331495095, 0.4409178433670343)  # CIFAR-100's, used for every set
STD = (0.2673342858792401, 0.2564384629170883, 0.27615047132568404)
TRIGGER = 3  # pixels a side of the white square in the bottom right corner


@dataclass(frozen=True)
class Augmentation:
    """What training does to an image: random crop after zero padding, horizontal flip, rotation (nearest, zero fill)."""

    crop: int  # pixels; also the size at which un-augmented images are shown
    padding: int  # pixels on each side
    flip: bool
    degrees: float  # at most, either way


@dataclass(frozen=True, eq=False)
class ImageSet:
    """N labelled images. Subsets share `pixels`; `index` says which of them are theirs."""

    name: str
    pixels: torch.Tensor  # [M, 3, H, W] uint8
    index: torch.Tensor  # [N] int64, into pixels
    labels: torch.Tensor  # [N] int64
    fine_labels: torch.Tensor  # [N] int64; the labels once more where the set has no finer ones
    classes: tuple
    fine_classes: tuple
    augmentation: Augmentation
    digest: str  # sha256 of what the set, of which this may be a subset, holds
    identity: torch.Tensor  # [M] int64, into pixels: equal numbers are equal images, in other sets too
    triggered: torch.Tensor | None = None  # [M] bool, into pixels: which are shown with a white corner (corruption.py)
    files: tuple | None = None  # [M] names, into pixels, where the images are files
    dropped: int = 0  # images that were taken out, as the other part holds them too (duplicates.py)

    def __len__(self):
        return len(self.index)

    def take(self, positions):
        """The subset at `positions` (int64 or bool [N]), in that order."""
        positions = positions.to(self.index.device)
        return replace(self, index=self.index[positions], labels=self.labels[positions],
                       fine_labels=self.fine_labels[positions])  # fmt: skip

    def to(self, device):
        """Pixels and labels on `device`; on a GPU only where at least half of its free memory stays free."""
        if torch.device(device).type == "cuda" and 2 * self.pixels.numel() > torch.cuda.mem_get_info(device)[0]:
            return self
        names = ["pixels", "index", "labels", "fine_labels", *["triggered"] * (self.triggered is not None)]
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def image_set(name, pixels, labels, classes, augmentation, *, fine_labels=None, fine_classes=None, digest=None):
    """An ImageSet of whole tensors; the digest is taken from pixels and labels unless one is given."""
    labels = torch.as_tensor(labels, dtype=torch.int64)
    fine_labels = labels if fine_labels is None else torch.as_tensor(fine_labels, dtype=torch.int64)
    return ImageSet(
        name=name,
        pixels=pixels,
        index=torch.arange(len(pixels)),
        labels=labels,
        fine_labels=fine_labels,
        classes=tuple(classes),
        fine_classes=tuple(fine_classes or classes),
        augmentation=augmentation,
        digest=digest or sha256(pixels, labels, fine_labels),
        identity=identities(pixels),
    )


def identities(pixels):
    """A number [M] int64 for each image of [M, 3, H, W] uint8: equal for equal pixels, else different.

    It is the first 8 bytes of a BLAKE2 hash. Of 100,000 images two different ones share it once in 10^9 times.
    """
    images = pixels.contiguous().numpy()
    hashes = b"".join(hashlib.blake2b(image, digest_size=8).digest() for image in images)
    return torch.from_numpy(np.frombuffer(hashes, dtype=np.int64).copy())


def joined(a, b):
    """The images of two subsets of one set, a's first; either may bear labels of its own."""
    return replace(a, **{name: torch.cat([getattr(a, name), getattr(b, name)]) for name in ("index", "labels", "fine_labels")})


def numbered(images):
    """The images, each with its position in the set for a label."""
    return replace(images, labels=torch.arange(len(images), device=images.labels.device))


def random_order(count):
    """Positions [count] in one random order, the same whatever is forgotten.

    Drawn by no -seed that a user gives: by the seed of D_f, D_f would be D's first images, all of them in its first batch.
    """
    return torch.randperm(count, generator=torch.Generator().manual_seed(int(sha256("order of D")[:12], 16)))


@dataclass(frozen=True, eq=False)
class Batches:
    """An iterable of (x [B, 3, S, S] float32 normalised, y [B] int64) on `device`, S pixels a side.

    `shuffle` draws a new order and `augment` new crops, flips and angles at every pass, from torch's global generator.
    A last batch of one image is left out of a shuffled pass: BatchNorm may not be able to train on it.
    """

    images: ImageSet
    batch_size: int
    device: torch.device
    size: int
    shuffle: bool = False
    augment: bool = False
    what: str = ""

    @property
    def leaves_one(self):
        """Whether the last batch, unshuffled, is of one image."""
        return self.batch_size == 1 or len(self.images) % self.batch_size == 1

    def __len__(self):
        count = math.ceil(len(self.images) / self.batch_size)
        return count - 1 if self.shuffle and count > 1 and len(self.images) % self.batch_size == 1 else count

    def __iter__(self):
        parts = (torch.randperm if self.shuffle else torch.arange)(len(self.images)).split(self.batch_size)[: len(self)]
        sizes, places = [len(part) for part in parts], [None] * len(parts)
        device, shape, a = self.images.pixels.device, self.images.pixels.shape, self.images.augmentation
        if self.augment:  # drawn for the whole pass, so that a GPU does not wait for a few numbers at every step
            with one_thread():
                drawn = map(torch.cat, zip(*[draw(size, shape, a) for size in sizes], strict=True))
                places = placement(*drawn, shape, a.crop, a.padding).to(device).split(sizes)
        steps = zip(torch.cat(parts).to(device).split(sizes), places, strict=True)
        for positions, where in progress(steps, self.what, len(parts)) if self.what else steps:
            yield self.batch(positions, where)

    def batch(self, positions, places=None):
        """(x, y) of the images at `positions` (int64 [B]) of the set, moved to `places` (see placement) where they are given."""
        images = self.images
        with one_thread():
            x = images.pixels[images.index[positions]]
            if places is not None:
                x = moved(x, places, images.augmentation.crop)
            if images.triggered is not None:  # after the augmentation, which would crop it away or turn it
                marked = images.triggered[images.index[positions]]
                x[..., -TRIGGER:, -TRIGGER:].masked_fill_(marked[:, None, None, None], 255)
            y = images.labels[positions].to(self.device)
            x = normalised(x.to(self.device))
        return resized(x, self.size), y


def batches(images, model, batch_size, *, shuffle=False, augment=False, what=""):
    """Batches of `images` as `model` wants them: on its device, at its input size (a ResNet's is the images' own).

    what: a name for the progress bar; none where it is empty.
    """
    device = next(model.parameters()).device
    size = getattr(model, "input_size", None) or images.augmentation.crop
    return Batches(images, batch_size, device, size, shuffle, augment, what)


def normalised(x):
    """[B, 3, H, W] uint8 -> float32 of that shape: to [0, 1], then less the mean, over the standard deviation."""
    mean, std = _statistics(x.device)
    return (x.float() / 255 - mean) / std


def resized(x, size):
    """[B, 3, H, W] float32 -> [B, 3, size, size], bilinear and antialiased, where it is of another size."""
    if x.shape[-2:] != (size, size):
        x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return x


@functools.cache
def _statistics(device):
    return [torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD)]


def draw(count, shape, augmentation):
    """How `count` images of [..., H, W] `shape` are to move, at random: (top, left, flip, degrees) for `placement`."""
    a, (height, width) = augmentation, shape[-2:]
    top = torch.randint(height + 2 * a.padding - a.crop + 1, (count,))
    left = torch.randint(width + 2 * a.padding - a.crop + 1, (count,))
    flip = torch.rand(count) < 0.5 if a.flip else torch.zeros(count, dtype=torch.bool)
    return top, left, flip, (2 * torch.rand(count, dtype=torch.float64) - 1) * a.degrees


def placement(top, left, flip, degrees, shape, crop, padding):
    """Where the pixels of B images come from that are zero-padded, cropped at (top, left), mirrored and rotated.

    top, left: [B] int64; flip: [B] bool; degrees: [B] float64, counter-clockwise; shape: the images', [..., H, W].
    Returns int32 [B, 2, 5], for row and column each: its 16.16 fixed-point number at the crop's origin, by how much that grows
    with x and with y, and the first row (column) that is image within the crop and the first that is no longer.
    Source: Pillow, Image.rotate and Geometry.c (affine_fixed).
    """
    angle = -torch.deg2rad(degrees % 360)
    cos, sin = torch.round(torch.cos(angle), decimals=15), torch.round(torch.sin(angle), decimals=15)
    centre = crop / 2
    x0, y0 = centre - cos * centre - sin * centre, centre + sin * centre - cos * centre

    def fixed(value):
        return torch.floor(value * 65536 + 0.5).int()

    row = torch.stack([fixed(y0 - sin * 0.5 + cos * 0.5), -fixed(sin), fixed(cos)], 1)
    column = torch.stack([fixed(x0 + cos * 0.5 + sin * 0.5), fixed(cos), fixed(sin)], 1)
    column = torch.where(flip[:, None], -column, column)
    column[:, 0] += flip * ((crop << 16) - 1)  # so that crop - 1 - (c >> 16) is (that - c) >> 16
    found = []
    for numbers, start, size in ((row, top.int() - padding, shape[-2]), (column, left.int() - padding, shape[-1])):
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
