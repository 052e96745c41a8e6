"""I_D, computed once per trained model, data set, order, batch size and measure, and kept beside the checkpoint."""

import json
import time
from pathlib import Path

import safetensors
import safetensors.torch

from common import UserError, sha256, write_whole


def stored(compute, checkpoint, *, identity, index):
    """(I_D, seconds that computing it took), from the file beside `checkpoint` or, the first time, by compute().

    identity: all else it depends on (hashes of weights and data, batch size, measure); index [N]: D's images in the
    order in which they are read. A damaged file is computed anew.
    """
    key = sha256(json.dumps(identity, sort_keys=True), index)[:12]
    path = Path(checkpoint).with_suffix(f".importance-{key}.safetensors")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
            if metadata["checksum"] == sha256(*values.values()):
                return values, float(metadata["seconds"])
    except (OSError, safetensors.SafetensorError, KeyError, TypeError):
        pass
    start = time.perf_counter()
    values = {name: tensor.cpu() for name, tensor in sorted(compute().items())}
    seconds = time.perf_counter() - start
    metadata = {"checksum": sha256(*values.values()), "seconds": repr(seconds), "identity": json.dumps(identity)}
    try:
        write_whole(path, safetensors.torch.save(values, metadata))
    except UserError as error:
        print(f"I_D is not kept, the next run computes it again: {error}")
    return values, seconds
