"""What every other file may need: errors the user can act on, what a process keeps, hashes, progress bars, a script's end."""

import argparse
import atexit
import ctypes
import errno
import gc
import hashlib
import os
import signal
import sys
import threading
import warnings
from contextlib import suppress

from tqdm import tqdm

tqdm.set_lock(threading.RLock())  # its own would be a semaphore of the system, which a worker that is ended leaves behind


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

    glibc's M_TRIM_THRESHOLD (-1) and M_MMAP_THRESHOLD (-3); elsewhere nothing happens. No number depends on it.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch at its first large tensor
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        if libc.mallopt(-3, 2**31 - 1):
            libc.mallopt(-1, 2**31 - 1)


_kept = None  # in a persistent worker: {kind: {key: value}}


def persist():
    """Make this process one that does many runs: `kept` keeps, and a claim that another process has raises Claimed."""
    global _kept
    _kept = {}


def persistent():
    """Whether `persist` was called here."""
    return _kept is not None


def kept(kind, key, compute):
    """compute(); in a persistent worker, what it gave for the same key before, if that is among the last two of its kind.

    Whoever gets such a value must not change it. `key` must name all that it depends on.
    """
    if not persistent():
        return compute()
    last = _kept.setdefault(kind, {})
    value = last.pop(key) if key in last else compute()
    while len(last) > 1:
        del last[next(iter(last))]
    last[key] = value  # behind the others: the first is the one not asked for the longest
    return value


def parser(doc):
    """An argument parser that says `doc` for -h, takes no abbreviations, and whose errors are UserErrors."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    made.error = _refuse
    made._get_option_tuples = lambda word: []  # allow_abbrev=False lets abbreviations of one dash through
    return made


def _refuse(message):
    raise UserError(f"{message} (-h lists the flags)")


def sha256(*parts):
    """Hex digest of bytes, strings and tensors in their order (of a tensor: its values, wherever it lies)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            part = part.encode()
        elif not isinstance(part, bytes):
            part = part.detach().cpu().contiguous().numpy()
        digest.update(part)
    return digest.hexdigest()


def progress(items, what, total=None):
    """Iterate with a bar that shows itself only where the work takes longer than two seconds (in a log file: seldom)."""
    interval = 0.1 if sys.stderr.isatty() else 30
    hidden = bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(items, desc=what, total=total, delay=2, leave=False, dynamic_ncols=True, mininterval=interval, disable=hidden)


def plain_warnings():
    """Warnings in one line each, without the place in the code that raised them."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"


def printable():
    """Let print() replace what the terminal's encoding lacks (a ± in ASCII, say) in place of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def is_full(error):
    """Whether an OSError says that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


OUT_OF_MEMORY = "the memory does not suffice; take a smaller batch (-b), or where a method runs, ask less of it (-set)"


def is_out_of_memory(error):
    """Whether an error says that memory did not suffice: Python's, torch's on the CPU, CUDA's."""
    words = ("not enough memory", "can't allocate memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def run_script(main):
    """Run a script's main(): one line and exit code 2 for what the user can mend, exit code 130 for Ctrl-C."""
    plain_warnings()
    printable()
    keep_memory()
    atexit.register(gc.freeze)  # else Python looks for garbage among all that torch has made: a quarter of a second
    try:
        main()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(f"error: {OUT_OF_MEMORY} ({str(error).splitlines()[0][:200]})", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of what we print has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if not is_full(error):
            raise
        print(f"error: {error.strerror}; make room, the same command goes on", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one, while Python ends, would print a traceback
        print("stopped; what is finished is kept, the same command goes on", file=sys.stderr)
        sys.exit(130)
