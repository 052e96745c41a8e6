"""Images as whole uint8 tensors: sets and subsets of them, and the batches that networks see."""

from common.threads import one_thread

import functools
import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.console import progress
from common.files import sha256
from learning.augment import Augmentation, Moves, draw, moved, placement

# Of each colour over CIFAR-100's training images, from 0 to 1; used for every set that has no
# statistics of its own.
MEAN = (0.5070751592371323, 0.48654887331495095, 0.4409178433670343)
STD = (0.2673342858792401, 0.2564384629170883, 0.27615047132568404)

TRIGGER_SIZE = 3  # pixels a side of the white square in the bottom right corner
WHITE = 255


# ---- sets of images ----


@dataclass(frozen=True, eq=False)
class ImageSet:
    """N labelled images. Subsets share `pixels`; `index` says which of them are theirs."""

    name: str
    pixels: Tensor  # [M, 3, H, W] uint8
    index: Tensor  # [N] int64, into pixels
    labels: Tensor  # [N] int64
    fine_labels: Tensor  # [N] int64; the labels once more where the set has no finer ones
    classes: tuple[str, ...]
    fine_classes: tuple[str, ...]
    augmentation: Augmentation
    digest: str  # sha256 of what the set, of which this may be a subset, holds
    # [M] int64, into pixels: equal numbers are equal images, in different sets too
    identity: Tensor
    # [M] bool, into pixels: which are shown with the trigger on them (learning/corruption.py)
    triggered: Tensor | None = None
    # Noise that is added to normalised images, [K, 3, H, W] float32, and [M] int64, into pixels:
    # which of it an image bears; -1: none (learning/corruption.py)
    noise: Tensor | None = None
    noise_place: Tensor | None = None
    files: tuple[str, ...] | None = None  # [M] paths, into pixels, where the images are files
    dropped: int = 0  # images taken out, as the other part holds them too (learning/duplicates.py)
    source: str | None = None  # CIFAR: "archive", or "folders" of images
    # (mean, standard deviation) of each colour, from 0 to 1, by which networks see the images;
    # None: MEAN and STD
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def take(self, positions: Tensor) -> "ImageSet":
        """The subset at `positions` (int64 [n] or bool [N]), in that order."""
        positions = positions.to(self.index.device)
        return replace(
            self,
            index=self.index[positions],
            labels=self.labels[positions],
            fine_labels=self.fine_labels[positions],
        )

    def to(self, device: torch.device | str) -> "ImageSet":
        """The set on `device`; on a GPU only where at least half of its free memory stays free."""
        if torch.device(device).type == "cuda":
            free_bytes, _ = torch.cuda.mem_get_info(device)
            if 2 * self.pixels.numel() > free_bytes:
                return self
        return replace(
            self,
            pixels=self.pixels.to(device),
            index=self.index.to(device),
            labels=self.labels.to(device),
            fine_labels=self.fine_labels.to(device),
            triggered=_on(device, self.triggered),
            noise=_on(device, self.noise),
            noise_place=_on(device, self.noise_place),
        )


def _on(device, value):
    return None if value is None else value.to(device)


def image_set(
    name: str,
    pixels: Tensor,
    labels,
    classes: Iterable[str],
    augmentation: Augmentation,
    *,
    fine_labels=None,
    fine_classes: Iterable[str] | None = None,
    digest: str | None = None,
) -> ImageSet:
    """An ImageSet of whole tensors.

    pixels: [N, 3, H, W] uint8. labels, fine_labels: N whole numbers. digest: where none is given,
    it is taken from pixels and labels.
    """
    labels = torch.as_tensor(labels, dtype=torch.int64)
    classes = tuple(classes)
    if fine_labels is None:
        fine_labels = labels
    fine_labels = torch.as_tensor(fine_labels, dtype=torch.int64)
    return ImageSet(
        name=name,
        pixels=pixels,
        index=torch.arange(len(pixels)),
        labels=labels,
        fine_labels=fine_labels,
        classes=classes,
        fine_classes=tuple(fine_classes or classes),
        augmentation=augmentation,
        digest=digest or sha256(pixels, labels, fine_labels),
        identity=identities(pixels),
    )


