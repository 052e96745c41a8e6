"""Run by test_processes.py under torchrun: each check by several processes, against one alone.

Prints one line of JSON: {check: what was measured}.
"""

import copy
import json
import sys
import warnings
from types import SimpleNamespace

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)

import ssd

VOCABULARY = 23


class Tied(nn.Module):
    """Logits of tokens [B, T, V]; the head is the table of the tokens."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, 10)
        layers = [nn.Sequential(nn.Linear(10, 10), nn.Tanh(), nn.LayerNorm(10)) for _ in range(2)]
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(10, VOCABULARY, bias=False)
        self.head.weight = self.table.weight
        self.layers[0][0].bias.requires_grad_(False)

    def forward(self, ids):
        x = self.table(ids)
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x)


class OnlyLoss(Tied):
    """Gives its own loss and no logits."""

    def forward(self, ids, labels):
        logits = super().forward(ids).flatten(0, 1)
        loss = nn.functional.cross_entropy(logits, labels.flatten(), ignore_index=-100)
        return SimpleNamespace(loss=loss)


def sharded(model, mesh=None):
    for layer in model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def token_batches():
    """Parts of unequal sizes and unequal numbers of tokens; the last batch is one sample."""
    ids, labels = torch.randint(VOCABULARY, (12, 6)), torch.randint(VOCABULARY, (12, 6))
    labels[3, 2:] = -100
    labels[7, :] = -100
    return list(zip(ids.split([5, 6, 1]), labels.split([5, 6, 1]), strict=True))


def whole(tensor):
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def distance(importances, wanted):
    """The largest relative error of a tensor."""
    errors = []
    for name, value in wanted.items():
        scale = float(value.norm()) or 1.0
        errors.append(float((whole(importances[name]) - value).norm()) / scale)
    return max(errors)


def weight_distance(model, wanted):
    by_name = dict(wanted.named_parameters())
    errors = []
    for name, p in model.named_parameters():
        errors.append(float((whole(p.detach()) - by_name[name].detach()).abs().max()))
    return max(errors)


def message(call):
    """The one line by which a call is refused."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return "not refused"


def equality(measure, make_sharded):
    """A sharded model's importances, alphas, shares and weights against the model's alone."""
    full, forget = DATA, DATA[2:] + DATA[:1]
    alone, parted = copy.deepcopy(MODEL), make_sharded(copy.deepcopy(MODEL))
    i_full, i_forget = (ssd.importance(alone, data, measure=measure) for data in (full, forget))
    parts = [
        ssd.importance(parted, ssd.split_batches(data), measure=measure) for data in (full, forget)
    ]
    result = {"importances": max(distance(parts[0], i_full), distance(parts[1], i_forget))}
    result["dtensors"] = all(isinstance(value, DTensor) for value in parts[0].values())
    wanted = ssd.suitability(alone, i_full, i_forget, share_forgotten=0.5)
    found = ssd.suitability(parted, *parts, share_forgotten=0.5)
    result["overlap"] = abs(found.overlap - wanted.overlap)
    result["adaptive"] = abs(found.adaptive_alpha / wanted.adaptive_alpha - 1)
    with torch.no_grad():
        parted(DATA[0][0])  # leaves the outermost parameters gathered
    share = ssd.dampen(alone, i_full, i_forget, alpha=1.3, lam=0.5)
    parted_share = ssd.dampen(parted, *parts, alpha=1.3, lam=0.5)
    result["share"] = abs(parted_share - share)
    result["selected"] = float(share)
    result["weights"] = weight_distance(parted, alone)
    result["left_sharded"] = all(isinstance(p, DTensor) for p in parted.parameters())
    return result


def unlearning():
    """The whole function, as the caller has it."""
    alone, parted = copy.deepcopy(MODEL), sharded(copy.deepcopy(MODEL))
    ssd.unlearn(alone, DATA[:1], DATA, alpha=1.3, lam=0.5)
    result = ssd.unlearn(
        parted, ssd.split_batches(DATA[:1]), ssd.split_batches(DATA), alpha=1.3, lam=0.5
    )
    return {"weights": weight_distance(result, alone), "changed": weight_distance(result, MODEL)}


def replicated(per_sample):
    model = copy.deepcopy(MODEL)
    wanted = ssd.importance(model, DATA[:1] + DATA[2:], per_sample=per_sample)
    data = ssd.split_batches(DATA[:1] + DATA[2:])
    options = {"per_sample": per_sample, "reduce_over": dist.group.WORLD}
    return distance(ssd.importance(model, data, **options), wanted)


