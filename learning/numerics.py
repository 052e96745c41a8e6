"""In which arithmetic a network computes: fp32, bf16, or on a GPU TF32."""

import functools
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path

import torch

NUMERICS = ("fp32", "tf32", "bf16")


def compute_in(model, numerics):
    """Let `model`, any nn.Module, compute in fp32, in bf16, or on a GPU in TF32.

    bf16 is autocast: weights and losses stay float32, and so do the outputs that the model gives.
    TF32 belongs to the process, not to the model: left alone, NVIDIA's convolutions use it and its
    matrix products do not.
    """
    model.numerics = numerics
    model.forward = functools.partial(
        _forward, model
    )  # a deep copy of the model gets one of its own
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = numerics == "tf32"
    with suppress(OSError):
        if (
            numerics == "bf16"
            and not torch.cuda.is_available()
            and "bf16" not in Path("/proc/cpuinfo").read_text()
        ):
            warnings.warn(
                "this CPU has no instructions for bf16: it is many times slower here than fp32",
                stacklevel=2,
            )


def cast_once(model):
    """A context for many calls of a network whose weights do not change: in bf16 they are cast once, not at each call."""
    if getattr(model, "numerics", "fp32") != "bf16":
        return nullcontext()
    return torch.autocast(next(model.parameters()).device.type, torch.bfloat16)


def _forward(model, x):
    """The forward() of the model's class, in the arithmetic that the model has now."""
    forward = type(model).forward
    if model.numerics != "bf16":
        return forward(model, x)
    with torch.autocast(x.device.type, torch.bfloat16):
        return forward(model, x).float()
