"""Folders of images, one sub-folder a class.

They are decoded once into a uint8 tensor, which is kept next to them in a checked cache.
"""

import io
import itertools
import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from common.console import progress
from common.errors import UserError
from common.files import read_tensors, sha256, way_out, write_tensors

DECODED_FOLDER = ".decoded"  # next to the folder of images


@dataclass(frozen=True, eq=False, kw_only=True)
class DecodedFolder:
    """N images of a folder, class by class."""

    pixels: Tensor  # [N, 3, S, S] uint8
    labels: Tensor  # [N] int64
    classes: list[str]  # sorted
    files: list[str]  # N paths
    digest: str  # sha256 of size, labels and files


@dataclass(frozen=True)
class _ImageFile:
    """An image file that has not been read."""

    path: str
    size: int  # bytes
    changed: int  # ns, when it was written last
    label: int


def read_folder(root: str | Path, size: int) -> DecodedFolder:
    """All images under root/<class>/, resized to size x size pixels (bilinear).

    Raises UserError for a missing folder, a class without images, or a file that Pillow cannot read
    to its end.
    """
    root = Path(root)
    classes = _classes_with_images(root)
    images = _listing(root, classes)
    files = [image.path for image in images]
    labels = [image.label for image in images]
    cache = root.parent / DECODED_FOLDER / f"{root.name}-{size}.safetensors"
    key = _key(root, images, size)
    pixels, digest = _cached(cache, key)
    if pixels is None:
        pixels, hashes = _decode_all(files, size)
        digest = sha256(json.dumps([size, labels, hashes]))
        write_tensors(cache, {"pixels": pixels}, {"key": key, "digest": digest})
    return DecodedFolder(
        pixels=pixels, labels=torch.tensor(labels), classes=classes, files=files, digest=digest
    )


def largest_side(root: str | Path) -> int:
    """The longest side in pixels of any image under root/<class>/; unreadable files count as 0."""
    root = Path(root)
    images = _listing(root, _classes_with_images(root))
    sides = [_longer_side(image.path) for image in progress(images, "image sizes")]
    return max(sides)


# ---- which files there are ----


