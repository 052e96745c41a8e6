"""What -outputs keeps next to a record: the network's logits on some images, for audit.py.

NAME.outputs.safetensors next to NAME.json. For each part of PARTS: its logits [n, C] float32, its
labels [n], and the positions [n] of its images in the training or test set. A part has at most
2,000 images, the same for every network. A file has at most 4 x 2,000 x C numbers: 0.4 MB with 10
classes, 3.3 MB with 100. The first images of the part `forget` are kept as pixels, for the report:
0.04 MB or less. -probes adds features: 0.5 MB for ResNet18Slim, 2 MB for ResNet18.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import metrics
from common import files
from learning.features import by_stage
from learning.images import ImageSet, batches, random_order
from metrics import Logits
from splits import Split

# forget, retain: training images. same_classes: test images of the classes that D_f has.
PARTS = ("forget", "retain", "test", "same_classes")
MOST_IMAGES = 2000  # of a part
MOST_PICTURES = 12  # of which the pixels are kept
MOST_SIDE = 32  # pixels a side of these; larger images are made smaller
MOST_WITH_FEATURES = 500  # of which -probes keeps the features


def path_of(record_path: Path) -> Path:
    """The path of the outputs that belong to a record."""
    return record_path.with_name(f"{record_path.stem}.outputs.safetensors")


def samples(split: Split) -> dict[str, ImageSet]:
    """{part: its images}. Every network of one split has the same."""
    parts = {
        "forget": split.forget,
        "retain": split.retain,
        "test": split.test,
        "same_classes": _test_images_of_same_classes(split),
    }
    return {name: _sample(images) for name, images in parts.items()}


def _test_images_of_same_classes(split):
    if split.forget_test_from == "test":  # of the class, or of the sub-class
        return split.forget_test
    return split.test.take(torch.isin(split.test.labels, split.forget.labels))


def _sample(images):
    positions = random_order(len(images))[:MOST_IMAGES]
    return images.take(positions.sort().values)


def of_network(logits: Logits, split: Split) -> dict[str, Tensor]:
    """{name: tensor} of a network's outputs."""
    tensors = {}
    for name, images in samples(split).items():
        of_training = name in ("forget", "retain")
        all_logits = logits.train if of_training else logits.test
        all_images = split.train if of_training else split.test
        part = metrics.logits_of_part(all_logits, all_images, images)
        tensors[f"{name}_logits"] = part.float().cpu()
        tensors[f"{name}_labels"] = images.labels.cpu()
        positions = torch.searchsorted(all_images.index, images.index)  # index ascends
        tensors[f"{name}_positions"] = positions.cpu()
    tensors["forget_pixels"] = _pictures(samples(split)["forget"])
    return tensors


def _pictures(images):
    """The first images as pixels [n, 3, side, side] uint8."""
    pixels = images.pixels[images.index[:MOST_PICTURES]].cpu()
    if max(pixels.shape[2:]) > MOST_SIDE:
        size = (MOST_SIDE, MOST_SIDE)
        smaller = F.interpolate(pixels.float(), size, mode="bilinear", antialias=True)
        pixels = smaller.round().clamp(0, 255).to(torch.uint8)
    return pixels


def features(model: nn.Module, split: Split) -> dict[str, Tensor]:
    """{name: features [n, D] float32} of each stage, on at most 500 of the part `forget`."""
    images = samples(split)["forget"]
    images = images.take(torch.arange(min(MOST_WITH_FEATURES, len(images))))
    tensors = {}
    by_name = by_stage(model, batches(images, model, metrics.CPU_BATCH_SIZE))
    for number, values in enumerate(by_name.values(), start=1):
        tensors[f"features_{number}"] = values.cpu()
    return tensors


def accuracies(logits: Logits, split: Split) -> dict[str, float]:
    """{part: accuracy in percent} on all training images of D_f and of D_r, and on all test images.

    By the labels that the training set has.
    """
    labels = split.test.labels.to(logits.test.device)
    values = {"test": metrics.accuracy(logits.test, labels)}
    for name, images in (("forget", split.forget), ("retain", split.retain)):
        part = metrics.logits_of_part(logits.train, split.train, images)
        values[name] = metrics.accuracy(part, images.labels.to(part.device))
    return values


def write(record_path: Path, tensors: dict[str, Tensor]) -> dict:
    """Write the outputs whole or not at all; returns what the record says of them.

    Raises CannotWrite where the place is full or may not be written.
    """
    path = path_of(record_path)
    checksum = files.write_checked(path, tensors)
    return {"file": path.name, "checksum": checksum, "bytes": path.stat().st_size}


def are_kept(record_path: Path, record: dict) -> bool:
    """Whether the outputs that a record names lie next to it. They are not read here."""
    return "outputs" in record and path_of(record_path).is_file()


def read(path: Path, checksum: str) -> dict[str, Tensor] | None:
    """{name: tensor} as `write` kept them; None where the file is gone, damaged or another's."""
    result = files.read_tensors(path, checksum=checksum)
    return None if result is None else result[0]
