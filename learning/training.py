"""The one training loop and the one inference loop.

Where training departs from the released code in both protocols:

Differs 1: A last batch of one image is dropped in a shuffled pass: BatchNorm may not be able to
train on it.
Differs 2: In the released pre-training the rate falls one epoch earlier than here.
"""

import copy
import io
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.nn import BatchNorm2d

from common.console import progress
from common.errors import Diverged, UserError
from common.files import write_whole
from learning.numerics import cast_once

# The optimisers' settings besides the learning rate, as a record keeps them.
SGD = {"optimizer": "SGD", "momentum": 0.9, "weight_decay": 5e-4}


ADAM = {"optimizer": "Adam", "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}


def sgd(model, lr):
    """The optimiser of pre-training, retrain and finetune: SGD as `SGD` says."""
    momentum, decay, fused = SGD["momentum"], SGD["weight_decay"], _on_gpu(model)
    return torch.optim.SGD(model.parameters(), lr, momentum, weight_decay=decay, fused=fused)


def adam(model, lr):
    """The optimiser of bad teacher, amnesiac and UNSIR: Adam as `ADAM` says."""
    return adam_of(model.parameters(), lr, fused=_on_gpu(model))


def adam_of(tensors, lr, fused=None):
    """Adam over any tensors, as `ADAM` says; fused: torch's own choice where it is None."""
    betas, eps, decay = tuple(ADAM["betas"]), ADAM["eps"], ADAM["weight_decay"]
    return torch.optim.Adam(tensors, lr, betas, eps, weight_decay=decay, fused=fused)


def task_batch_size(split):
    """Images a batch in the released scripts: 64 to forget a class or a sub-class, else 128."""
    return 128 if split.forget_class is None else 64


def _on_gpu(model):
    return next(model.parameters()).device.type == "cuda"


def cross_entropy(model, x, y, index):
    """The mean cross-entropy of a batch, in nats; where its images stand does not matter."""
    return F.cross_entropy(model(x), y)


def epochs(
    model,
    batches,
    optimizer,
    count,
    *,
    loss=cross_entropy,
    factor=None,
    what="training",
    keep=None,
    clip=0.0,
    uses_gradients=False,
):
    """Train for `count` epochs, yielding (epochs done, mean loss) after each; the model is then in train mode.

    loss(model, x, y, index) -> scalar; factor(step) multiplies the optimiser's learning rates. With
    `keep`, a file: the state after each epoch is written there once the caller comes back for the
    next, and training goes on from it where it lies. On a CPU an interrupted training then ends
    with bitwise the same weights. UserError where the loss diverges. clip: the largest norm that a
    step's gradient may have, over all parameters; 0: no limit. uses_gradients: gradients that the
    network holds at the start are added to the first step's; else they are dropped.
    """
    check_trainable(model, batches)
    if not uses_gradients:
        optimizer.zero_grad()
    base_lr = [group["lr"] for group in optimizer.param_groups]
    done = _resume(keep, model, optimizer) if keep else 0
    step = done * len(batches)
    with progress(None, what, count * len(batches)) as bar:
        bar.update(step)
        while done < count:
            model.train()
            total = 0.0
            for x, y, index in batches:
                for group, lr in zip(optimizer.param_groups, base_lr, strict=True):
                    group["lr"] = lr * factor(step) if factor else lr
                value = loss(model, x, y, index)
                value.backward()
                if clip:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                optimizer.zero_grad()
                total += value.detach()
                step += 1
                bar.update()
            done += 1
            mean = float(total) / len(batches)
            if not math.isfinite(mean):
                raise Diverged(
                    f"{what}: the loss is {mean} after {done} epochs; lower the learning rate (-lr; forgetting: -set lr=...)"
                )
            yield done, mean
            if keep:
                _keep(keep, model, optimizer, done)


def check_trainable(model, batches):
    """UserError where all batches are of one image and the model cannot be trained on one."""
    few = getattr(batches, "batch_size", 2) < 2 or len(getattr(batches, "images", "ab")) < 2
    if few and not trains_alone(model, batches.size):
        raise UserError(
            "BatchNorm cannot train on batches of one image; take more images, or a larger -b (or -set batch_size=...)"
        )


def trains_alone(model, size):
    """Whether the network can be trained on one image of `size` pixels a side: BatchNorm wants two values of each channel.

    ResNet18's last maps are of 1x1 at 8 pixels a side and of 4x4 at 32.
    """
    probe = copy.deepcopy(model).eval()  # a Dropout in train mode would draw random numbers
    for module in probe.modules():
        module.training = isinstance(module, BatchNorm2d)
    try:
        with torch.no_grad():
            probe(torch.zeros(1, 3, size, size, device=next(model.parameters()).device))
    except ValueError:
        return False
    return True


def fit(model, batches, optimizer, count, **options):
    """Train to the end (see `epochs`); returns the model in eval mode."""
    for _ in epochs(model, batches, optimizer, count, **options):
        pass
    return model.eval()


def _keep(path, model, optimizer, done):
    device = next(model.parameters()).device
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epochs": done,
        "random": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda_random"] = torch.cuda.get_rng_state(device)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue())


def _resume(path, model, optimizer):
    if not Path(path).exists():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if "cuda_random" in state:
            torch.cuda.set_rng_state(state["cuda_random"], next(model.parameters()).device)
    except (
        Exception
    ) as error:  # a damaged file makes zip, pickle and torch each raise their own kind
        raise UserError(
            f"{path}, the state of a stopped training, is damaged; remove it to start over"
        ) from error
    print(f"going on after epoch {state['epochs']}, kept in {path}")
    return state["epochs"]


@torch.no_grad()
def predict(model, batches, *, train_mode=False):
    """The logits [N, C] of every image; `train_mode` lets BatchNorm normalise by each batch's own statistics."""
    model.train(train_mode)
    with cast_once(model):
        logits = torch.cat([model(x) for x, _, _ in batches])
    model.eval()
    return logits
