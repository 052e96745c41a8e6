"""In which arithmetic a network computes: fp32, bf16, or on a GPU TF32."""

import functools
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path

import torch

NUMERICS = ("fp32", "tf32", "bf16")


def compute_in(model, numerics):
    """Let `model` compute in fp32, in bf16 (autocast; weights, losses and logits stay float32), or on a GPU in TF32.

    TF32 belongs to the process, not to the model: left alone, NVIDIA's convolutions use it and its matrix products do not.
    """
    model.numerics = numerics
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = numerics == "tf32"
    with suppress(OSError):
        if numerics == "bf16" and not torch.cuda.is_available() and "bf16" not in Path("/proc/cpuinfo").read_text():
            warnings.warn("this CPU has no instructions for bf16: it is many times slower here than fp32", stacklevel=2)


def cast_once(model):
    """A context for many calls of a network whose weights do not change: in bf16 they are cast once, not at each call."""
    if getattr(model, "numerics", "fp32") != "bf16":
        return nullcontext()
    return torch.autocast(next(model.parameters()).device.type, torch.bfloat16)


def in_its_numerics(forward):
    """A network's forward() as compute_in() wants it; the logits are float32 in any case."""

    @functools.wraps(forward)
    def wrapped(self, x):
        if self.numerics != "bf16":
            return forward(self, x)
        with torch.autocast(x.device.type, torch.bfloat16):
            return forward(self, x).float()

    return wrapped
