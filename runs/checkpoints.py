"""Trained networks in files: written whole, checked when they are read."""

import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

import models
from common.errors import UserError
from common.files import file_name, sha256, write_whole
from learning.images import ImageSet


def checkpoint_path(
    net: str, dataset: str, seed: int, protocol: str = "paper", variant: str = ""
) -> Path:
    """Where pre-training leaves its checkpoint unless it is told otherwise.

    dataset: as a part of a file's name. variant: what was done to the training data, as a word.
    """
    words = [file_name(net), dataset, f"seed{seed}"]
    if variant:
        words.append(variant)
    if protocol != "paper":
        words.append(protocol)
    return Path("checkpoints") / f"{'-'.join(words)}.safetensors"


def save(model: nn.Module, path: str | Path, metadata: dict) -> None:
    """Write the weights, with `metadata` as JSON in the same file.

    metadata: net, dataset, classes, data_hash, seed, recipe, accuracy, commit, ...
    """
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensors[name] = tensor.detach().cpu().contiguous()
    texts = {name: json.dumps(value) for name, value in metadata.items()}
    write_whole(path, safetensors.torch.save(tensors, texts))


def read_metadata(path: str | Path) -> dict:
    """The dict that `save` was given; {} for a .pth state dict.

    UserError where there is no readable checkpoint.
    """
    if not os.path.isfile(path):
        raise UserError(
            f"no checkpoint at {path}; make one with pretrain_model.py or name another with "
            "-weight_path"
        )
    if Path(path).suffix != ".safetensors":
        return {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
        return {name: json.loads(text) for name, text in texts.items()}
    except (safetensors.SafetensorError, json.JSONDecodeError, OSError) as error:
        raise UserError(
            f"{path} is no readable checkpoint ({error}); pre-train again or name another"
        ) from error


def check_metadata(path: str | Path, metadata: dict, expected: dict, hint: str = "") -> None:
    """UserError where a checkpoint's metadata differ from the expected {name: value}.

    Empty metadata, those of a .pth file, say nothing.
    """
    if not metadata:
        return
    for name, value in expected.items():
        if metadata.get(name) != value:
            raise UserError(
                f"{path} was trained for {_brief(name, metadata.get(name))}, "
                f"this run asks for {_brief(name, value)}; "
                f"name the right one with -weight_path{hint}"
            )


def _brief(name, value):
    if isinstance(value, list):
        return f"{len(value)} classes {', '.join(value[:6])}..."
    return f"{name} {str(value)[:20]}"


def load(
    path: str | Path,
    net: str,
    train: ImageSet,
    vit_init: str = "pretrained",
    *,
    pytorch_init: bool = False,
) -> tuple[nn.Module, dict, str]:
    """The network `net` with the weights at `path`, trained on the training set `train`.

    Returns (model in eval mode, metadata, hex digest of the weights). `.pth` files are the authors'
    state dicts. pytorch_init: as models.create takes it, for the untrained networks that are made
    of this one. UserError where the checkpoint is unreadable, holds a NaN, or belongs to another
    network, number of classes or data set, or where the images have changed since.
    """
    metadata = read_metadata(path)
    _check_training(path, net, train, metadata)
    if "backbone" in metadata:
        vit_init = metadata["backbone"]
    model: Any = models.create(
        net,
        len(train.classes),
        # A ViT's weights come from the file: ImageNet's are not downloaded for that.
        "random" if net == "ViT" else vit_init,
    )
    if "backbone" in model.arguments:
        model.arguments["backbone"] = vit_init
    fill(model, path)
    model.pytorch_init = pytorch_init
    return model.eval(), metadata, weights_hash(model)


def _check_training(path, net, train, metadata):
    """UserError where a checkpoint was not trained as this network on these images."""
    hint = ""
    if "corruption" in metadata:
        corruption = f"{metadata['corruption']}, seed {metadata.get('seed')}"
        hint = f" (it was trained with {corruption}: -corruption, -corrupt_count, -train_seed)"
    expected = {"net": net, "dataset": train.name, "classes": list(train.classes)}
    check_metadata(path, metadata, expected, hint)
    if metadata and metadata.get("data_hash") != train.digest:
        raise UserError(
            f"{path} was trained on other images than these: they have changed since, or -data, "
            "-duplicates, -validation or a corruption are not those of the training; pre-train "
            f"again or name the right network with -weight_path{hint}"
        )


def weights_hash(model: nn.Module) -> str:
    """Hex digest of a network's weights, by which a record says whose it is."""
    parts = []
    for name, tensor in model.state_dict().items():
        parts += [name, tensor]
    return sha256(*parts)


def fill(model: nn.Module, path: str | Path) -> None:
    """Load the weights at `path` into `model`.

    By name; else by order, since released checkpoints name the same tensors otherwise. By order,
    the last parts of the names (weight, bias, running_mean, ...) must still agree. UserError where
    the weights are another network's or not finite.
    """
    state, expected = _state_dict(path), model.state_dict()
    if isinstance(
        model, models.ViT
    ):  # the authors' ViT has a pooler that neither theirs nor ours uses
        state = {name: tensor for name, tensor in state.items() if ".pooler." not in name}
    if set(state) != set(expected) and len(state) == len(expected):
        state = _renamed(state, expected, path)
    if _shapes(state) != _shapes(expected):
        differing = sorted(_shapes(expected) ^ _shapes(state))[:2]
        raise UserError(
            f"{path} is another network's or has another number of classes ({len(expected)} "
            f"tensors wanted, {len(state)} found; the first to differ: {differing}); "
            "name another with -weight_path"
        )
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise UserError(
                f"{path} is broken: its {name} is not finite; "
                "pre-train again or name another with -weight_path"
            )
    model.load_state_dict(state)


def _state_dict(path) -> dict[str, Tensor]:
    try:
        if Path(path).suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and safetensors each raise their own kind
        raise _unreadable(path, type(error).__name__) from error
    if not isinstance(state, dict):
        raise _unreadable(path, "no plain state dict")
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise _unreadable(path, "no plain state dict")
    return state


def _unreadable(path, reason):
    return UserError(f"{path} is no readable checkpoint ({reason}); name another with -weight_path")


def _renamed(state, expected, path):
    """The tensors of `state` under the names in `expected`, matched by their order."""
    for name, wanted in zip(state, expected, strict=True):
        if name.split(".")[-1] != wanted.split(".")[-1]:
            raise UserError(
                f"{path} names its tensors otherwise, and by their order {name} would become "
                f"{wanted}; rename them to this network's names, or name another checkpoint with "
                "-weight_path"
            )
    return dict(zip(expected, state.values(), strict=True))


def _shapes(state):
    return {(name, tuple(tensor.shape)) for name, tensor in state.items()}
