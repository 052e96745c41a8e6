"""The networks, their checkpoints, and fresh copies of them."""

import logging

import torch
from torch import nn

from common.errors import UserError
from learning.numerics import compute_in

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
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)
            )

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
        if (
            on_cpu
            and self.fc.in_features >= 512
            and torch.backends.cpu.get_cpu_capability() == "AVX512"
        ):
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
        from transformers import (  # ten seconds of imports that a ResNet need not pay
            ViTConfig,
            ViTModel,
        )

        self.arguments = {"num_classes": num_classes, "backbone": backbone}
        if backbone == "pretrained":
            self.base = self._pretrained(ViTModel)
        else:
            self.base = ViTModel(
                ViTConfig() if backbone == "random" else backbone, add_pooling_layer=False
            )
        self.final = nn.Linear(self.base.config.hidden_size, num_classes)
        self.input_size = self.base.config.image_size

    @staticmethod
    def _pretrained(ViTModel):
        logging.getLogger("huggingface_hub").setLevel(
            logging.CRITICAL
        )  # its retries say what the error below says
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


DECODE_SIZE = {
    "ResNet18": 32,
    "ResNet18Slim": 32,
    "ViT": 224,
}  # pixels a side to which a folder's images are resized


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
