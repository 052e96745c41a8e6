"""The networks against torchvision, and untrained ones of the same form."""

import copy

import pytest
import torch
import torchvision
from helpers import NETWORKS, tiny_vit
from torch import nn

import models
from common.errors import UserError

# ---- ResNet18 ----


def test_resnet18_is_torchvisions_with_another_stem():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=100)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    ours = models.create("ResNet18", 100)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 3, 32, 32)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-4)


def test_resnet18_has_the_published_size_and_the_slim_one_a_quarter_of_its_width():
    model = models.create("ResNet18", 100)
    assert sum(p.numel() for p in model.parameters()) == 11_220_132
    assert models.create("ResNet18Slim", 10).conv1.weight.shape == (16, 3, 3, 3)


def lies_channels_last(model):
    weights = [p for p in model.parameters() if p.dim() == 4]
    assert len(weights) == 20
    return all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_resnet18_lies_channels_last_wherever_it_is_moved():
    model = models.create("ResNet18", 10)
    assert lies_channels_last(model)
    assert lies_channels_last(copy.deepcopy(model))
    assert lies_channels_last(copy.deepcopy(model).double())
    assert lies_channels_last(models.fresh(model))
    assert lies_channels_last(model.to("meta"))


def test_initial_weights_are_kaimings():
    """Fan-out: a standard deviation of sqrt(2 / (9 * 64))."""
    torch.manual_seed(0)
    model = models.create("ResNet18", 10)
    for network in (model, models.fresh(model)):
        weight = network.layer1[0].conv1.weight
        assert weight.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.02)


def test_released_initial_weights_are_pytorchs():
    """Uniform up to 1 / sqrt(9 * 64), whose standard deviation is 1 / sqrt(3 * 9 * 64)."""
    torch.manual_seed(0)
    model = models.create("ResNet18", 10, pytorch_init=True)
    for network in (model, models.fresh(model), models.untrained(model)):
        weight = network.layer1[0].conv1.weight
        assert weight.std().item() == pytest.approx((1 / 3 / 576) ** 0.5, rel=0.02)
        assert weight.abs().max() <= 1 / 24


# ---- ViT ----


def test_vit_base_has_the_published_size():
    model = models.ViT(100, "random")
    assert sum(p.numel() for p in model.parameters()) == 85_798_656 + 768 * 100 + 100


def test_vit_reads_the_cls_token():
    model = tiny_vit().eval()
    x = torch.randn(2, 3, 16, 16)
    tokens = model.base(pixel_values=x).last_hidden_state
    assert torch.allclose(model(x), model.final(tokens[:, 0]))
    assert model.input_size == 16


def test_vit_without_weights_or_network_says_what_to_do(monkeypatch):
    from transformers import ViTModel

    def offline(*_, **__):
        raise OSError("We couldn't connect")

    monkeypatch.setattr(ViTModel, "from_pretrained", offline)
    with pytest.raises(UserError, match="-vit_init random"):
        models.create("ViT", 10)


# ---- untrained networks ----


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("make", [models.fresh, models.untrained])
def test_fresh_and_untrained_networks_share_no_weight(network, make):
    model = NETWORKS[network]()
    twin = make(model)
    for (name, ours), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert ours.shape == theirs.shape
        assert ours.data_ptr() != theirs.data_ptr()
        if ours.dim() > 1 and "embeddings" not in name:
            assert not torch.equal(ours, theirs), name


def test_the_untrained_vit_is_untrained_but_under_the_released_protocol(monkeypatch):
    """Retrain starts from ImageNet's backbone, as training did; ZRF compares with no backbone."""
    from transformers import ViTModel

    def imagenet(*_, **__):
        base = tiny_vit().base
        nn.init.constant_(base.embeddings.cls_token, 7)
        return base

    def is_imagenets(network):
        return bool((network.base.embeddings.cls_token == 7).all())

    monkeypatch.setattr(ViTModel, "from_pretrained", imagenet)
    model = models.create("ViT", 10)
    assert is_imagenets(models.fresh(model))
    assert is_imagenets(models.untrained(model, pretrained_vit=True))
    assert not is_imagenets(models.untrained(model))
