"""Several processes: models sharded by fully_shard (FSDP2), and plain data parallel.

In both each process reads its part of every batch, and gradients are averaged over the whole batch
before they are squared. A sharded parameter is a DTensor: each process holds a part of it, and here
every process works on its own part.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

WANTED_SHARDS = (
    "is sharded in another way than by fully_shard (tensor parallel models are not supported); "
    "shard it so, or gather it on one device"
)


# ---- sharded tensors ----


def is_sharded(tensor: Tensor) -> bool:
    """Whether the tensor is a DTensor."""
    return hasattr(tensor, "device_mesh")


def is_by_fully_shard(tensor: Tensor) -> bool:
    """Whether a DTensor is split along one axis, and else at most repeated."""
    placements = getattr(tensor, "placements", ())
    split = [placement for placement in placements if placement.is_shard()]
    repeated = [placement for placement in placements if placement.is_replicate()]
    return len(split) == 1 and len(split) + len(repeated) == len(placements)


def are_sharded_alike(first: Tensor, second: Tensor) -> bool:
    """Whether each process holds the same part of both."""
    if not is_sharded(first) and not is_sharded(second):
        return True
    if is_sharded(first) != is_sharded(second):
        return False
    same_mesh = first.device_mesh == second.device_mesh  # type: ignore[attr-defined]
    return same_mesh and first.placements == second.placements  # type: ignore[attr-defined]


def local(tensor: Tensor) -> Tensor:
    """The part of the tensor that this process holds, which shares its memory."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def counted_here(tensor: Tensor) -> bool:
    """Whether this process is the one that counts its part, where others hold the same part."""
    if not is_sharded(tensor):
        return True
    coordinates = tensor.device_mesh.get_coordinate()  # type: ignore[attr-defined]
    placements = tensor.placements  # type: ignore[attr-defined]
    for coordinate, placement in zip(coordinates, placements, strict=True):
        if placement.is_replicate() and coordinate != 0:
            return False
    return True