def naive():
    """Each process reads batches of its own: the median of the importances' ratio to the right."""
    ids, labels = torch.randint(VOCABULARY, (24, 6)), torch.randint(VOCABULARY, (24, 6))
    data = list(zip(ids.split(2), labels.split(2), strict=True))
    wanted = ssd.importance(copy.deepcopy(MODEL), data)
    own = data[dist.get_rank() :: dist.get_world_size()]
    found = ssd.importance(sharded(copy.deepcopy(MODEL)), own)
    ratios = [(whole(found[name]) / value).flatten() for name, value in wanted.items()]
    return float(torch.cat(ratios).nanmedian())


def own_loss():
    """A loss of the caller's, with the number of tokens that it is the mean over."""

    def loss(model, batch):
        ids, labels = batch
        counts = int((labels != -100).sum())
        total = nn.functional.cross_entropy(
            model(ids).flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum"
        )
        return total / max(1, counts), counts

    wanted = ssd.importance(copy.deepcopy(MODEL), DATA)
    data = ssd.split_batches(DATA)
    return distance(ssd.importance(sharded(copy.deepcopy(MODEL)), data, loss=loss), wanted)


def bfloat16():
    alone, parted = copy.deepcopy(MODEL).bfloat16(), sharded(copy.deepcopy(MODEL).bfloat16())
    wanted = ssd.importance(alone, DATA)
    importances = ssd.importance(parted, ssd.split_batches(DATA))
    dtypes = {str(value.dtype) for value in importances.values()}
    return {"importances": distance(importances, wanted), "dtypes": sorted(dtypes)}


def saved_and_loaded(folder):
    """By torch.distributed.checkpoint; each process writes and reads its own part."""
    model = sharded(copy.deepcopy(MODEL))
    importances = ssd.importance(model, ssd.split_batches(DATA))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"I_D": importances}, checkpoint_id=folder)
        loaded = {name: torch.zeros_like(value) for name, value in importances.items()}
        dcp.load({"I_D": loaded}, checkpoint_id=folder)
    return distance(
        {name: whole(value) for name, value in loaded.items()},
        {name: whole(value) for name, value in importances.items()},
    )


def refusals():
    model = sharded(copy.deepcopy(MODEL))
    rank = dist.get_rank()
    partly = copy.deepcopy(MODEL)
    fully_shard(partly.layers[0])
    wrapped = nn.parallel.DistributedDataParallel(nn.Linear(3, 2))
    pair = torch.randn(4, 3), torch.zeros(4, dtype=torch.int64)
    empty = (DATA[0][0][:0], DATA[0][1][:0])
    nothing = (DATA[0][0], torch.full_like(DATA[0][1], -100))
    plain = ssd.importance(copy.deepcopy(MODEL), DATA)
    unsynchronised = sharded(copy.deepcopy(MODEL))
    unsynchronised.set_requires_gradient_sync(False)
    parallel = nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 4, bias=False))
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    parallelize_module(parallel, mesh, {"0": ColwiseParallel(), "1": RowwiseParallel()})
    square = torch.randn(4, 4), torch.zeros(4, dtype=torch.int64)
    dicts = [{"ids": ids, "labels": labels} for ids, labels in DATA]
    calls = {
        "per_sample": lambda: ssd.importance(model, DATA, per_sample=True),
        "fewer": lambda: ssd.importance(model, DATA[: 1 + rank]),
        "empty": lambda: ssd.importance(model, [empty if rank else DATA[0]]),
        "nothing": lambda: ssd.importance(model, ssd.split_batches([nothing])),
        "partly": lambda: ssd.importance(partly, DATA),
        "wrapped": lambda: ssd.importance(wrapped, [pair]),
        "float16": lambda: ssd.importance(sharded(copy.deepcopy(MODEL).half()), DATA),
        "unsynchronised": lambda: ssd.importance(unsynchronised, ssd.split_batches(DATA)),
        "parallel": lambda: ssd.importance(parallel, [square]),
        "no_logits": lambda: ssd.importance(sharded(OnlyLoss()), ssd.split_batches(dicts)),
        "whole": lambda: ssd.dampen(model, plain, plain, alpha=1, lam=1),
    }
    return {name: message(call) for name, call in calls.items()}


def main():
    count = dist.get_world_size()
    result = {
        "fisher": equality("fisher", sharded),
        "norm": equality("norm", sharded),
        "unlearn": unlearning(),
        "replicated": replicated(False),
        "replicated_samples": replicated(True),
        "naive": naive(),
        "own_loss": own_loss(),
        "bfloat16": bfloat16(),
        "saved": saved_and_loaded(sys.argv[1]),
        "refusals": refusals(),
    }
    # Every process holds all of the model: each entry must be counted once.
    mesh = init_device_mesh("cpu", (count, 1), mesh_dim_names=("repeated", "split"))
    result["hybrid"] = equality("fisher", lambda model: sharded(model, mesh))
    if dist.get_rank() == 0:
        print(json.dumps(result))


if __name__ == "__main__":
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    MODEL = Tied()
    DATA = token_batches()
    main()
    dist.destroy_process_group()
