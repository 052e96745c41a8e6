"""Networks, and logits of retrained networks, by name; each is checked by its hash.

published/INDEX.json lists them: {name: {sha256, bytes, command}}. The networks lie in published/
itself. The logits may lie in a folder, or below an address, that SSD_PUBLISHED names:

    export SSD_PUBLISHED=https://example.org/unlearning       # or a folder
    python forget_full_class_main.py ... -weight_path published:cifar20/NAME.safetensors

From an address (http, https or file) a file is fetched once, into checkpoints/published/. To write
the index anew, with files of other folders under a name of your own:

    python -m runs.published [audit-digits=results]
"""

import common.threads  # noqa: F401 (before torch)

import difflib
import http.client
import json
import os
import shlex
import sys
import urllib.request
from pathlib import Path

from common import files
from common.console import progress, run_script
from common.errors import UserError
from methods import GOAL
from runs import checkpoints

FOLDER = Path(__file__).parents[1] / "published"
INDEX = FOLDER / "INDEX.json"
FETCHED = Path("checkpoints") / "published"
SOURCE = "SSD_PUBLISHED"  # the environment variable
PREFIX = "published:"
OUTPUTS = ".outputs.safetensors"  # ends the name of what -outputs keeps
DAMAGED = "is damaged or another file: its SHA-256 is not that of published/INDEX.json"
SECONDS = 60  # to wait for an address that says nothing


def path_of(name: str) -> Path:
    """Where the file of that name in the index lies; it is fetched where it must be.

    name: with or without "published:". UserError where the index does not have it, where it is
    nowhere to be had, or where its contents are not those that the index says.
    """
    name = name.removeprefix(PREFIX)
    entry = _entry(name)
    source = os.environ.get(SOURCE, "")
    places = [FOLDER / name, FETCHED / name]
    if source and not _is_address(source):
        places.append(Path(source) / name)
    there = [place for place in places if place.is_file()]
    for place in there:
        if files.sha256(place.read_bytes()) == entry["sha256"]:
            return place
    if _is_address(source):
        return _fetched(source, name, entry)
    if there:
        raise UserError(f"{there[0]} {DAMAGED}; remove it, and get it again")
    raise UserError(
        f"{PREFIX}{name} is not here; set {SOURCE} to the folder or address that has it, or make "
        f"it: {entry['command']}"
    )


def _entry(name):
    try:
        index = json.loads(INDEX.read_text())
        networks = [listed for listed in index if not listed.endswith(OUTPUTS)]
        entry = index.get(name)
        if entry is not None:
            size = int(entry["bytes"])
            return {"sha256": entry["sha256"], "bytes": size, "command": entry["command"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{INDEX} cannot be read ({type(error).__name__}: {error}); get it again with the code"
        ) from error
    close = difflib.get_close_matches(name, networks, n=3, cutoff=0.3) or networks[:3]
    raise UserError(f"published/INDEX.json has no {name}; of networks it has {', '.join(close)}")


def weight_path(text: str | None) -> str | None:
    """-weight_path as a path: what is given as published:NAME is looked up."""
    if text is None or not text.startswith(PREFIX):
        return text
    if text.endswith(OUTPUTS):
        raise UserError(f"-weight_path {text}: these are a network's logits, not its weights")
    return str(path_of(text))


def _is_address(source):
    scheme, mark, _ = source.partition("://")
    if mark and scheme.lower() not in ("http", "https", "file"):
        raise UserError(f"{SOURCE}={source}: name a folder, or an http, https or file address")
    return bool(mark)


def _fetched(source, name, entry):
    """The path of a file that is fetched from below an address, and checked before it is kept."""
    address = f"{source.rstrip('/')}/{name}"
    print(f"fetching {address} ({entry['bytes'] / 1e6:.1f} MB)")
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as response:
            data = response.read(entry["bytes"] + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError(
            f"{address} cannot be fetched ({error}); set {SOURCE} to another address or to a "
            f"folder, or make it: {entry['command']}"
        ) from error
    if files.sha256(data) != entry["sha256"]:
        raise UserError(f"{address} {DAMAGED}; set {SOURCE} to another address or to a folder")
    path = FETCHED / name
    files.write_whole(path, data)
    return path


# ---- the index, made ----


def main(argv: list[str] | None = None) -> None:
    """Write published/INDEX.json anew. What it lists that lies elsewhere, it keeps."""
    index = json.loads(INDEX.read_text()) if INDEX.is_file() else {}
    folders = {"": FOLDER}
    for text in sys.argv[1:] if argv is None else argv:
        name, _, place = text.partition("=")
        if not (name and place and Path(place).is_dir()):
            raise UserError(f"{text}: write NAME=FOLDER, as audit-digits=results")
        folders[f"{name}/"] = Path(place)
    for prefix, folder in folders.items():
        for path in progress(sorted(folder.rglob("*.safetensors")), f"hashing {folder}"):
            command = _command(path)
            if command is None:
                continue
            data = path.read_bytes()
            entry = {"sha256": files.sha256(data), "bytes": len(data), "command": command}
            index[f"{prefix}{path.relative_to(folder).as_posix()}"] = entry
    text = json.dumps(dict(sorted(index.items())), indent=1) + "\n"
    files.write_whole(INDEX, text.encode())
    print(f"{INDEX}: {len(index)} files")


def _command(path):
    """The command that makes a file; None for what is not listed: importances, other outputs."""
    if ".importance-" in path.name:
        return None
    if path.name.endswith(OUTPUTS):
        record_path = path.with_name(path.name.replace(OUTPUTS, ".json"))
        record = json.loads(record_path.read_text())
        return record["command"] if record["config"]["method"] == GOAL else None
    return _training_command(path)


def _training_command(path):
    """The command line of pretrain_model.py that trains a network, from what its file says."""
    metadata = checkpoints.read_metadata(path)
    words = ["python", "pretrain_model.py", "-net", metadata["net"]]
    words += ["-dataset", metadata["dataset"]]
    if metadata["dataset"] == "Folder":
        words += ["-data", "DIR"]
    if metadata["recipe"].get("name"):
        words += ["-recipe", metadata["recipe"]["name"]]
    if "corruption" in metadata:
        kind, count = metadata["corruption"].split()
        words += ["-corruption", kind, "-corrupt_count", count]
    if metadata["device"] == "cuda":
        words += ["-gpu", "-numerics", metadata["recipe"]["numerics"]]
    return shlex.join([*words, "-seed", str(metadata["seed"])])


if __name__ == "__main__":
    run_script(main)
