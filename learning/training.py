"""The one training loop and the one inference loop.

Where training departs from the released code in both protocols:

Differs 1: A last batch of one image is dropped in a shuffled pass: BatchNorm may not be able to
train on it.
Differs 2: In the released pre-training the rate falls one epoch earlier than here.
"""

import copy
import io
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import BatchNorm2d

from common.console import progress
from common.errors import Diverged, UserError
from common.files import write_whole
from learning.images import Batches, resized
from learning.numerics import cast_once

# The optimisers' settings besides the learning rate, as a record keeps them.
SGD: dict[str, Any] = {"optimizer": "SGD", "momentum": 0.9, "weight_decay": 5e-4}
ADAM: dict[str, Any] = {
    "optimizer": "Adam",
    "betas": [0.9, 0.999],
    "eps": 1e-8,
    "weight_decay": 0.0,
}


# ---- optimisers and losses ----


def sgd(model: nn.Module, lr: float, *, nesterov: bool = False) -> torch.optim.SGD:
    """The optimiser of pre-training, retrain and finetune: SGD as `SGD` says."""
    return torch.optim.SGD(
        model.parameters(),
        lr,
        momentum=SGD["momentum"],
        nesterov=nesterov,
        weight_decay=SGD["weight_decay"],
        fused=_is_on_gpu(model),
    )


def adam(model: nn.Module, lr: float) -> torch.optim.Adam:
    """The optimiser of bad teacher, amnesiac and UNSIR: Adam as `ADAM` says."""
    return adam_of(model.parameters(), lr, fused=_is_on_gpu(model))


def adam_of(tensors: Iterable[Tensor], lr: float, fused: bool | None = None) -> torch.optim.Adam:
    """Adam over any tensors, as `ADAM` says; fused: torch's own choice where it is None."""
    return torch.optim.Adam(
        tensors,
        lr,
        betas=tuple(ADAM["betas"]),
        eps=ADAM["eps"],
        weight_decay=ADAM["weight_decay"],
        fused=fused,
    )


def _is_on_gpu(model):
    return next(model.parameters()).device.type == "cuda"


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
    """The mean cross-entropy of a batch, in nats; where its images stand does not matter."""
    return F.cross_entropy(model(x), y)


def task_batch_size(split) -> int:
    """Images a batch in the released scripts: 64 to forget a class or a sub-class, else 128."""
    return 128 if split.forget_class is None else 64


# ---- the training loop ----


def fit(model: nn.Module, batches, optimizer, count: int, **options) -> nn.Module:
    """Train for `count` epochs, with the options of `epochs`; returns the model in eval mode."""
    for _ in epochs(model, batches, optimizer, count, **options):
        pass
    return model.eval()


def epochs(  # noqa: PLR0913 (each is one thing that a training needs)
    model: nn.Module,
    batches,
    optimizer: torch.optim.Optimizer,
    count: int,
    *,
    loss: Callable = cross_entropy,
    factor: Callable[[int], float] | None = None,
    side: Callable[[int], int] | None = None,
    title: str = "training",
    keep: str | Path | None = None,
    clip: float = 0.0,
    uses_gradients: bool = False,
) -> Iterator[tuple[int, float]]:
    """Train for `count` epochs; yields (epochs done, mean loss) after each, in train mode.

    batches: of (x, y, index), with a length. loss: (model, x, y, index) -> scalar. factor: step,
    from 0 -> what multiplies the optimiser's learning rates. side: epochs done -> pixels a side to
    which the next epoch's images are resized. title: of the progress bar. clip: the largest norm of
    a step's gradient, over all parameters; 0: no limit. uses_gradients: gradients that the network
    holds at the start enter the first step; else they are dropped.

    keep: a file for the state after each epoch, written once the caller comes back for the next.
    Where it is there, training goes on from it; on a CPU it ends with bitwise the same weights.

    Raises UserError where the loss diverges, batches are too small, or the file is damaged.
    """
    check_trainable(model, batches)
    if not uses_gradients:
        optimizer.zero_grad()
    base_lr = [group["lr"] for group in optimizer.param_groups]
    epochs_done = _resume(keep, model, optimizer) if keep else 0
    step = epochs_done * len(batches)
    with progress(None, title, count * len(batches)) as bar:
        bar.update(step)
        while epochs_done < count:
            model.train()
            total = 0.0
            for x, y, index in batches:
                if factor:
                    _set_lr(optimizer, base_lr, factor(step))
                if side:
                    x = resized(x, side(epochs_done))
                value = loss(model, x, y, index)
                _take_step(model, optimizer, value, clip)
                total += value.detach()
                step += 1
                bar.update()
            epochs_done += 1
            mean_loss = float(total) / len(batches)
            _check_finite(mean_loss, title, epochs_done)
            yield epochs_done, mean_loss
            if keep:
                _keep(keep, model, optimizer, epochs_done)


def _set_lr(optimizer, base_lr, factor):
    for group, lr in zip(optimizer.param_groups, base_lr, strict=True):
        group["lr"] = lr * factor


def _check_finite(mean_loss, title, epochs_done):
    if not math.isfinite(mean_loss):
        raise Diverged(
            f"{title}: the loss is {mean_loss} after {epochs_done} epochs; "
            "lower the learning rate (-lr; forgetting: -set lr=...)"
        )


def _take_step(model, optimizer, loss, clip):
    loss.backward()
    if clip:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad()


# ---- the state of a training that may be interrupted ----


def _keep(path, model, optimizer, epochs_done):
    """Write what `_resume` reads."""
    device = next(model.parameters()).device
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epochs": epochs_done,
        "random": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda_random"] = torch.cuda.get_rng_state(device)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue())


def _resume(path, model, optimizer):
    """Go on from the state at `path`, if there is one; returns how many epochs are done."""
    if not Path(path).exists():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if "cuda_random" in state:
            torch.cuda.set_rng_state(state["cuda_random"], next(model.parameters()).device)
    except Exception as error:
        # A damaged file makes zip, pickle and torch each raise their own kind.
        raise UserError(
            f"{path}, the state of a stopped training, is damaged; remove it to start over"
        ) from error
    print(f"going on after epoch {state['epochs']}, kept in {path}")
    return state["epochs"]


# ---- what cannot be trained ----


def check_trainable(model: nn.Module, batches) -> None:
    """UserError where all batches are of one image and the model cannot be trained on one."""
    all_of_one = isinstance(batches, Batches) and batches.all_of_one
    if all_of_one and not trains_alone(model, batches.size):
        raise UserError(
            "BatchNorm cannot train on batches of one image; "
            "take more images, or a larger -b (or -set batch_size=...)"
        )


def trains_alone(model: nn.Module, size: int) -> bool:
    """Whether the network can be trained on a single image, of `size` pixels a side.

    BatchNorm needs two values of each channel. ResNet18's last maps are of 1x1 at 8 pixels a side
    and of 4x4 at 32.
    """
    probe = copy.deepcopy(model).eval()  # a Dropout in train mode would draw random numbers
    for module in probe.modules():
        module.training = isinstance(module, BatchNorm2d)
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            probe(torch.zeros(1, 3, size, size, device=device))
    except ValueError:
        return False
    return True


# ---- the inference loop ----


@torch.no_grad()
def predict(model: nn.Module, batches, *, train_mode: bool = False) -> Tensor:
    """The logits [N, C] of every image, in the batches' order; the model is then in eval mode.

    batches: of (x, y, index). train_mode: BatchNorm normalises by each batch's own statistics.
    """
    model.train(train_mode)
    with cast_once(model):
        logits = [model(x) for x, _, _ in batches]
    model.eval()
    return torch.cat(logits)