def class_folders(root: Path) -> list[str]:
    """Names of the class folders under root, sorted; a hidden folder is none.

    Raises UserError where root is no folder or cannot be read.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root}; -data names the folder that holds it")
    try:
        entries = list(root.iterdir())
    except OSError as error:
        raise UserError(f"cannot read {root}: {error.strerror}; {way_out(error)}") from error
    return sorted(
        entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
    )


def sub_class_folders(root: Path) -> dict[str, list[str]]:
    """{class: names of its sub-folders, sorted}, of root/<class>/<sub-class>/.

    {} where no class has any. Raises UserError where only some have, or as class_folders does.
    """
    names = {name: class_folders(root / name) for name in class_folders(root)}
    without = [name for name, inside in names.items() if not inside]
    if len(without) == len(names):
        return {}
    if without:
        raise UserError(
            f"{root} is mixed: {without[0]} has no sub-folders and other classes have; give each "
            "class sub-folders, which are its sub-classes, or none"
        )
    return names


def fine_classes_of(names: dict[str, list[str]]) -> list[str]:
    """The sub-classes of all classes in order; with the class's name where two share a name.

    names: as sub_class_folders gives them.
    """
    counts = Counter(itertools.chain.from_iterable(names.values()))
    fine_classes = []
    for name, inside in names.items():
        for fine_name in inside:
            is_unique = counts[fine_name] == 1
            fine_classes.append(fine_name if is_unique else f"{name}/{fine_name}")
    return fine_classes


def fine_labels_of(root: Path, files: list[str], names: dict[str, list[str]]) -> Tensor:
    """The fine label [N] int64 of each file by its path, in the order of fine_classes_of.

    Raises UserError where a file lies in a class folder itself, or a sub-class has no image.
    """
    places: dict[tuple[str, str], int] = {}
    for name, inside in names.items():
        for fine_name in inside:
            places[name, fine_name] = len(places)
    fine_labels = []
    for file in files:
        parts = Path(file).relative_to(root).parts
        if len(parts) < 3:
            raise UserError(
                f"{root} is mixed: {file} lies next to sub-folders; put each image into a "
                "sub-folder, which is its sub-class, or remove these"
            )
        fine_labels.append(places[parts[0], parts[1]])
    empty = sorted(set(places.values()) - set(fine_labels))
    if empty:
        name, fine_name = list(places)[empty[0]]
        raise UserError(
            f"the sub-class {root / name / fine_name} holds no image; add some or remove the folder"
        )
    return torch.tensor(fine_labels)


def _classes_with_images(root):
    classes = class_folders(root)
    if not classes:
        raise UserError(f"{root} holds no class folders; images belong into {root}/<class>/")
    for name in classes:
        if not name.isprintable():
            raise UserError(
                f"the class folder {name!r} in {root} has a name that cannot be printed; rename it"
            )
    return classes


def _listing(root, classes):
    """[_ImageFile] under root/<class>/, class by class."""
    suffixes = set()
    for suffix, kind in Image.registered_extensions().items():
        if kind in Image.OPEN:
            suffixes.add(suffix)
    images = []
    for label, name in enumerate(classes):
        of_class = _images_below(str(root / name), suffixes, label)
        if not of_class:
            raise UserError(
                f"the class {root / name} holds no image; add some or remove the folder"
            )
        images += of_class
    return images


def _images_below(folder, suffixes, label):
    """[_ImageFile] in a folder and below it, in the order of the parts of their paths."""
    images = []
    try:
        for directory, _, names in os.walk(folder, onerror=_raise):
            for name in names:
                path = os.path.join(directory, name)
                if _suffix(name) in suffixes and os.path.isfile(path):
                    status = os.stat(path)
                    images.append(_ImageFile(path, status.st_size, status.st_mtime_ns, label))
    except OSError as error:
        place = error.filename or folder
        raise UserError(f"cannot read {place}: {error.strerror}; {way_out(error)}") from error
    return sorted(images, key=lambda image: image.path.split(os.sep))


def _raise(error):
    """For os.walk, which passes over what it cannot read unless it is told otherwise."""
    raise error


def _suffix(name):
    return os.path.splitext(name)[1].lower()


# ---- the cache ----


def _key(root, images, size):
    """What changes with the size and with any of the files."""
    start = len(str(root)) + 1
    stamps = [[image.path[start:], image.size, image.changed] for image in images]
    return sha256(json.dumps([size, stamps]))


def _cached(cache, key):
    """(pixels, digest) from the cache; (None, None) where it is of other files, or damaged."""
    content = read_tensors(cache)
    if content is None:
        return None, None
    values, metadata = content
    if metadata.get("key") != key:
        return None, None
    return values["pixels"], metadata["digest"]


# ---- decoding ----


def _decode_all(files, size):
    """(pixels [N, 3, size, size] uint8, the files' hashes).

    Raises UserError that names every file that cannot be read.
    """
    pixels = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
    hashes, broken = [], []
    title = f"decoding {Path(files[0]).parents[1]}"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = pool.map(lambda file: _decode(file, size), files)
        for row, (image, file_hash, fault) in enumerate(progress(decoded, title, len(files))):
            if fault:
                broken.append(f"{files[row]} ({fault})")
                continue
            pixels[row] = torch.from_numpy(image).permute(2, 0, 1)
            hashes.append(file_hash)
    if broken:
        count = "1 file cannot be read as an image"
        if len(broken) > 1:
            count = f"{len(broken)} files cannot be read as images"
        raise UserError(f"{count}: {', '.join(broken)}; replace or remove what is broken")
    return pixels, hashes


def _decode(file, size):
    """(pixels [size, size, 3], sha256 of the file, None), or (None, None, what is wrong)."""
    try:
        data = Path(file).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            colours = _in_8_bits(image).convert("RGB")
            resized = colours.resize((size, size), Image.Resampling.BILINEAR)
    except UnidentifiedImageError:
        return None, None, "no format that Pillow knows"
    except Exception as error:
        # Pillow's decoders raise OSError, SyntaxError, struct.error, DecompressionBombError ...
        return None, None, str(error)
    return np.array(resized), sha256(data), None


def _in_8_bits(image):
    """A Pillow image of 16 bits a pixel in 8; of any other kind whose range is known, as it is."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(
            f"mode {image.mode}: no range of brightness is known; convert it to 8 or 16 bits"
        )
    return image


def _longer_side(file):
    try:
        with Image.open(file) as image:
            return max(image.size)
    except Exception:  # decoding will name the file
        return 0
