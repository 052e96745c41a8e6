"""Errors that a user can mend, and how to tell a full disk and a full memory."""

import ctypes
import errno
import os
from contextlib import suppress


class UserError(ValueError):
    """Something the user can mend; the message is one line and names the way out (exit code 2)."""


class Diverged(UserError):
    """The numbers have run away: other settings may do better."""


class CannotWrite(UserError):
    """The place where results go is full or may not be written: no other run would fare better."""


class Claimed(UserError):
    """Another process does this very work at the moment."""


def keep_memory():
    """Let this process keep freed memory and take it in huge pages: fresh pages cost large batches up to a quarter of their time.

    glibc's M_TRIM_THRESHOLD (-1) and M_MMAP_THRESHOLD (-3); elsewhere nothing happens. No number
    depends on it.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch at its first large tensor
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        if libc.mallopt(-3, 2**31 - 1):
            libc.mallopt(-1, 2**31 - 1)


def is_full(error):
    """Whether an OSError says that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


OUT_OF_MEMORY = "the memory does not suffice; take a smaller batch (-b), or where a method runs, ask less of it (-set)"


def is_out_of_memory(error):
    """Whether an error says that memory did not suffice: Python's, torch's on the CPU, CUDA's."""
    words = (
        "not enough memory",
        "can't allocate memory",
        "out of memory",
        "Storage size calculation overflowed",
    )
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
