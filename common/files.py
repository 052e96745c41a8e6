"""Files that others may read at any moment: written whole or not at all, checked when read, claimed by one process at a time."""

import errno
import hashlib
import os
import tempfile
import time
import uuid
import weakref
from contextlib import suppress
from pathlib import Path

from common.errors import CannotWrite, Claimed, UserError
from runs.cache import persistent


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


def stamp(path):
    """What changes when the file at `path` is written anew; None where there is none."""
    with suppress(FileNotFoundError):
        status = os.stat(path)
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None


def write_whole(path, data):
    """Write bytes to `path` so that a reader sees all of them or none: temporary file, fsync, rename.

    Raises CannotWrite where the place is full or may not be written; what was at `path` before
    stays.
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
        write_whole(
            path, safetensors.torch.save(values, metadata | {"checksum": _checksum(values)})
        )
    except UserError as error:
        print(f"{Path(path).name} is not kept, the next run computes it again: {error}")


def read_tensors(path, **expected):
    """({name: tensor}, {name: text}) as write_tensors wrote them; None where there is no such file or it is damaged.

    None too, and no tensor is read, where its texts lack what is expected or say otherwise.
    """
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            if not expected.items() <= metadata.items():
                return None
            values = {name: file.get_tensor(name) for name in file.keys()}
            return (values, metadata) if metadata["checksum"] == _checksum(values) else None
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, AttributeError):
        return None


def _checksum(values):
    return sha256(*(values[name] for name in sorted(values)))


def check_writable(folder):
    """Make the folder and try it, so that a run that could not keep its result fails before and not after the work."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(
            dir=folder
        ) as file:  # it has no name that a killed process could leave behind
            file.write(bytes(2**16))  # on a full disk an empty file is still written
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


class Claim:
    """The right to do the work that ends in the file `path`; waits until no other process has it.

    A persistent worker does not wait but raises Claimed, `waits` aside. `end()` gives the right
    back; so does the end of a run that fails and of a process that is killed. Where there are no
    such locks (Windows, some network file systems, a folder that may not be written), there is
    nothing to wait for.
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
                if persistent() and not waits:
                    os.close(descriptor)
                    raise Claimed(f"another process is at {path}")
                print(f"another process is at {path}; waiting for it", flush=True)
                _locked(descriptor, wait=True)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(lock), os.fstat(descriptor)):
                    break
            os.close(
                descriptor
            )  # who had it has removed the file; the next to come would not meet us there
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
