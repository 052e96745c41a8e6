"""Folders of images, one sub-folder a class: decoded once into a uint8 tensor, kept beside them in a checked cache."""

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from common.console import progress
from common.errors import UserError
from common.files import read_tensors, sha256, way_out, write_tensors


def read_folder(root, size):
    """Every image under root/<class>/, resized to size x size (bilinear).

    Returns (pixels [N, 3, size, size] uint8, labels [N], class names sorted, file names, digest of
    size, labels and files). Raises UserError for a missing folder, a class without images, or a
    file that Pillow cannot read to its end.
    """
    root = Path(root)
    classes, found, labels = _listing(root)
    files = [file for file, *_ in found]
    key = sha256(
        json.dumps([size, [[file[len(str(root)) + 1 :], *stamp] for file, *stamp in found]])
    )
    cache = root.parent / ".decoded" / f"{root.name}-{size}.safetensors"
    if found := read_tensors(cache, key=key):  # of these very files
        pixels, digest = found[0]["pixels"], found[1]["digest"]
    else:
        pixels, digest = _decode_all(files, labels, size)
        write_tensors(cache, {"pixels": pixels}, {"key": key, "digest": digest})
    return pixels, torch.tensor(labels), classes, files, digest


def largest_side(root):
    """The longest side in pixels of any image under root/<class>/; files that cannot be read count as 0."""
    return max(_side(file) for file, *_ in progress(_listing(Path(root))[1], "image sizes"))


def class_folders(root):
    """Names of the class folders under root, sorted; hidden ones are none. UserError where there is no such folder."""
    if not root.is_dir():
        raise UserError(f"no folder {root}; -data names the folder that holds it")
    try:
        entries = list(root.iterdir())
    except OSError as error:
        raise UserError(f"cannot read {root}: {error.strerror}; {way_out(error)}") from error
    return sorted(
        entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
    )


def _listing(root):
    suffixes = {
        suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN
    }
    classes = class_folders(root)
    if not classes:
        raise UserError(f"{root} holds no class folders; images belong into {root}/<class>/")
    files, labels = [], []
    for label, name in enumerate(classes):
        if not name.isprintable():
            raise UserError(
                f"the class folder {name!r} in {root} has a name that cannot be printed; rename it"
            )
        found = _images_below(str(root / name), suffixes)
        if not found:
            raise UserError(
                f"the class {root / name} holds no image; add some or remove the folder"
            )
        files += found
        labels += [label] * len(found)
    return classes, files, labels


def _images_below(folder, suffixes):
    """[(path, bytes, time of its last change in ns)] of the image files in a folder and below it, in the order of their parts."""
    found, folders = [], [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif os.path.splitext(entry.name)[1].lower() in suffixes and entry.is_file():
                        status = entry.stat()
                        found.append((entry.path, status.st_size, status.st_mtime_ns))
        except OSError as error:
            place = error.filename or folder
            raise UserError(f"cannot read {place}: {error.strerror}; {way_out(error)}") from error
    return sorted(found, key=lambda image: image[0].split(os.sep))


def _decode_all(files, labels, size):
    """(pixels [N, 3, size, size] uint8, digest); UserError that names every file that cannot be read."""
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
        said = (
            "1 file cannot be read as an image"
            if len(broken) == 1
            else f"{len(broken)} files cannot be read as images"
        )
        raise UserError(f"{said}: {', '.join(broken)}; replace or remove what is broken")
    return pixels, sha256(json.dumps([size, labels, hashes]))


def _decode(file, size):
    """(pixels [size, size, 3], sha256 of the file, None), or (None, None, what is wrong with the file)."""
    try:
        data = Path(file).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
            elif image.mode in ("I", "F"):
                raise ValueError(
                    f"mode {image.mode}: no range of brightness is known; convert it to 8 or 16 bits"
                )
            image = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    except UnidentifiedImageError:
        return None, None, "no format that Pillow knows"
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, DecompressionBombError ...
        return None, None, str(error)
    return np.array(image), sha256(data), None


def _side(file):
    try:
        with Image.open(file) as image:
            return max(image.size)
    except Exception:  # decoding will name the file
        return 0