def totals(values: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Numbers taken from each process's parts of some tensors, summed over the processes.

    values: {name: a number, or several [n], of this process's part of the tensor of that name}.
    Returns them as Python's numbers, or lists. A GPU is waited for only once.
    """
    names_by_mesh: dict[Any, list[str]] = {}
    for name in values:
        mesh = getattr(tensors[name], "device_mesh", None)
        names_by_mesh.setdefault(mesh, []).append(name)
    result: dict[str, Any] = {}
    for mesh, names in names_by_mesh.items():
        parts = []
        for name in names:
            part = values[name] if counted_here(tensors[name]) else torch.zeros_like(values[name])
            parts.append(part.to(values[names[0]].device))
        stacked = torch.stack(parts)
        if mesh is not None:
            sum_over_mesh(stacked, mesh)
        result.update(zip(names, stacked.tolist(), strict=True))
    return {name: result[name] for name in values}


def sum_over_mesh(tensor: Tensor, mesh: Any) -> None:
    """Replace a tensor by its sum over all processes of a mesh."""
    for axis in range(mesh.ndim):
        dist.all_reduce(tensor, group=mesh.get_group(axis))


@contextmanager
def resharded(model: nn.Module) -> Iterator[None]:
    """Sharded parameters are in their place, before and after; a forward pass may leave them whole.

    Without it a model would seem not to be sharded.
    """
    _reshard(model)
    try:
        yield
    finally:
        _reshard(model)


def _reshard(model):
    for module in model.modules():
        if _is_fsdp(module):
            module.reshard()


def _is_fsdp(module):
    """Whether fully_shard was called on it."""
    return hasattr(module, "set_reshard_after_backward")


def check_wrapper(model: nn.Module) -> None:
    """Refuse wrappers that average or flatten gradients on their own."""
    for module in model.modules():
        if isinstance(module, nn.parallel.DistributedDataParallel):
            way_out = "give the module in it (model.module), and reduce_over="
            raise ValueError(f"the model is wrapped in DistributedDataParallel; {way_out}")
        if type(module).__name__ == "FullyShardedDataParallel":
            way_out = "shard it with torch.distributed.fsdp.fully_shard"
            raise ValueError(f"the model is wrapped in the older FSDP; {way_out}")


# ---- who takes part ----


@dataclass(frozen=True)
class Processes:
    """The processes that share each batch; one where the model is alone."""

    count: int
    group: Any = None  # of a model that each process holds whole
    mesh: Any = None  # of a sharded one

    def sum(self, numbers: list[int]) -> list[int]:
        """The sums over all processes of some whole numbers that each has."""
        if self.count == 1:
            return numbers
        tensor = torch.tensor(numbers, device=self._device())
        if self.mesh is not None:
            sum_over_mesh(tensor, self.mesh)
        else:
            dist.all_reduce(tensor, group=self.group)
        return tensor.tolist()

    def _device(self):
        if self.mesh is not None:
            return self.mesh.device_type
        return "cuda" if dist.get_backend(self.group) == "nccl" else "cpu"

    def loss_weight(self, count: int, number: int) -> float:
        """What a process's mean loss is multiplied by, so that the gradients' mean is the batch's.

        count: the samples or tokens in this process's part of the batch of this number. FSDP
        divides by the number of processes; without it gradients are summed.
        """
        (total,) = self.sum([count])
        if total == 0:
            raise ValueError(f"batch {number} has no sample or token that counts; omit it")
        divided_by = self.count if self.mesh is not None else 1
        return divided_by * count / total


def check_initialized(what: str) -> None:
    """ValueError where there are no processes for what is asked."""
    if not (dist.is_available() and dist.is_initialized()):
        way_out = "call torch.distributed.init_process_group first"
        raise ValueError(f"{what}, and there are none; {way_out}")


def processes_of(model: nn.Module, parameters: dict[str, Any], reduce_over: Any) -> Processes:
    """Who shares the batches of a model with these parameters.

    reduce_over: the process group of a model that each process holds whole, or None.
    ValueError where this cannot be.
    """
    if reduce_over is not None:
        check_initialized("reduce_over is a group of processes")
    sharded = [name for name, p in parameters.items() if is_sharded(p)]
    if not sharded:
        if reduce_over is None:
            return Processes(1)
        return Processes(dist.get_world_size(reduce_over), group=reduce_over)
    if not any(_is_fsdp(module) for module in model.modules()):
        raise ValueError(f"parameter {sharded[0]} {WANTED_SHARDS}")
    for name, p in parameters.items():
        if p.requires_grad and not is_sharded(p):
            way_out = "call fully_shard on the whole model too"
            raise ValueError(f"{sharded[0]} is sharded and {name} is whole; {way_out}")
    mesh = parameters[sharded[0]].device_mesh
    if reduce_over is not None and dist.get_world_size(reduce_over) != mesh.size():
        message = "reduce_over is another group than the one the model is sharded over"
        raise ValueError(f"{message}; omit it")
    return Processes(mesh.size(), mesh=mesh)


def in_step(batches: Iterable, processes: Processes, is_empty: Any) -> Iterator:
    """The batches, as long as all processes have one.

    is_empty(batch): whether it holds no sample. ValueError, in every process, where one has fewer
    batches than another, or an empty part of a batch.
    """
    if processes.count == 1:
        yield from batches
        return
    iterator = iter(batches)
    end = object()
    number = 0
    while True:
        batch = next(iterator, end)
        number += 1
        has_batch = batch is not end
        empty = has_batch and is_empty(batch)
        having, empties = processes.sum([int(has_batch), int(empty)])
        if having == 0:
            return
        way_out = "give each process its part of every batch (ssd.split_batches)"
        if having < processes.count:
            message = f"only {having} of {processes.count} processes have a batch {number}"
            raise ValueError(f"{message}; {way_out}")
        if empties:
            raise ValueError(f"batch {number} of {empties} processes is empty; {way_out}")
        yield batch
