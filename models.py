"""The networks by name, and untrained ones of the same form."""

import copy
import difflib
import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from common import references
from common.errors import UserError
from common.references import Table
from learning.numerics import compute_in

VIT_WEIGHTS = "google/vit-base-patch16-224"


class BasicBlock(nn.Module):
    """Two 3x3 convolutions next to a shortcut.

    It is torchvision's, whose import takes as long as torch's own.
    """

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:  # [B, C_in, H, W] -> [B, C, H / stride, W / stride]
        shortcut = x
        if self.downsample is not None:
            # Every second pixel, then a 1x1 convolution: what one of stride 2 does. Channels last,
            # oneDNN gives that one's weights wrong gradients on CPUs without AVX-512 (torch 2.14:
            # 50 % off, or memory overwritten).
            shortcut = self.downsample(x[:, :, ::2, ::2])
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += shortcut
        return torch.relu_(x)


class ResNet18(nn.Module):
    """ResNet18 for small images: torchvision's with a 3x3 stem of stride 1 and no max-pool.

    Names and order of the parameters are torchvision's; there are 11,220,132 of them at 100 classes
    and width 64. The weights lie channels last, which convolutions like on a CPU and on a GPU, and
    so do the images between the layers. Source: He et al., CVPR 2016.
    """

    input_size = None  # takes images of any size as they come
    numerics = "fp32"  # learning/numerics.py

    def __init__(self, num_classes: int, width: int = 64):
        super().__init__()
        self.arguments = {"num_classes": num_classes, "width": width}
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.fc = nn.Linear(8 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:  # [B, 3, H, W] -> [B, C]
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = self.layer4(x)
        return self.fc(x.mean(dim=(2, 3)))


def _stage(channels_in, channels, stride):
    return nn.Sequential(
        BasicBlock(channels_in, channels, stride), BasicBlock(channels, channels, 1)
    )


class ViT(nn.Module):
    """Vision transformer with a linear head on its CLS token.

    backbone: "pretrained" (ViT-B/16 at 224 pixels with ImageNet's weights), "random" (the same,
    untrained), or a transformers.ViTConfig for one of another size, untrained. Raises UserError
    where the weights are not there and cannot be fetched. Source: arXiv:2010.11929.
    """

    numerics = "fp32"  # learning/numerics.py

    def __init__(self, num_classes: int, backbone="pretrained"):
        super().__init__()
        # Ten seconds of imports that a ResNet need not pay.
        from transformers import ViTConfig, ViTModel

        self.arguments = {"num_classes": num_classes, "backbone": backbone}
        if backbone == "pretrained":
            self.base = _pretrained(ViTModel)
        else:
            config = ViTConfig() if backbone == "random" else backbone
            self.base = ViTModel(config, add_pooling_layer=False)
        self.final = nn.Linear(self.base.config.hidden_size, num_classes)
        self.input_size = self.base.config.image_size  # pixels a side

    def forward(self, x: Tensor) -> Tensor:  # [B, 3, S, S] -> [B, C]
        tokens = self.base(pixel_values=x).last_hidden_state  # [B, T, hidden size], CLS first
        return self.final(tokens[:, 0])


def _pretrained(ViTModel):
    # Its retries say what the error below says.
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    try:
        return ViTModel.from_pretrained(VIT_WEIGHTS, add_pooling_layer=False)
    except OSError as error:
        raise UserError(
            f"{VIT_WEIGHTS} is not in the HuggingFace cache and could not be fetched; run once "
            "with a network, or copy the cache from a machine that has it (HF_HOME), or take "
            "-vit_init random"
        ) from error


# ---- networks from outside ----


def _from_outside(reference):
    """The entry of NETS for a reference, or for a network of a library."""
    return lambda num_classes, vit_init: _outside(reference, num_classes)


def _outside(reference, num_classes):
    if references.is_reference(reference):
        network = references.called(reference, num_classes)
    else:
        network = _of_library(*reference.split("/", 1), num_classes)
    if not isinstance(network, nn.Module):
        raise UserError(f"{reference} returned {type(network).__name__} and no torch.nn.Module")
    if next(network.parameters(), None) is None:
        raise UserError(f"{reference} returned a network without parameters")
    made: Any = network
    made.arguments = {"num_classes": num_classes}
    made.maker = functools.partial(_outside, reference)
    return network


def check_on(model: nn.Module, images: Tensor, net: str, num_classes: int) -> None:
    """UserError where a network from outside does not take such images, or gives no logits.

    images: [N, 3, H, W] as the network is to see them.
    """
    if not references.is_outside(net):
        return
    try:
        with torch.no_grad():
            logits = copy.deepcopy(model).eval()(images)
    except Exception as error:
        raise UserError(
            f"{net} does not take images of {images.shape[2]}x{images.shape[3]} pixels "
            f"({type(error).__name__}: {error}); docs/extending.md says how to give it larger ones"
        ) from error
    wanted = (len(images), num_classes)
    shape = tuple(getattr(logits, "shape", ()))
    if shape != wanted or logits.dtype != torch.float32:
        given = f"{list(shape)} {logits.dtype}" if shape else type(logits).__name__
        raise UserError(
            f"{net} must give logits [{wanted[0]}, {wanted[1]}] float32 for {wanted[0]} images; "
            f"it gave {given}"
        )


def _of_library(library, name, num_classes):
    if library == "timm":
        try:
            import timm
        except ImportError as error:
            raise UserError("timm is not installed; pip install timm") from error
        _check_name(library, name, timm.list_models())
        network = timm.create_model(name, num_classes=num_classes)
    else:
        import torchvision.models

        classifiers = torchvision.models.list_models(module=torchvision.models)
        _check_name(library, name, classifiers)
        network = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
    size = _fixed_size(network)
    if size is not None:
        network.input_size = size
    return network


def _check_name(library, name, names):
    if name not in names:
        close = difflib.get_close_matches(name, names, n=5, cutoff=0.3) or names[:5]
        nearest = ", ".join(close)
        raise UserError(f"{library} has no network {name!r}; nearest names: {nearest}")


def _fixed_size(network):
    """Pixels a side that a library's network insists on, as a vision transformer does; or None."""
    size = getattr(network, "image_size", None)  # torchvision's
    if size is None:
        size = getattr(getattr(network, "patch_embed", None), "img_size", None)  # timm's
    return size[0] if isinstance(size, tuple) else size


def _decode_size(net):
    """DECODE_SIZE in the file of a network from outside; 32 where it has none."""
    return references.beside(net, "DECODE_SIZE", 32) if references.is_reference(net) else 32


# ---- the tables ----

# name -> function (number of classes, vit_init) that gives the network
NETS: dict[str, Callable[[int, str], nn.Module]] = Table(
    {
        "ResNet18": lambda num_classes, vit_init: ResNet18(num_classes),
        "ResNet18Slim": lambda num_classes, vit_init: ResNet18(num_classes, width=16),
        "ViT": lambda num_classes, vit_init: ViT(num_classes, backbone=vit_init),
    },
    _from_outside,
)
# name -> pixels a side to which a user's images are resized at most
DECODE_SIZE: dict[str, int] = Table({"ResNet18": 32, "ResNet18Slim": 32, "ViT": 224}, _decode_size)


def create(
    net: str, num_classes: int, vit_init: str = "pretrained", *, pytorch_init: bool = False
) -> nn.Module:
    """A network by name, or by a reference, as training starts from it.

    vit_init: a ViT's backbone. pytorch_init: a ResNet's convolutions start with PyTorch's own
    default weights (the released protocol).
    """
    network = NETS[net](num_classes, vit_init)
    if pytorch_init:
        _initialise_as_pytorch(network)
    return network


def fresh(model: nn.Module) -> nn.Module:
    """The network as `model`'s training started: new random weights.

    A ViT has its backbone as before, and a new head.
    """
    return _twin(model, model.arguments)


def untrained(model: nn.Module, pretrained_vit: bool = False) -> nn.Module:
    """A network of `model`'s form that has learned nothing.

    pretrained_vit: a ViT keeps ImageNet's backbone.
    """
    arguments = dict(model.arguments)  # type: ignore[arg-type]
    if arguments.get("backbone") == "pretrained" and not pretrained_vit:
        arguments["backbone"] = "random"
    return _twin(model, arguments)


def _twin(model, arguments):
    """A new network of the model's class, on its device and in its numerics."""
    make = getattr(model, "maker", type(model))
    network = make(**arguments)
    if getattr(model, "pytorch_init", False):
        _initialise_as_pytorch(network)
    compute_in(network, getattr(model, "numerics", "fp32"))
    return network.to(next(model.parameters()).device)


def _initialise_as_pytorch(network):
    network.pytorch_init = True  # so that fresh() and untrained() do the same
    if isinstance(network, ResNet18):
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
