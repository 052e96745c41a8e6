"""How much memory SSD takes on a large model, in multiples of the model's own.

    python -m benchmarks.memory                                          # 100 M parameters, CPU
    python -m benchmarks.memory --millions 1000 --dtype bfloat16 --gpu   # for a GPU of 24 GB

Each step runs in a process of its own, next to the plain way, which holds all gradients at once and
sorts all ratios. Expected for 100 M parameters in float32: docs/performance.md.
"""

import common.threads  # noqa: F401 (before torch)

import argparse
import os
import resource
import subprocess
import sys
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

import ssd

WIDTH = 2048
CLASSES = 16
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--millions", type=int, default=100, help="parameters, in millions")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--step", choices=STEPS, help="only this one, in this process")
    args = parser.parse_args()
    if args.step:
        print(measure(args))
        return
    # So that the C library gives back what is freed, and what is measured is what is held.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    print("step                        peak memory / parameters' memory")
    for step in STEPS:
        command = [sys.executable, "-m", "benchmarks.memory", *sys.argv[1:], "--step", step]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        print(f"{step:<28}{done.stdout.strip()}")


def measure(args) -> str:
    """What a step took at its peak, as a multiple of the parameters."""
    device = "cuda" if args.gpu else "cpu"
    dtype = getattr(torch, args.dtype)
    STEPS[args.step](network(0, dtype, device))()  # loads what torch loads at first use
    before = peak_bytes(args.gpu)
    model = network(args.millions, dtype, device)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    STEPS[args.step](model)()
    return f"{(peak_bytes(args.gpu) - before) / size:.2f}"


def network(millions, dtype, device):
    """Linear layers of one width, and a head."""
    count = max(1, millions * 10**6 // WIDTH**2)
    layers = []
    for _ in range(count):
        layers += [nn.Linear(WIDTH, WIDTH, bias=False, dtype=dtype, device=device), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES, dtype=dtype, device=device))


def peak_bytes(gpu):
    if gpu:
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def batches(model):
    """Two batches of noise."""
    p = next(model.parameters())
    x = torch.randn(2, BATCH, WIDTH, dtype=p.dtype, device=p.device)
    y = torch.arange(BATCH, device=p.device) % CLASSES
    return [(x[0], y), (x[1], y)]


# ---- steps: each takes the model and gives what is to be measured ----


def plain_importance(model):
    """All gradients at once, then their squares."""

    def step():
        sums = [torch.zeros_like(p, dtype=torch.float32) for p in model.parameters()]
        for x, y in batches(model):
            F.cross_entropy(model(x).float(), y).backward()
            for total, p in zip(sums, model.parameters(), strict=True):
                total += p.grad.float().square()
            model.zero_grad()

    return step


def importance(model):
    return partial(ssd.importance, model, batches(model))


def made_up(model):
    """Importances of the right form, which cost no pass over data."""
    return {name: torch.rand_like(p, dtype=torch.float32) for name, p in model.named_parameters()}


def plain_adaptive_alpha(model):
    """By sorting. The two importances take twice the parameters' memory."""
    full, forget = made_up(model), made_up(model)

    def step():
        ratios = torch.cat([(forget[name] / full[name]).flatten() for name in full])
        return ratios[torch.isfinite(ratios)].sort().values

    return step


def adaptive_alpha(model):
    full, forget = made_up(model), made_up(model)
    return lambda: ssd.adaptive_alpha(ssd.sorted_ratios(full, forget), 0.1)


def dampen(model):
    full, forget = made_up(model), made_up(model)
    return partial(ssd.dampen, model, full, forget, alpha=2.0, lam=1.0)


def whole(model):
    """Both importances and the dampening; I_D and I_Df kept on the CPU."""
    data = batches(model)
    return lambda: ssd.unlearn(model, data[:1], data, alpha=1.1, lam=1, store="cpu")


STEPS = {
    "importance, plain": plain_importance,
    "importance": importance,
    "adaptive alpha, plain": plain_adaptive_alpha,
    "adaptive alpha": adaptive_alpha,
    "dampen": dampen,
    "unlearn": whole,
}


if __name__ == "__main__":
    main()
