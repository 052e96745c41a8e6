"""What every other file may need: an error the user can act on, files written whole, hashes, progress bars."""

import argparse
import ctypes
import errno
import hashlib
import os
import sys
import tempfile
import threading
import time
import uuid
import warnings
import weakref
from contextlib import suppress
from pathlib import Path

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


def kept(kind, key, compute):
    """compute(); in a persistent worker, what it gave for the same key before, if that is among the last two of its kind.

    Whoever gets such a value must not change it. `key` must name all that it depends on.
    """
    if _kept is None:
        return compute()
    last = _kept.setdefault(kind, {})
    value = last.pop(key) if key in last else compute()
    while len(last) > 1:
        del last[next(iter(last))]
    last[key] = value  # behind the others: the first is the one not asked for the longest
    return value


def stamp(path):
    """What changes when the file at `path` is written anew; None where there is none."""
    with suppress(FileNotFoundError):
        status = os.stat(path)
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None


def parser(doc):
    """An argument parser that says `doc` for -h, takes no abbreviations, and whose errors are UserErrors."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    made.error = _refuse
    made._get_option_tuples = lambda word: []  # allow_abbrev=False lets abbreviations of one dash through
    return made


def _refuse(message):
    raise UserError(f"{message} (-h lists the flags)")


def write_whole(path, data):
    """Write bytes to `path` so that a reader sees all of them or none: temporary file, fsync, rename.

    Raises CannotWrite where the place is full or may not be written; what was at `path` before stays.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
            for left in path.parent.glob(f".{path.name}.*.tmp"):  # by a process killed in mid-write
                if time.time() - left.stat().st_mtime > 3600:
                    left.unlink()


def write_tensors(path, values, metadata):
    """Keep {name: tensor} and {name: text} in a file that knows its checksum; where that cannot be, say so and go on."""
    import safetensors.torch

    try:
        write_whole(path, safetensors.torch.save(values, metadata | {"checksum": sha256(*values.values())}))
    except UserError as error:
        print(f"{Path(path).name} is not kept, the next run computes it again: {error}")


def read_tensors(path):
    """({name: tensor}, {name: text}) as write_tensors was given them, or None where there is no such file or it is damaged."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as file:
            values, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118 (no dict)
            return (values, metadata) if metadata["checksum"] == sha256(*values.values()) else None
    except (OSError, safetensors.SafetensorError, KeyError, TypeError):
        return None


def check_writable(folder):
    """Make the folder and try it, so that a run that could not keep its result fails before and not after the work."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:  # it has no name that a killed process could leave behind
            file.write(bytes(2**16))  # on a full disk an empty file is still written
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(path, error):
    return CannotWrite(f"cannot write {path}: {error.strerror}; make room, mend its permissions or name another")


class Claim:
    """The right to do the work that ends in the file `path`; waits until no other process has it.

    A persistent worker does not wait but raises Claimed, `waits` aside. `end()` gives the right back; so does the end of
    a run that fails and of a process that is killed. Where there are no such locks (Windows, some network file systems,
    a folder that may not be written), there is nothing to wait for.
    """

    def __init__(self, path, waits=False):
        lock = Path(path).with_name(f".{Path(path).name}.lock")
        while True:
            try:
                descriptor = os.open(lock, os.O_CREAT | os.O_RDWR)
            except OSError:
                self.end = lambda: None
                return
            if not _locked(descriptor):
                if _kept is not None and not waits:
                    os.close(descriptor)
                    raise Claimed(f"another process is at {path}")
                print(f"another process is at {path}; waiting for it", flush=True)
                _locked(descriptor, wait=True)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(lock), os.fstat(descriptor)):
                    break
            os.close(descriptor)  # who had it has removed the file; the next to come would not meet us there
        self.end = weakref.finalize(self, _unlock, descriptor, lock)


def _locked(descriptor, wait=False):
    """Whether the lock is ours now, or there are no locks here."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pass
    return True


def _unlock(descriptor, lock):
    try:
        lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


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


def is_full(error):
    """Whether an OSError says that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


OUT_OF_MEMORY = "the memory does not suffice; take a smaller -b, or less of what -set asks for"


def is_out_of_memory(error):
    """Whether an error says that memory did not suffice: Python's, torch's on the CPU, CUDA's."""
    words = ("not enough memory", "can't allocate memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def run_script(main):
    """Run a script's main(): one line and exit code 2 for what the user can mend, exit code 130 for Ctrl-C."""
    plain_warnings()
    keep_memory()
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
        print("stopped; what is finished is kept, the same command goes on", file=sys.stderr)
        sys.exit(130)
