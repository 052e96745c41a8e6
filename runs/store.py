"""The importances of D, which a trained network determines: computed once, then kept in a file."""

import json
import time
from pathlib import Path

from torch import Tensor, nn

import ssd
from common.files import once, read_tensors, sha256, write_tensors
from learning.images import Batches


def importance(
    model: nn.Module,
    data: Batches,
    checkpoint: str,
    *,
    identity: dict,
    measure: str,
    per_sample: bool,
) -> tuple[dict[str, Tensor], float]:
    """(I_D by parameter name, seconds that computing it took), from its file next to `checkpoint`.

    The first time it is computed; a second process waits. A damaged file is computed again.
    data: D in un-shuffled batches. identity: what tells networks and data apart: the hashes of
    both, numerics, device. ValueError for shuffled or augmented batches: their importances differ
    at each pass.
    """
    if data.shuffle or data.augment:
        raise ValueError(
            "I_D is kept for one order of D only; shuffled or augmented batches have none"
        )
    order = data.images.index.cpu()
    if per_sample:  # the mean of single samples' gradients does not depend on the order
        order = order.sort().values
    key = {
        **identity,
        "batch_size": data.batch_size,
        "measure": measure,
        "per_sample": per_sample,
        "order": sha256(order),
    }
    path = _path(checkpoint, key)
    with once(path, lambda: _read(path)) as kept:
        if kept is not None:
            return kept
        start = time.perf_counter()
        computed = ssd.importance(model, data, measure=measure, per_sample=per_sample)
        seconds = time.perf_counter() - start
        values = {name: value.cpu().contiguous() for name, value in computed.items()}
        texts = {"seconds": repr(seconds), "identity": json.dumps(key)}
        write_tensors(path, values, texts)
        return values, seconds


def _path(checkpoint, key):
    word = sha256(json.dumps(key, sort_keys=True))[:12]
    return Path(checkpoint).with_suffix(f".importance-{word}.safetensors")


def _read(path):
    """(I_D, seconds), or None where there is no sound file."""
    kept = read_tensors(path)
    if kept is None:
        return None
    values, texts = kept
    return values, float(texts.get("seconds", 0))
