"""Large tensors a block of rows at a time, so that no temporary tensor is as large as they are."""

from collections.abc import Iterator
from types import EllipsisType

from torch import Tensor

BLOCK_ENTRIES = 2**20


def row_blocks(tensor: Tensor) -> Iterator[slice | EllipsisType]:
    """Indices of blocks of rows that together are the tensor, each of about BLOCK_ENTRIES entries.

    A row is never cut. A scalar is one block.
    """
    if tensor.dim() == 0:
        yield ...
        return
    row_entries = max(1, tensor.numel() // max(1, len(tensor)))
    rows = max(1, BLOCK_ENTRIES // row_entries)
    for first in range(0, len(tensor), rows):
        yield slice(first, first + rows)
