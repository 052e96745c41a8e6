"""What the examples share: handwritten digits, training and accuracy. SSD is not in here.

It also makes `import ssd` find the file one folder up, where the package is not installed.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.append(str(Path(__file__).parents[1]))

BATCH_SIZE = 64


def load(size: int, channels: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(x, y, test_x, test_y): 1347 training and 450 test images of ten digits, sorted by class.

    x: [N, channels, size, size] in [-1, 1]. y: [N] integers. Nothing is downloaded.
    """
    digits = load_digits()
    y = torch.tensor(digits.target)
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1  # [N, 1, 8, 8]
    x = F.interpolate(x, (size, size), mode="bilinear").repeat(1, channels, 1, 1)
    by_class = y.argsort(stable=True)
    x, y = x[by_class], y[by_class]
    is_test = torch.arange(len(y)) % 4 == 0
    return x[~is_test], y[~is_test], x[is_test], y[is_test]


def batches(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Batches of 64 rows of each tensor, in their order; the last may be shorter."""
    parts = [tensor.split(BATCH_SIZE) for tensor in tensors]
    return list(zip(*parts, strict=True))


def images_of_two(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Images of two digits side by side, and which of the ten each shows.

    x: [N, 1, H, W]. y: [N] integers. Returned: [N, 1, H, 2 W], and [N, 10] of 0 and 1.
    """
    other = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    shown = F.one_hot(y, 10) | F.one_hot(y[other], 10)
    return torch.cat([x, x[other]], 3), shown.float()


def divided(tensors: tuple[Tensor, ...], is_forgotten: Tensor) -> tuple[list, list, list[Tensor]]:
    """(forget, full, kept): the batches of D_f, those of D, and the rows that are kept.

    is_forgotten: [N] of bool.
    """
    forget = batches(*[tensor[is_forgotten] for tensor in tensors])
    kept = [tensor[~is_forgotten] for tensor in tensors]
    return forget, forget + batches(*kept), kept


def small_network(pixels: int = 128, outputs: int = 10) -> nn.Module:
    """A network for images [N, 1, H, W] of H * W pixels; it gives [N, outputs]."""
    convolutions = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1)]
    linear = [nn.Linear(8 * pixels, 128), nn.ReLU(), nn.Linear(128, outputs)]
    return nn.Sequential(*convolutions, nn.ReLU(), nn.Flatten(), *linear)


def cross_entropy(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """The mean loss of a batch (x, y)."""
    x, y = batch
    return F.cross_entropy(model(x), y)


def trained(
    network: Callable,
    *tensors: Tensor,
    epochs: int = 15,
    rate: float = 4e-3,
    loss: Callable = cross_entropy,
) -> nn.Module:
    """A new network(), trained by AdamW on batches of rows of the tensors.

    rate: the highest learning rate. loss: loss(model, batch), the mean over a batch.
    """
    torch.manual_seed(0)
    model = network().train()
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    steps = epochs * len(batches(*tensors))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(tensors[0]))
        for batch in batches(*[tensor[order] for tensor in tensors]):
            optimizer.zero_grad()
            loss(model, batch).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def print_accuracies(title: str, logits: Tensor, y: Tensor, forgotten: int) -> None:
    """A row: the accuracy on images of the other classes, and on those of the forgotten one.

    logits: [N, C]. y: [N].
    """
    is_right = (logits.argmax(1) == y).float()
    print_row(title, is_right[y != forgotten].mean(), is_right[y == forgotten].mean())


def print_row(title: str, kept: Tensor, forgotten: Tensor) -> None:
    """Two shares in [0, 1], as percent."""
    print(f"{title:<24}{100 * kept:8.1f} %{100 * forgotten:9.1f} %", flush=True)
