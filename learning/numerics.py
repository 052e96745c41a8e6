"""In which arithmetic a network computes: fp32, bf16, or on a GPU TF32."""

import functools
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

NUMERICS = ("fp32", "tf32", "bf16")


def compute_in(model: nn.Module, numerics: str) -> None:
    """Let `model`, any nn.Module, compute in fp32, in bf16, or on a GPU in TF32.

    bf16 is autocast: weights and losses stay float32, and so do the outputs that the model gives.
    TF32 belongs to the process, not to the model. Where it is not set, NVIDIA's convolutions use
    it and its matrix products do not.
    """
    model.numerics = numerics  # type: ignore[assignment]
    model.forward = functools.partial(_forward, model)  # a deep copy of the model gets its own
    uses_tf32 = numerics == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = uses_tf32
    torch.backends.cudnn.allow_tf32 = uses_tf32
    if numerics == "bf16" and not torch.cuda.is_available() and _cpu_lacks_bf16():
        warnings.warn(
            "this CPU has no instructions for bf16: it is many times slower here than fp32",
            stacklevel=2,
        )


def _cpu_lacks_bf16():
    """Whether Linux lists no bf16 among the CPU's features; False where nothing is listed."""
    cpus = Path("/proc/cpuinfo")
    return cpus.exists() and "bf16" not in cpus.read_text()


def cast_once(model: nn.Module) -> AbstractContextManager:
    """A context for many calls of a network whose weights do not change.

    In bf16 they are cast once in it, and not at each call.
    """
    if getattr(model, "numerics", "fp32") != "bf16":
        return nullcontext()
    return torch.autocast(next(model.parameters()).device.type, torch.bfloat16)


def _forward(model: nn.Module, x: Tensor) -> Tensor:
    """The forward() of the model's class, in the arithmetic that the model has now."""
    forward = type(model).forward
    if model.numerics != "bf16":
        return forward(model, x)
    with torch.autocast(x.device.type, torch.bfloat16):
        return forward(model, x).float()
