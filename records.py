"""One JSON file a run: where it lies, how it is written, how all of them are read back."""

import json
from pathlib import Path

from common import UserError, sha256, write_whole


def path_of(results, task, name, identity):
    """Where the record of a run lies: readable name, then a hash of all that could change its numbers."""
    key = sha256(json.dumps(identity, sort_keys=True))[:10]
    return Path(results) / task / f"{name}-{key}.json"


def write(path, record):
    """Write a record whole, or not at all."""
    write_whole(path, (json.dumps(record, indent=2) + "\n").encode())


def read(path):
    """The record at `path`, or None where there is none. UserError where the file is no record."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a record ({error}); remove it and run its command again") from error


def read_all(results):
    """Every record under a folder, in the order of their paths. UserError where there is none."""
    found = [read(path) for path in sorted(Path(results).rglob("*.json"))]
    found = [record for record in found if isinstance(record, dict) and {"task", "config", "scores"} <= record.keys()]
    if not found:
        raise UserError(f"no records under {results}; run an experiment with -results {results} first")
    return found
