"""Batches of any form: how many samples they hold, parts of them, their tensors' device.

The outermost tuple, list or dict holds a batch's parts, such as x and y. A part is an array with a
row for each sample, a list with an entry for each sample, or a tuple or dict of such parts.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Filler(NamedTuple):
    """A batch of one sample for a process that has none of its own. It counts for nothing."""

    batch: Any


def size(batch: Any) -> int | None:
    """How many samples a batch holds, by the first of its parts; None where nothing tells."""
    if isinstance(batch, tuple | list):
        if not any(_holds_samples(part) for part in batch):
            return len(batch)  # a batch of texts, or of numbers
        return _first_size(batch)
    return _size_of_part(batch)


def _holds_samples(part):
    return hasattr(part, "shape") or isinstance(part, Mapping | tuple | list)


def _first_size(parts):
    for part in parts:
        count = _size_of_part(part)
        if count is not None:
            return count
    return None


def _size_of_part(part):
    if hasattr(part, "shape"):
        return part.shape[0] if len(part.shape) > 0 else None
    if isinstance(part, list):
        return len(part)
    if isinstance(part, Mapping):
        return _first_size(part.values())
    if isinstance(part, tuple):
        return _first_size(part)
    return None


def known_size(batch: Any) -> int:
    """The same; ValueError where nothing tells."""
    count = size(batch)
    if count is None:
        kind = type(batch).__name__
        way_out = "give a tuple, a dict, or a list with an entry for each sample"
        raise ValueError(
            f"a batch of type {kind} does not say how many samples it holds; {way_out}"
        )
    return count


def cut(batch: Any, first: int, last: int) -> Any:
    """The samples first, ..., last - 1 of a batch.

    Words, numbers and None stay as they are. ValueError where an array or a list has another length
    than the first of them.
    """
    count = known_size(batch)
    if isinstance(batch, list):
        if not any(_holds_samples(part) for part in batch):
            return batch[first:last]
        return [_cut_part(part, count, first, last) for part in batch]
    return _cut_part(batch, count, first, last)


def _cut_part(part, count, first, last):
    if hasattr(part, "shape") or isinstance(part, list):
        length = _size_of_part(part)
        if length != count:
            shape = list(part.shape) if hasattr(part, "shape") else f"list of {length}"
            message = f"a batch of {count} samples holds a part {shape}, which cannot be cut"
            raise ValueError(f"{message} into samples; give each part one row for each sample")
        return part[first:last]
    if isinstance(part, Mapping):
        return {name: _cut_part(entry, count, first, last) for name, entry in part.items()}
    if isinstance(part, tuple):
        return _as(type(part), [_cut_part(entry, count, first, last) for entry in part])
    return part


def _as(kind, entries):
    """A tuple of its own kind, which may be a named one."""
    return kind(*entries) if hasattr(kind, "_fields") else kind(entries)


def singles(batch: Any) -> Iterator[Any]:
    """Each sample of a batch as a batch of its own."""
    for first in range(known_size(batch)):
        yield cut(batch, first, first + 1)


def parts(batches: Iterable, part: int, count: int) -> Iterator:
    """Of each batch the part-th of `count` parts, or a Filler where that is empty."""
    for batch in batches:
        samples = known_size(batch)
        first, last = samples * part // count, samples * (part + 1) // count
        if samples == 0:
            continue
        if first == last:
            yield Filler(cut(batch, 0, 1))
        else:
            yield cut(batch, first, last)


def _own_leaf(tensor):
    """A tensor that may take part in a backward pass without a trace in the caller's."""
    if tensor.is_inference():
        return tensor.clone()
    if tensor.requires_grad:
        return tensor.detach().requires_grad_(True)
    return tensor


def moved(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on the device, of the kind that it was."""
    if isinstance(batch, Tensor):
        return _own_leaf(batch).to(device)
    if hasattr(batch, "to"):
        return batch.to(device)  # HuggingFace's BatchEncoding, a graph, ...
    if isinstance(batch, Mapping):
        return {name: moved(part, device) for name, part in batch.items()}
    if isinstance(batch, list):
        return [moved(part, device) for part in batch]
    if isinstance(batch, tuple):
        return _as(type(batch), [moved(part, device) for part in batch])
    return batch
