"""Images as whole uint8 tensors: sets and subsets of them, and the batches that networks see."""

from common.threads import one_thread

import functools
import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from common.console import progress
from common.files import sha256
from learning.augment import Augmentation, draw, moved, placement

MEAN = (
    0.5070751592371323,
    0.48654887331495095,
    0.4409178433670343,
)  # CIFAR-100's, used for every set


STD = (0.2673342858792401, 0.2564384629170883, 0.27615047132568404)


TRIGGER = 3  # pixels a side of the white square in the bottom right corner


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
    identity: (
        torch.Tensor
    )  # [M] int64, into pixels: equal numbers are equal images, in other sets too
    triggered: torch.Tensor | None = (
        None  # [M] bool, into pixels: which are shown with a white corner (corruption.py)
    )
    files: tuple | None = None  # [M] names, into pixels, where the images are files
    dropped: int = 0  # images that were taken out, as the other part holds them too (duplicates.py)

    def __len__(self):
        return len(self.index)

    def take(self, positions):
        """The subset at `positions` (int64 or bool [N]), in that order."""
        positions = positions.to(self.index.device)
        return replace(
            self,
            index=self.index[positions],
            labels=self.labels[positions],
            fine_labels=self.fine_labels[positions],
        )

    def to(self, device):
        """Pixels and labels on `device`; on a GPU only where at least half of its free memory stays free."""
        if (
            torch.device(device).type == "cuda"
            and 2 * self.pixels.numel() > torch.cuda.mem_get_info(device)[0]
        ):
            return self
        names = [
            "pixels",
            "index",
            "labels",
            "fine_labels",
            *["triggered"] * (self.triggered is not None),
        ]
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def image_set(
    name, pixels, labels, classes, augmentation, *, fine_labels=None, fine_classes=None, digest=None
):
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

    It is the first 8 bytes of a BLAKE2 hash. Of 100,000 images two different ones share it once in
    10^9 times.
    """
    images = pixels.contiguous().numpy()
    hashes = b"".join(hashlib.blake2b(image, digest_size=8).digest() for image in images)
    return torch.from_numpy(np.frombuffer(hashes, dtype=np.int64).copy())


def joined(a, b):
    """The images of two subsets of one set, a's first; either may bear labels of its own."""
    return replace(
        a,
        **{
            name: torch.cat([getattr(a, name), getattr(b, name)])
            for name in ("index", "labels", "fine_labels")
        },
    )


def random_order(count):
    """Positions [count] in one random order, the same whatever is forgotten.

    Drawn by no -seed that a user gives: by the seed of D_f, D_f would be D's first images, all of
    them in its first batch.
    """
    return torch.randperm(
        count, generator=torch.Generator().manual_seed(int(sha256("order of D")[:12], 16))
    )


@dataclass(frozen=True, eq=False)
class Batches:
    """An iterable of (x, y, index) on `device`: images, their labels, where they stand in the set.

    x: [B, 3, S, S] float32, normalised, S pixels a side. y: [B] int64. index: [B] int64, from 0.
    `shuffle` draws a new order and `augment` new crops, flips and angles at every pass, from
    torch's global generator. A last batch of one image is omitted from a shuffled pass: BatchNorm
    may not be able to train on it.
    """

    images: ImageSet
    batch_size: int
    device: torch.device
    size: int
    shuffle: bool = False
    augment: bool = False
    what: str = ""  # a name for the progress bar; empty: no bar

    @property
    def leaves_one(self):
        """Whether the last batch, unshuffled, is of one image."""
        return self.batch_size == 1 or len(self.images) % self.batch_size == 1

    def __len__(self):
        count = math.ceil(len(self.images) / self.batch_size)
        omits_last = self.shuffle and count > 1 and len(self.images) % self.batch_size == 1
        return count - 1 if omits_last else count

    def __iter__(self):
        count = len(self.images)
        order = torch.randperm(count) if self.shuffle else torch.arange(count)
        parts = order.split(self.batch_size)[: len(self)]
        sizes = [len(part) for part in parts]
        places = self._places(sizes) if self.augment else [None] * len(sizes)
        order = torch.cat(parts).to(self.images.pixels.device)
        steps = zip(order.split(sizes), places, strict=True)
        if self.what:
            steps = progress(steps, self.what, len(sizes))
        for index, place in steps:
            yield self.batch(index, place)

    def _places(self, sizes):
        """Where every image's pixels come from, a tensor for each batch, drawn for a whole pass.

        So a GPU does not wait for a few numbers at every step.
        """
        pixels, augmentation = self.images.pixels, self.images.augmentation
        with one_thread():
            draws = [draw(size, pixels.shape, augmentation) for size in sizes]
            moves = [torch.cat(part) for part in zip(*draws, strict=True)]
            places = placement(*moves, pixels.shape, augmentation.crop, augmentation.padding)
        return places.to(pixels.device).split(sizes)

    def batch(self, index, places=None):
        """(x, y, index) of the images at `index` [B] of the set, moved to `places` if given."""
        images = self.images
        with one_thread():
            positions = images.index[index]
            x = images.pixels[positions]
            if places is not None:
                x = moved(x, places, images.augmentation.crop)
            if images.triggered is not None:  # the augmentation would crop or turn the trigger
                marked = images.triggered[positions]
                x[..., -TRIGGER:, -TRIGGER:].masked_fill_(marked[:, None, None, None], 255)
            x = normalised(x.to(self.device))
            y = images.labels[index].to(self.device)
        return resized(x, self.size), y, index.to(self.device)


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
        x = F.interpolate(
            x, size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
    return x


@functools.cache
def _statistics(device):
    return [torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD)]
