"""The networks, their checkpoints, and fresh copies of them."""

import json
import logging
import os
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from common import UserError, sha256
from files import write_whole
from numerics import compute_in

VIT_WEIGHTS = "google/vit-base-patch16-224"


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: torchvision's, whose import takes as long as torch's own."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        # Every other pixel, then a 1x1 convolution: what one of stride 2 does. Channels last, oneDNN gives that one's weights
        # wrong gradients on CPUs without AVX-512 (torch 2.14: 50 % off, or memory overwritten).
        shortcut = x if self.downsample is None else self.downsample(x[:, :, ::2, ::2])
        x = self.bn2(self.conv2(torch.relu_(self.bn1(self.conv1(x)))))
        x += shortcut
        return torch.relu_(x)


class ResNet18(nn.Module):
    """ResNet18 for small images: torchvision's with a 3x3 stem of stride 1 and no max-pool (He et al., CVPR 2016).

    Names and order of the parameters are torchvision's; 11,220,132 of them at 100 classes and width 64. Tensors lie
    channels last, which convolutions like on a CPU and on a GPU; but for the last stage's on a CPU with AVX-512: 512 channels
    of 4x4 pixels go through oneDNN in up to 40 % less time channels first (docs/performance.md).
    """

    input_size = None  # takes images of any size as they come
    numerics = "fp32"  # numerics.py

    def __init__(self, num_classes, width=64):
        super().__init__()
        self.arguments = {"num_classes": num_classes, "width": width}
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._stage(width, width, stride=1)
        self.layer2 = self._stage(width, 2 * width, stride=2)
        self.layer3 = self._stage(2 * width, 4 * width, stride=2)
        self.layer4 = self._stage(4 * width, 8 * width, stride=2)
        self.fc = nn.Linear(8 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self._lay_out()

    def _apply(self, fn, recurse=True):  # what moves a network comes through here
        before = self.conv1.weight.device
        super()._apply(fn, recurse)
        if self.conv1.weight.device != before:
            self._lay_out()
        return self

    def _lay_out(self):
        self.to(memory_format=torch.channels_last)
        on_cpu = self.conv1.weight.device.type == "cpu"
        if on_cpu and self.fc.in_features >= 512 and torch.backends.cpu.get_cpu_capability() == "AVX512":
            self.layer4.to(memory_format=torch.contiguous_format)

    @staticmethod
    def _stage(before, after, stride):
        return nn.Sequential(BasicBlock(before, after, stride), BasicBlock(after, after, 1))

    def forward(self, x):  # [B, 3, H, W] -> [B, C]
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = self.layer4(x.contiguous() if self.layer4[0].conv1.weight.is_contiguous() else x)
        return self.fc(x.mean(dim=(2, 3)))


class ViT(nn.Module):
    """Vision transformer (arXiv:2010.11929) with a linear head on its CLS token.

    `backbone` is "pretrained" (ViT-B/16 at 224 with ImageNet's weights), "random" (the same, untrained), or a
    transformers.ViTConfig for one of another size, untrained.
    """

    numerics = "fp32"  # numerics.py

    def __init__(self, num_classes, backbone="pretrained"):
        super().__init__()
        from transformers import ViTConfig, ViTModel  # ten seconds of imports that a ResNet need not pay

        self.arguments = {"num_classes": num_classes, "backbone": backbone}
        if backbone == "pretrained":
            self.base = self._pretrained(ViTModel)
        else:
            self.base = ViTModel(ViTConfig() if backbone == "random" else backbone, add_pooling_layer=False)
        self.final = nn.Linear(self.base.config.hidden_size, num_classes)
        self.input_size = self.base.config.image_size

    @staticmethod
    def _pretrained(ViTModel):
        logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # its retries say what the error below says
        try:
            return ViTModel.from_pretrained(VIT_WEIGHTS, add_pooling_layer=False)
        except OSError as error:
            raise UserError(
                f"{VIT_WEIGHTS} is not in the HuggingFace cache and could not be fetched; run once with a network, "
                "or copy the cache from a machine that has it (HF_HOME), or take -vit_init random"
            ) from error

    def forward(self, x):  # [B, 3, S, S] -> [B, C]
        return self.final(self.base(pixel_values=x).last_hidden_state[:, 0])


NETS = {
    "ResNet18": lambda num_classes, vit_init: ResNet18(num_classes),
    "ResNet18Slim": lambda num_classes, vit_init: ResNet18(num_classes, width=16),
    "ViT": lambda num_classes, vit_init: ViT(num_classes, backbone=vit_init),
}


DECODE_SIZE = {"ResNet18": 32, "ResNet18Slim": 32, "ViT": 224}  # pixels a side to which a folder's images are resized


def create(net, num_classes, vit_init="pretrained", *, pytorch_init=False):
    """A network by name as training starts from it.

    pytorch_init: a ResNet's convolutions start with PyTorch's own default weights (the released protocol).
    """
    network = NETS[net](num_classes, vit_init)
    if pytorch_init:
        _initialise_as_pytorch(network)
    return network


def _initialise_as_pytorch(network):
    network.pytorch_init = True  # so that fresh() and untrained() do the same
    for module in network.modules():
        if isinstance(network, ResNet18) and isinstance(module, nn.Conv2d):
            module.reset_parameters()


def fresh(model):
    """The network as `model`'s training started: new random weights (ViT: its backbone as before, a new head)."""
    return _another(model, model.arguments)


def untrained(model, pretrained_vit=False):
    """A network of `model`'s form that has learned nothing; `pretrained_vit` keeps ImageNet's backbone in a ViT."""
    arguments = dict(model.arguments)
    if arguments.get("backbone") == "pretrained" and not pretrained_vit:
        arguments["backbone"] = "random"
    return _another(model, arguments)


def _another(model, arguments):
    network = type(model)(**arguments)
    if getattr(model, "pytorch_init", False):
        _initialise_as_pytorch(network)
    compute_in(network, getattr(model, "numerics", "fp32"))
    return network.to(next(model.parameters()).device)


def checkpoint_path(net, dataset, seed, protocol="paper", variant=""):
    """Where pre-training leaves its checkpoint unless told otherwise; variant: of the data, as flags.variant() names it."""
    ends = "".join(f"-{end}" for end in (variant, "" if protocol == "paper" else protocol) if end)
    return Path("checkpoints") / f"{net}-{dataset}-seed{seed}{ends}.safetensors"


def save(model, path, metadata):
    """Write the weights with `metadata` (net, dataset, classes, data_hash, seed, recipe, accuracy, commit) beside them."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    data = safetensors.torch.save(tensors, {name: json.dumps(value) for name, value in metadata.items()})
    write_whole(path, data)


def read_metadata(path):
    """The dict that `save` was given; {} for a .pth state dict. UserError where there is no readable checkpoint."""
    if not os.path.isfile(path):
        raise UserError(f"no checkpoint at {path}; make one with pretrain_model.py or name another with -weight_path")
    if Path(path).suffix != ".safetensors":
        return {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
    except (safetensors.SafetensorError, json.JSONDecodeError, OSError) as error:
        raise UserError(f"{path} is no readable checkpoint ({error}); pre-train again or name another") from error


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

    Returns (model in eval mode, metadata, hex digest of the weights). `.pth` files are the authors' state dicts.
    pytorch_init: as `create` takes it, for the untrained networks that are made of this one.
    Raises UserError where the checkpoint is unreadable, holds a NaN, or belongs to another network, number of classes or
    data set, or where the images have changed since.
    """
    metadata = read_metadata(path)
    num_classes = len(images.classes)
    hint = ""
    if "corruption" in metadata:
        corruption = f"{metadata['corruption']}, seed {metadata.get('seed')}"
        hint = f" (it was trained with {corruption}: -corruption, -corrupt_count, -train_seed)"
    check_metadata(path, metadata, {"net": net, "dataset": images.name, "classes": list(images.classes)}, hint)
    if metadata and metadata.get("data_hash") != images.digest:
        raise UserError(
            f"{path} was trained on other images than these: they have changed since, or -data, -duplicates, -validation or a "
            f"corruption are not those of the training; pre-train again or name the right network with -weight_path{hint}"
        )
    if "backbone" in metadata:  # the weights come from the file: no download for what is overwritten at once
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
    return f"{len(value)} classes {', '.join(value[:6])}..." if isinstance(value, list) else f"{name} {str(value)[:20]}"


def _state_dict(path):
    try:
        if Path(path).suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not (isinstance(state, dict) and all(isinstance(value, torch.Tensor) for value in state.values())):
            raise TypeError("no plain state dict")
        return state
    except Exception as error:  # pickle, zip and safetensors each raise their own kind
        reason = "no plain state dict" if isinstance(error, TypeError) else type(error).__name__
        raise UserError(f"{path} is no readable checkpoint ({reason}); name another with -weight_path") from error


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
            raise UserError(f"{path} is broken: its {name} is not finite; pre-train again or name another with -weight_path")
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
