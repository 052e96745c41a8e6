"""Errors that a user can mend, and how to tell a full disk and a full memory."""

import errno


class UserError(ValueError):
    """Something the user can mend; the message is one line and names the way out (exit code 2)."""


class Diverged(UserError):
    """The numbers have run away: other settings may do better."""


class CannotWrite(UserError):
    """The place where results go is full or may not be written: no other run would fare better."""


class Claimed(UserError):
    """Another process does this very work at the moment."""


OUT_OF_MEMORY = (
    "the memory does not suffice; take a smaller batch (-b), "
    "or where a method runs, ask less of it (-set)"
)
# What torch says of it: on the CPU, on a GPU, and where a size is absurd.
_WORDS_OF_A_FULL_MEMORY = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "Storage size calculation overflowed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice: Python's, torch's on the CPU, CUDA's."""
    if isinstance(error, MemoryError):
        return True
    return any(words in str(error) for words in _WORDS_OF_A_FULL_MEMORY)


def is_full(error: OSError) -> bool:
    """Whether an error says that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
