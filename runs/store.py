"""What depends on the trained network alone, computed once and kept beside its checkpoint: I_D, and its logits."""

import json
import os
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

import ssd
from common.console import progress
from common.files import Claim, read_tensors, sha256, write_tensors
from per_sample_gradients import at_least_float32

TOGETHER_BYTES = 4e9  # of I_Ds taken in one pass, or a quarter of what a GPU has free


def importance(model, requests, checkpoint, *, identity, measure, per_sample, train=None):
    """(I_D over the first of `requests`, seconds that it took), from its file or, the first time, computed.

    requests: un-shuffled Batches of D; the others' I_Ds, where they are still missing, are taken in
    the same pass and kept for the runs that need them, the seconds parted evenly. identity: what
    tells networks and data apart (hashes of both, numerics). train: the training images, whose
    logits this pass gives as well; they are kept as logits() keeps them. ValueError for shuffled or
    augmented batches: their importances are another at each pass.
    """
    if any(data.shuffle or data.augment for data in requests):
        raise ValueError(
            "I_D is kept for one order of D only; shuffled or augmented batches have none"
        )
    dials = {
        **identity,
        "batch_size": requests[0].batch_size,
        "measure": measure,
        "per_sample": per_sample,
    }
    orders = [
        data.images.index.cpu() for data in requests
    ]  # each sample's own gradient minds no order
    keys = [
        {**dials, "order": sha256(order.sort().values if per_sample else order)} for order in orders
    ]

    def compute(missing):
        values, images, outputs = importances(
            model, [requests[i] for i in missing], measure, per_sample
        )
        if train is not None and outputs is not None and torch.equal(images.unique(), train.index):
            known = outputs.new_empty(len(train), outputs.shape[1])
            known[torch.searchsorted(train.index, images)] = outputs
            logits(checkpoint, "training", identity, lambda: known)
        return values

    return _kept(checkpoint, "importance", keys, compute, most=_room(model))


def _room(model):
    """How many I_Ds may be taken together."""
    device, size = next(model.parameters()).device, sum(4 * p.numel() for p in model.parameters())
    return max(
        1,
        int(
            (torch.cuda.mem_get_info(device)[0] / 4 if device.type == "cuda" else TOGETHER_BYTES)
            / size
        ),
    )


def importances(model, requests, measure, per_sample):
    """(I_S of each of several un-shuffled Batches, their images [M], the model's logits on these [M, C]; per sample None).

    A batch of the same images in several goes through the model once. Exact but for the order of
    the sums. Where classes are forgotten one by one from a D that ends with D_f (the released
    order), most batches recur: 2.5 times fewer for 5 classes of CIFAR-20, 32 times for all of
    CIFAR-100's 100.
    """
    users = {}  # the images of a batch -> (the batch, which requests hold it)
    for number, data in enumerate(requests):
        index = data.images.index
        positions = torch.arange(len(index), device=index.device).split(data.batch_size)
        for images, part in zip(index.cpu().split(data.batch_size), positions, strict=True):
            users.setdefault(images.numpy().tobytes(), ((data, part), []))[1].append(number)
    groups = {}
    for batch, numbers in users.values():
        groups.setdefault(tuple(numbers), []).append(batch)
    totals = [
        {name: at_least_float32(torch.zeros_like(p)) for name, p in model.named_parameters()}
        for _ in requests
    ]
    outputs = []
    with (
        progress(None, "I_D", len(users)) as bar,
        nullcontext() if per_sample else _listening(model, outputs),
    ):
        for numbers, found in groups.items():
            part = ssd.importance(model, _fed(found, bar), measure=measure, per_sample=per_sample)
            images = sum(len(positions) for _, positions in found)
            for number in numbers:
                weight = (
                    images / len(requests[number].images)
                    if per_sample
                    else len(found) / len(requests[number])
                )
                for name, total in totals[number].items():
                    total.add_(part[name], alpha=weight)
    seen = [data.images.index[positions] for found in groups.values() for data, positions in found]
    return totals, torch.cat(seen), None if per_sample else torch.cat(outputs)


@contextmanager
def _listening(model, outputs):
    """Append what the model gives, as often as it is called."""
    hook = model.register_forward_hook(lambda _, inputs, output: outputs.append(output.detach()))
    try:
        yield
    finally:
        hook.remove()


def _fed(found, bar):
    for data, positions in found:
        yield data.batch(positions)
        bar.update()


def logits(checkpoint, what, identity, compute):
    """What compute() gives, the trained network's logits [N, C] on the set `what`; from their file after the first time."""
    (found, _) = _kept(
        checkpoint, "logits", [{**identity, "set": what}], lambda _: [{"logits": compute()}]
    )
    return found["logits"]


def _kept(checkpoint, kind, keys, compute, most=1):
    """(tensors of the first key, seconds that they took): read, or compute(numbers of keys) -> tensors of each.

    The others' that are missing are computed with it, `most` in all. A damaged file is computed
    anew; a second process waits.
    """
    paths = [
        Path(checkpoint).with_suffix(
            f".{kind}-{sha256(json.dumps(key, sort_keys=True))[:12]}.safetensors"
        )
        for key in keys
    ]
    if found := _read(paths[0]):
        return found
    most = (
        most if os.access(paths[0].parent, os.W_OK) else 1
    )  # what cannot be kept is of no use to others
    wanted = [
        i for i, path in enumerate(paths) if i == 0 or (path not in paths[:i] and not path.exists())
    ][:most]
    claims = [
        Claim(path, waits=True) for path in sorted(paths[i] for i in wanted)
    ]  # in one order: nobody waits for each other
    try:
        if found := _read(paths[0]):  # by the process that was waited for
            return found
        missing = [i for i in wanted if i == 0 or not paths[i].exists()]
        start = time.perf_counter()
        computed = compute(missing)
        seconds, first = (time.perf_counter() - start) / len(missing), None
        for i, part in zip(missing, computed, strict=True):
            values = {name: tensor.cpu().contiguous() for name, tensor in part.items()}
            write_tensors(
                paths[i], values, {"seconds": repr(seconds), "identity": json.dumps(keys[i])}
            )
            first = first or values
    finally:
        for claim in claims:
            claim.end()
    return first, seconds


def _read(path):
    """(tensors, seconds that they took), or None."""
    found = read_tensors(path)
    return found and (found[0], float(found[1].get("seconds", 0)))
