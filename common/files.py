"""Files that others may read at any moment.

They are written whole or not at all, checked when they are read, and made by one process at a time.
"""

import errno
import hashlib
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from common.errors import CannotWrite, Claimed, UserError

LOCKS = ".locks"  # the folder, next to the files, in which claims lie
AN_HOUR = 3600  # seconds, after which an unfinished file is one of a killed process


def sha256(*parts) -> str:
    """Hex digest of bytes, texts and tensors in their order; of a tensor: of its values."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            part = part.encode()
        elif not isinstance(part, bytes):
            part = part.detach().cpu().contiguous().numpy()
        digest.update(part)
    return digest.hexdigest()


def stamp(path) -> tuple | None:
    """What changes when the file at `path` is written anew; None where there is no file."""
    with suppress(FileNotFoundError):
        status = os.stat(path)
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None


def write_whole(path, data: bytes):
    """Write `data` so that a reader sees all of it or none: temporary file, fsync, rename.

    Raises CannotWrite where the place is full or may not be written. What was at `path` before
    then stays.
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
            _remove_unfinished(path)


def _remove_unfinished(path):
    """Remove what processes that were killed while they wrote `path` have left."""
    for unfinished in path.parent.glob(f".{path.name}.*.tmp"):
        if time.time() - unfinished.stat().st_mtime > AN_HOUR:
            unfinished.unlink()


def write_tensors(path, values: dict, metadata: dict):
    """Keep {name: tensor} and {name: text} in a file that knows its checksum.

    Where that cannot be, it says so and goes on.
    """
    try:
        write_checked(path, values, metadata)
    except UserError as error:
        print(f"{Path(path).name} is not kept, the next run computes it again: {error}")


def write_checked(path, values: dict, metadata: dict | None = None) -> str:
    """Write {name: tensor} and {name: text} whole, with their checksum, which is returned.

    Raises CannotWrite where the place is full or may not be written.
    """
    import safetensors.torch

    checksum = _checksum(values)
    write_whole(path, safetensors.torch.save(values, {**(metadata or {}), "checksum": checksum}))
    return checksum


def read_tensors(path, **expected: str) -> tuple[dict, dict] | None:
    """({name: tensor}, {name: text}) as write_tensors or write_checked wrote them.

    None where there is no such file, where it is damaged, or where its texts are not as expected;
    in the last case no tensor is read.
    """
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if not expected.items() <= metadata.items():
                return None
            names = file.keys()
            values = {name: file.get_tensor(name) for name in names}
    except (OSError, safetensors.SafetensorError):
        return None
    if metadata.get("checksum") != _checksum(values):
        return None
    return values, metadata


def _checksum(values):
    tensors = [values[name] for name in sorted(values)]
    return sha256(*tensors)


def check_writable(folder):
    """Make the folder and try it, so that a run fails before its work and not after it.

    Raises CannotWrite.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        # A temporary file has no name that a killed process could leave there.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**16))  # on a full disk an empty file can still be written
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _cannot_write(folder, error) from error


WAYS_OUT = {
    errno.ENOSPC: "make room, or name another place",
    errno.EDQUOT: "make room, or name another place",
    errno.EACCES: "mend its permissions, or name another place",
    errno.EPERM: "mend its permissions, or name another place",
    errno.EROFS: "name a place that is not read-only",
    errno.ELOOP: "it is a link that leads to itself; remove it, or name another place",
    errno.ENOTDIR: "a file is where a folder should be; move it, or name another place",
    errno.EEXIST: "a file is where a folder should be; move it, or name another place",
    errno.EISDIR: "a folder is where the file should be; move it, or name another place",
    errno.ENAMETOOLONG: "name a shorter one",
}


def way_out(error):
    """What a user can do about an OSError at a path."""
    return WAYS_OUT.get(error.errno, "name another place")


def _cannot_write(path, error):
    return CannotWrite(f"cannot write {path}: {error.strerror}; {way_out(error)}")


@contextmanager
def once(path, look: Callable, *, waits: bool = True):
    """Look, claim, look again: a context for work that ends in the file `path`.

    Yields what look() gives, unless it is None, and nothing is to be done. Yields None where the
    work is to be done here; no other process does it until the context ends. waits: see `claimed`.
    """
    result = look()
    if result is not None:
        yield result
        return
    with claimed(path, waits=waits):
        yield look()  # another process may have done it while this one waited


@contextmanager
def claimed(path, *, waits: bool = True):
    """A context in which no other process does the work that ends in the file `path`.

    Where another process is at it: waits for it, or raises Claimed if it is not to wait. The claim
    of a killed process ends with it. Where there are no locks (some network file systems, a folder
    that may not be written), there is nothing to wait for.
    """
    path = Path(path)
    lock = filelock.FileLock(path.parent / LOCKS / f"{path.name}.lock")
    with suppress(OSError, NotImplementedError):
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            if not waits:
                raise Claimed(f"another process is at {path}") from None
            print(f"another process is at {path}; waiting for it", flush=True)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def file_name(text: str) -> str:
    """The text as a part of a file's name; of a long one the start, and letters of its hash."""
    letters = [c if c.isalnum() or c in "._" else "_" for c in text]
    if len(letters) <= 60:
        return "".join(letters)
    return f"{''.join(letters)[:53]}-{sha256(text.encode(errors='backslashreplace'))[:6]}"
