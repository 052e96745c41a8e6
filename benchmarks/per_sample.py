"""Fisher by batched per-sample gradients against the plain loop (one image, one backward pass a label), in one run.

    python -m benchmarks.per_sample [rounds]

Alternates the two on random images and random weights, checks that they agree and prints how many times as fast the
batched one is: median, least and greatest over the rounds (default 5).
"""

import statistics
import sys
import time

import torch

import models
import ssd

CASES = {"ResNet18Slim, 8x8 px": (16, 8, 128), "ResNet18Slim, 32x32 px": (16, 32, 32), "ResNet18, 32x32 px": (64, 32, 32)}


def loop(model, x):
    """The oracle: {name: mean over images of sum over labels of p(label) gradient^2}."""
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for image in x:
        log_p = model(image[None]).log_softmax(1)[0]
        for label in range(len(log_p)):
            gradients = torch.autograd.grad(-log_p[label], list(model.parameters()), retain_graph=label < len(log_p) - 1)
            for sum_, g in zip(total.values(), gradients, strict=True):
                sum_.addcmul_(g, g, value=float(log_p[label].detach().exp()))
    return {name: value / len(x) for name, value in total.items()}


def batched(model, x):
    return ssd.importance(model, [(part, torch.zeros(len(part))) for part in x.split(32)], measure="true_fisher", per_sample=True)


def seconds_per_image(function, model, x):
    start = time.perf_counter()
    result = function(model, x)
    return (time.perf_counter() - start) / len(x), result


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, 10 labels, n = {rounds} rounds")
    for name, (width, size, count) in CASES.items():
        torch.manual_seed(0)
        model, x = models.ResNet18(10, width).eval(), torch.randn(count, 3, size, size)
        ratios = []
        for _ in range(rounds + 1):  # the first round warms up
            (slow, wanted), (fast, _) = seconds_per_image(loop, model, x[: count // 4]), seconds_per_image(batched, model, x)
            ratios.append(slow / fast)
        got = batched(model, x[: count // 4])
        error = max(float((got[k] - wanted[k]).norm() / wanted[k].norm()) for k in wanted)
        assert error < 1e-4, error
        ratios = sorted(ratios[1:])
        print(f"{name}: {statistics.median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f}), "
              f"{1e3 * fast:.1f} ms an image, relative error {error:.0e}")  # fmt: skip


if __name__ == "__main__":
    main()
