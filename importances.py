"""I_D, computed once per trained model, data set, order, batch size and measure, and kept beside the checkpoint."""

import json
import time
from pathlib import Path

import safetensors
import safetensors.torch

from common import Claim, UserError, sha256, write_whole


def stored(compute, checkpoint, *, identity, order):
    """(I_D, seconds that computing it took), from the file beside `checkpoint` or, the first time, by compute().

    identity: all else it depends on (hashes of weights and data, batch size, measure); order: the digest of
    D's images in the order in which they are read. A damaged file is computed anew; a second process waits for the first.
    """
    key = sha256(json.dumps(identity, sort_keys=True), order)[:12]
    path = Path(checkpoint).with_suffix(f".importance-{key}.safetensors")
    if found := _read(path):
        return found
    claimed = Claim(path, waits=True)
    if found := _read(path):  # by the process that was waited for
        return found
    start = time.perf_counter()
    values = {name: tensor.cpu() for name, tensor in sorted(compute().items())}
    seconds = time.perf_counter() - start
    metadata = {"checksum": sha256(*values.values()), "seconds": repr(seconds), "identity": json.dumps(identity)}
    try:
        write_whole(path, safetensors.torch.save(values, metadata))
    except UserError as error:
        print(f"I_D is not kept, the next run computes it again: {error}")
    claimed.end()
    return values, seconds


def _read(path):
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
            if metadata["checksum"] == sha256(*values.values()):
                return values, float(metadata["seconds"])
    except (OSError, safetensors.SafetensorError, KeyError, TypeError):
        pass
    return None