def identities(pixels: Tensor) -> Tensor:
    """A number for each image of [M, 3, H, W] uint8: equal for equal pixels, else different.

    Returns [M] int64, the first 8 bytes of a BLAKE2 hash. Of 100,000 images two different ones
    share it once in 10^9 times.
    """
    images = pixels.contiguous().numpy()
    hashes = [hashlib.blake2b(image, digest_size=8).digest() for image in images]
    numbers = np.frombuffer(b"".join(hashes), dtype=np.int64)
    return torch.from_numpy(numbers.copy())


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """The images of two subsets of one set, in this order; either may have labels of its own."""
    return replace(
        first,
        index=torch.cat([first.index, second.index]),
        labels=torch.cat([first.labels, second.labels]),
        fine_labels=torch.cat([first.fine_labels, second.fine_labels]),
    )


def random_order(count: int) -> Tensor:
    """Positions [count] int64 in one random order, the same whatever is forgotten.

    Not drawn by a -seed that a user gives. By the seed of D_f, D_f would be D's first images, all
    of them in its first batch.
    """
    seed = int(sha256("order of D")[:12], 16)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


# ---- batches ----


@dataclass(frozen=True, eq=False)
class Batches:
    """An iterable of (x, y, index) on `device`: images, their labels, where they stand in the set.

    x: [B, 3, S, S] float32, normalised, S pixels a side. y: [B] int64. index: [B] int64, from 0.
    `shuffle` draws a new order and `augment` new crops, flips and angles at every pass, from
    torch's global generator. A last batch of one image is omitted from a shuffled pass: BatchNorm
    may not be able to train on it. `whole_only` omits every last batch that is not whole, unless it
    is the only one: BatchNorm's statistics of a few images can spoil a network.
    """

    images: ImageSet
    batch_size: int
    device: torch.device
    size: int  # S
    shuffle: bool = False
    augment: bool = False
    title: str = ""  # of the progress bar; empty: no bar
    whole_only: bool = False

    @property
    def leaves_one(self) -> bool:
        """Whether the last batch, unshuffled, is of one image."""
        return self.batch_size == 1 or len(self.images) % self.batch_size == 1

    @property
    def all_of_one(self) -> bool:
        """Whether every batch is of one image."""
        return self.batch_size == 1 or len(self.images) == 1

    def __len__(self) -> int:
        if self.whole_only:
            return max(1, len(self.images) // self.batch_size)
        count = math.ceil(len(self.images) / self.batch_size)
        last_is_one = len(self.images) % self.batch_size == 1
        omits_last = self.shuffle and last_is_one and count > 1
        return count - 1 if omits_last else count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        count = len(self.images)
        order = torch.randperm(count) if self.shuffle else torch.arange(count)
        parts = order.split(self.batch_size)[: len(self)]
        sizes = [len(part) for part in parts]
        places = self._places(sizes) if self.augment else [None] * len(sizes)
        # As one tensor, so that it goes to a GPU in one piece.
        order = torch.cat(parts).to(self.images.pixels.device)
        steps = zip(order.split(sizes), places, strict=True)
        if self.title:
            steps = progress(steps, self.title, len(sizes))
        for index, batch_places in steps:
            yield self.batch(index, batch_places)

    def _places(self, sizes):
        """Where every image's pixels come from, a tensor for each batch (see augment.placement).

        They are computed for a whole pass: so a GPU does not wait for a few numbers at every step.
        They are drawn batch by batch.
        """
        shape, augmentation = self.images.pixels.shape, self.images.augmentation
        with one_thread():
            draws = [draw(size, shape, augmentation) for size in sizes]
            parts = [torch.cat(part) for part in zip(*draws, strict=True)]
            places = placement(Moves(*parts), shape, augmentation)
        return places.to(self.images.pixels.device).split(sizes)

    def batch(self, index: Tensor, places: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(x, y, index) of the images at `index` [B] of the set.

        places: where their pixels come from (see augment.placement); None: they stay as they are.
        """
        images = self.images
        with one_thread():
            rows = images.index[index]
            x = images.pixels[rows]
            if places is not None:
                x = moved(x, places, images.augmentation.crop)
            # After the augmentation, which would crop or turn the trigger.
            if images.triggered is not None:
                x = _with_trigger(x, images.triggered[rows])
            x = normalised(x.to(self.device), images.statistics)
            if images.noise is not None and images.noise_place is not None:
                x = _with_noise(x, images.noise, images.noise_place[rows])
            y = images.labels[index].to(self.device)
        return resized(x, self.size), y, index.to(self.device)


def batches(
    images: ImageSet,
    model: nn.Module,
    batch_size: int,
    *,
    shuffle: bool = False,
    augment: bool = False,
    title: str = "",
    whole_only: bool = False,
) -> Batches:
    """Batches of `images` as `model` takes them: on its device and of its input size.

    A model without an input size takes images of their own size. title: of the progress bar;
    where it is empty there is no bar. whole_only: as Batches has it.
    """
    device = next(model.parameters()).device
    size = getattr(model, "input_size", None) or images.augmentation.crop
    return Batches(images, batch_size, device, size, shuffle, augment, title, whole_only)


# ---- pixels ----


def _with_trigger(x, is_triggered):
    """x [B, 3, H, W] uint8, changed in place, with the trigger on those where [B] bool says so."""
    corner = x[..., -TRIGGER_SIZE:, -TRIGGER_SIZE:]
    corner.masked_fill_(is_triggered[:, None, None, None], WHITE)
    return x


def _with_noise(x, noise, place):
    """x [B, 3, H, W] float32, changed in place, with its noise where `place` [B] is not -1."""
    bears_noise = place >= 0
    x[bears_noise.to(x.device)] += noise[place[bears_noise]].to(x.device)
    return x


def normalised(x: Tensor, statistics=None) -> Tensor:
    """[B, 3, H, W] uint8 -> float32: to [0, 1], less the mean, over the standard deviation.

    statistics: an ImageSet's; None: MEAN and STD.
    """
    mean, std = _statistics(x.device, statistics or (MEAN, STD))
    return (x.float() / WHITE - mean) / std


def own_statistics(images: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, standard deviation) of each colour over the images of a set, from 0 to 1."""
    total = torch.zeros(3, dtype=torch.float64)
    total_of_squares = torch.zeros(3, dtype=torch.float64)
    for index in images.index.split(1000):
        pixels = images.pixels[index].double().cpu() / WHITE
        total += pixels.sum((0, 2, 3))
        total_of_squares += (pixels**2).sum((0, 2, 3))
    count = len(images) * images.pixels[0, 0].numel()
    mean = total / count
    deviation = (total_of_squares / count - mean**2).clamp(min=0).sqrt()
    # A colour that never varies is not divided by zero.
    deviation = torch.where(deviation > 1e-6, deviation, 1.0)
    return tuple(mean.tolist()), tuple(deviation.tolist())


def with_statistics(images: ImageSet, statistics) -> ImageSet:
    """The set as networks see it by these statistics; its digest is another."""
    digest = sha256(images.digest, "normalised by", repr(statistics))
    return replace(images, statistics=statistics, digest=digest)


def resized(x: Tensor, size: int) -> Tensor:
    """[B, 3, H, W] float32 -> [B, 3, size, size], bilinear and antialiased, unless it fits."""
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


@functools.cache
def _statistics(device, statistics):
    """Mean and standard deviation of each colour, each [1, 3, 1, 1], on a device."""
    mean, deviation = statistics
    mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
    return mean, torch.tensor(deviation, device=device).view(1, 3, 1, 1)
