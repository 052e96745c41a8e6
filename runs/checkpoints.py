"""Trained networks in files: written whole, checked when they are read."""

import json
import os
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from common.errors import UserError
from common.files import sha256, write_whole
from models import NETS, ViT


def checkpoint_path(net, dataset, seed, protocol="paper", variant=""):
    """Where pre-training leaves its checkpoint unless told otherwise; variant: of the data, as flags.variant() names it."""
    ends = "".join(f"-{end}" for end in (variant, "" if protocol == "paper" else protocol) if end)
    return Path("checkpoints") / f"{net}-{dataset}-seed{seed}{ends}.safetensors"


def save(model, path, metadata):
    """Write the weights with `metadata` (net, dataset, classes, data_hash, seed, recipe, accuracy, commit) beside them."""
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    data = safetensors.torch.save(
        tensors, {name: json.dumps(value) for name, value in metadata.items()}
    )
    write_whole(path, data)


def read_metadata(path):
    """The dict that `save` was given; {} for a .pth state dict. UserError where there is no readable checkpoint."""
    if not os.path.isfile(path):
        raise UserError(
            f"no checkpoint at {path}; make one with pretrain_model.py or name another with -weight_path"
        )
    if Path(path).suffix != ".safetensors":
        return {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
    except (safetensors.SafetensorError, json.JSONDecodeError, OSError) as error:
        raise UserError(
            f"{path} is no readable checkpoint ({error}); pre-train again or name another"
        ) from error


def check_metadata(path, metadata, expected, hint=""):
    """UserError where a checkpoint's metadata differ from the expected {name: value}; {} (a .pth) says nothing."""
    for name, value in expected.items():
        if metadata and metadata.get(name) != value:
            raise UserError(
                f"{path} was trained for {_brief(name, metadata.get(name))}, this run asks for {_brief(name, value)}; "
                f"name the right one with -weight_path{hint}"
            )


def load(path, net, images, vit_init="pretrained", *, pytorch_init=False):
    """The network `net` with the weights at `path`, trained on the training set `images`.

    Returns (model in eval mode, metadata, hex digest of the weights). `.pth` files are the authors'
    state dicts. pytorch_init: as `create` takes it, for the untrained networks that are made of
    this one. Raises UserError where the checkpoint is unreadable, holds a NaN, or belongs to
    another network, number of classes or data set, or where the images have changed since.
    """
    metadata = read_metadata(path)
    num_classes = len(images.classes)
    hint = ""
    if "corruption" in metadata:
        corruption = f"{metadata['corruption']}, seed {metadata.get('seed')}"
        hint = f" (it was trained with {corruption}: -corruption, -corrupt_count, -train_seed)"
    check_metadata(
        path, metadata, {"net": net, "dataset": images.name, "classes": list(images.classes)}, hint
    )
    if metadata and metadata.get("data_hash") != images.digest:
        raise UserError(
            f"{path} was trained on other images than these: they have changed since, or -data, -duplicates, -validation or a "
            f"corruption are not those of the training; pre-train again or name the right network with -weight_path{hint}"
        )
    if (
        "backbone" in metadata
    ):  # the weights come from the file: no download for what is overwritten at once
        vit_init = metadata["backbone"]
    model = NETS[net](num_classes, "random" if net == "ViT" else vit_init)
    if net == "ViT":
        model.arguments["backbone"] = vit_init
    fill(model, path)
    model.pytorch_init = pytorch_init
    return model.eval(), metadata, weights_hash(model)


def weights_hash(model):
    """Hex digest of a network's weights, by which a record says whose it is."""
    return sha256(*(part for name, tensor in model.state_dict().items() for part in (name, tensor)))


def _brief(name, value):
    return (
        f"{len(value)} classes {', '.join(value[:6])}..."
        if isinstance(value, list)
        else f"{name} {str(value)[:20]}"
    )


def _state_dict(path):
    try:
        if Path(path).suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not (
            isinstance(state, dict)
            and all(isinstance(value, torch.Tensor) for value in state.values())
        ):
            raise TypeError("no plain state dict")
        return state
    except Exception as error:  # pickle, zip and safetensors each raise their own kind
        reason = "no plain state dict" if isinstance(error, TypeError) else type(error).__name__
        raise UserError(
            f"{path} is no readable checkpoint ({reason}); name another with -weight_path"
        ) from error


def fill(model, path):
    """Load weights into `model`: by name, or by order, as released checkpoints name the same tensors otherwise.

    By order, the names must still agree in their last parts (weight, bias, running_mean, ...).
    """
    state, own = _state_dict(path), model.state_dict()
    if isinstance(model, ViT):  # the authors' ViT has a pooler that neither theirs nor ours uses
        state = {name: tensor for name, tensor in state.items() if ".pooler." not in name}
    if set(state) != set(own) and len(state) == len(own):
        state = _renamed(state, own, path)
    if _shapes(state) != _shapes(own):
        differing = sorted(set(_shapes(own)) ^ set(_shapes(state)))[:2]
        raise UserError(
            f"{path} is another network's or has another number of classes ({len(own)} tensors wanted, "
            f"{len(state)} found; the first to differ: {differing}); name another with -weight_path"
        )
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise UserError(
                f"{path} is broken: its {name} is not finite; pre-train again or name another with -weight_path"
            )
    model.load_state_dict(state)


def _renamed(state, own, path):
    """The tensors of `state` in their order, by the names in `own`."""
    for theirs, ours in zip(state, own, strict=True):
        if theirs.split(".")[-1] != ours.split(".")[-1]:
            raise UserError(
                f"{path} names its tensors otherwise, and by their order {theirs} would become {ours}; "
                "rename them to this network's names, or name another checkpoint with -weight_path"
            )
    return dict(zip(own, state.values(), strict=True))


def _shapes(state):
    return sorted((name, tuple(tensor.shape)) for name, tensor in state.items())
