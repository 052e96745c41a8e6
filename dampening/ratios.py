"""I_Df / I_D of all parameters in ascending order, without ever sorting or joining them.

An order statistic is found by counting. The bits of floats that are not negative, read as whole
numbers, are in the order of the floats. So a histogram of the upper 16 bits says in which of 65,536
bins the wanted ratio lies, and a histogram of the next 16 bits within this bin goes on from there:
two passes for float32, four for float64. The result is a sorted list's, to the last bit.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dampening import checks
from dampening.blocks import row_blocks
from dampening.processes import counted_here, local, sum_over_mesh
from per_sample_gradients import at_least_float32

DIGIT_BITS = 16
BINS = 2**DIGIT_BITS


def comparable(importance: Tensor, tensor: Tensor) -> Tensor:
    """This process's part of an importance, as exact as both, on the tensor's device.

    float32 at least.
    """
    dtype = torch.promote_types(importance.dtype, tensor.dtype)
    return at_least_float32(local(importance).to(tensor.device, dtype))


class Ratios:
    """The finite I_Df / I_D in ascending order; `ratios[k]` is the k-th, from 0, as a float.

    NaN and infinity, where I_D is 0, are omitted. Of a sharded model every process must ask for the
    same.
    """

    def __init__(self, full: dict[str, Tensor], forget: dict[str, Tensor]):
        """ValueError or TypeError for what are no importances, and where no ratio is finite."""
        checks.check_importances("I_D", full, full)
        checks.check_importances("I_Df", forget, full)
        self._full, self._forget = full, forget
        self.dtype = torch.float32
        for name in full:
            for value in (full[name], forget[name]):
                self.dtype = torch.promote_types(self.dtype, value.dtype)
        self._digits = 4 if self.dtype == torch.float64 else 2
        # Digits that are known -> a histogram of the next. One of each length is kept.
        self._kept: dict[int, tuple[int, Tensor]] = {}
        self._length = int(self._histogram(0, 0)[-1])
        if self._length == 0:
            reason = "the importances are zero everywhere; the model or its data may be broken"
            raise ValueError(f"no parameter has a finite I_Df / I_D; {reason}")

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position):
        if not 0 <= position < self._length:
            raise IndexError(f"there are {self._length} ratios; none has position {position}")
        prefix = 0  # the digits found so far, as one number
        for known_digits in range(self._digits):
            up_to = self._histogram(known_digits, prefix)  # [BINS] how many are in it or before
            digit = int(torch.searchsorted(up_to, position, right=True))
            if digit > 0:
                position -= int(up_to[digit - 1])
            prefix = prefix * BINS + digit
        is_double = self._digits == 4
        bits = torch.tensor(prefix, dtype=torch.int64 if is_double else torch.int32)
        return float(bits.view(self.dtype))

    def _histogram(self, known_digits, prefix):
        """The cumulative histogram [BINS] of the next digit of all ratios that start so."""
        kept_prefix, histogram = self._kept.get(known_digits, (None, None))
        if kept_prefix != prefix:
            histogram = self._count(known_digits, prefix).cumsum(0)
            self._kept[known_digits] = (prefix, histogram)
        return histogram

    def _count(self, known_digits, prefix):
        """Over the parts of all processes; int64 [BINS] on the CPU."""
        shift = DIGIT_BITS * (self._digits - 1 - known_digits)  # the next digit's place
        total = torch.zeros(BINS, dtype=torch.int64)
        by_mesh = {}
        for name, value in self._full.items():
            mesh = getattr(value, "device_mesh", None)
            if mesh not in by_mesh:
                by_mesh[mesh] = torch.zeros(BINS, dtype=torch.int64, device=local(value).device)
            if not counted_here(value):
                continue
            for bits in self._bits_of(name):
                if known_digits > 0:
                    bits = bits[bits >> (shift + DIGIT_BITS) == prefix]
                digits = (bits >> shift) & (BINS - 1)
                counts = torch.bincount(digits, minlength=BINS)
                by_mesh[mesh] += counts.to(by_mesh[mesh].device)
        for mesh, counts in by_mesh.items():
            if mesh is not None:
                sum_over_mesh(counts, mesh)
            total += counts.cpu()
        return total

    def _bits_of(self, name) -> Iterator[Tensor]:
        """The bits of a tensor's finite ratios as whole numbers, a block at a time."""
        full, forget = local(self._full[name]), local(self._forget[name])
        integers = torch.int64 if self._digits == 4 else torch.int32
        for rows in row_blocks(full):
            i_full = comparable(full[rows], forget)
            i_forget = comparable(forget[rows], i_full)
            ratios = (i_forget / i_full.to(i_forget.device)).flatten()
            ratios = ratios[torch.isfinite(ratios)]
            yield ratios.to(self.dtype).abs().view(integers)  # abs: -0 is 0
