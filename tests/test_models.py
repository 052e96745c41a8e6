"""models.py against torchvision, the released checkpoints' layout, and files that do not fit."""

import copy

import pytest
import torch
import torchvision
from helpers import tiny_vit
from torch import nn

import datasets
import models
from common.errors import UserError
from learning import numerics
from learning.augment import Augmentation
from learning.images import image_set
from runs import checkpoints


def blank_set(name, num_classes):
    labels = torch.arange(num_classes)
    pixels = torch.zeros(num_classes, 3, 8, 8, dtype=torch.uint8)
    return image_set(
        name, pixels, labels, map(str, range(num_classes)), Augmentation(8, 1, False, 0)
    )


def test_resnet18_is_torchvisions_with_another_stem():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=100)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    ours = models.create("ResNet18", 100)
    assert sum(p.numel() for p in ours.parameters()) == 11_220_132
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 3, 32, 32)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-4)
    assert models.create("ResNet18Slim", 10).conv1.weight.shape == (16, 3, 3, 3)


def test_the_last_stage_lies_channels_first_where_a_cpu_likes_it(monkeypatch):
    torch.manual_seed(0)
    x, logits = torch.randn(3, 3, 32, 32), {}
    for capability in ("AVX512", "AVX2"):
        monkeypatch.setattr(
            torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability
        )
        model = models.create("ResNet18", 10).eval()
        model.load_state_dict(logits.get("state", model.state_dict()))
        logits["state"], logits[capability] = model.state_dict(), model(x).detach()
        shapes = [p for p in model.parameters() if p.dim() == 4 and p.shape[2] == 3]
        last = [p.is_contiguous(memory_format=torch.channels_last) for p in shapes]
        assert last == [True] * 13 + [capability == "AVX2"] * 4
        assert all(
            p.is_contiguous(memory_format=torch.channels_last)
            for p in model.to("meta").parameters()
            if p.dim() == 4
        )
        slim = models.create(
            "ResNet18Slim", 10
        )  # its results would change by rounding, for nothing
        assert all(
            p.is_contiguous(memory_format=torch.channels_last)
            for p in slim.parameters()
            if p.dim() == 4
        )
    assert (logits["AVX512"] - logits["AVX2"]).abs().max() < 1e-4


def test_vit_base_has_the_published_size_and_reads_the_cls_token():
    assert (
        sum(p.numel() for p in models.ViT(100, "random").parameters())
        == 85_798_656 + 768 * 100 + 100
    )
    model = tiny_vit().eval()
    x = torch.randn(2, 3, 16, 16)
    tokens = model.base(pixel_values=x).last_hidden_state
    assert torch.allclose(model(x), model.final(tokens[:, 0])) and model.input_size == 16


def test_vit_without_weights_or_network_says_what_to_do(monkeypatch):
    from transformers import ViTModel

    def offline(*_, **__):
        raise OSError("We couldn't connect")

    monkeypatch.setattr(ViTModel, "from_pretrained", offline)
    with pytest.raises(UserError, match="-vit_init random"):
        models.create("ViT", 10)


@pytest.mark.parametrize("make", [lambda: models.ResNet18(10, width=8), tiny_vit])
def test_fresh_and_untrained_copies_share_no_weight(make):
    model = make()
    for network in (models.fresh(model), models.untrained(model)):
        for (name, ours), theirs in zip(
            model.named_parameters(), network.parameters(), strict=True
        ):
            assert ours.shape == theirs.shape and ours.data_ptr() != theirs.data_ptr()
            if ours.dim() > 1 and "embeddings" not in name:
                assert not torch.equal(ours, theirs), name


def test_the_untrained_vit_is_untrained_but_under_the_released_protocol(monkeypatch):
    """What ZRF and bad teacher compare with; retrain starts from ImageNet's backbone, as training did."""
    from transformers import ViTModel

    def imagenet(*_, **__):
        base = tiny_vit().base
        nn.init.constant_(base.embeddings.cls_token, 7)
        return base

    monkeypatch.setattr(ViTModel, "from_pretrained", imagenet)
    model = models.create("ViT", 10)
    copies = (
        models.fresh(model),
        models.untrained(model, pretrained_vit=True),
        models.untrained(model),
    )
    assert [bool((copy.base.embeddings.cls_token == 7).all()) for copy in copies] == [
        True,
        True,
        False,
    ]


def test_checkpoint_round_trip_and_refusals(tmp_path):
    images = blank_set("Blank", 10)
    path = tmp_path / "net.safetensors"
    model = models.create("ResNet18Slim", 10)
    model.bn1.running_mean.normal_()
    metadata = {
        "net": "ResNet18Slim",
        "dataset": "Blank",
        "classes": list(images.classes),
        "data_hash": images.digest,
        "seed": 0,
        "recipe": {"epochs": 2, "lr": 0.1},
        "accuracy": 12.5,
    }
    checkpoints.save(model, path, metadata)
    loaded, found, digest = checkpoints.load(path, "ResNet18Slim", images)
    assert found == metadata and len(digest) == 64 and not loaded.training
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )

    def refused(path, net, images, *words):
        with pytest.raises(UserError) as error:
            checkpoints.load(path, net, images)
        assert all(word in str(error.value) for word in words), str(error.value)

    refused(path, "ResNet18", images, "ResNet18Slim", "net ResNet18;")
    refused(path, "ResNet18Slim", blank_set("Other", 10), "Blank", "Other")
    refused(path, "ResNet18Slim", blank_set("Blank", 12), "10 classes", "12 classes")
    images.pixels[0] += 1
    changed = image_set("Blank", images.pixels, images.labels, images.classes, images.augmentation)
    refused(path, "ResNet18Slim", changed, "they have changed since")
    refused(tmp_path / "none.safetensors", "ResNet18Slim", images, "pretrain_model.py")
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "ResNet18Slim", images, "no readable checkpoint")
    torch.save({"model": model.state_dict(), "epoch": 3}, tmp_path / "wrapped.pth")
    refused(tmp_path / "wrapped.pth", "ResNet18Slim", images, "plain state dict")
    (tmp_path / "net.pth").write_bytes(b"no zip")
    refused(tmp_path / "net.pth", "ResNet18Slim", images, "no readable checkpoint")


def test_released_resnet18_state_dicts_load_by_order(tmp_path):
    """The authors' ResNet18 holds the same tensors in the same order as conv1.0, conv2_x.0.residual_function.0, ..."""
    model = models.create("ResNet18", 100)
    renamed = {}
    for name, tensor in model.state_dict().items():
        stage, _, rest = name.partition(".")
        if stage.startswith("layer"):
            block, part, rest = (
                rest.split(".", 2) if "downsample" in rest else (*rest.split(".", 1), "")
            )
            if not rest:
                part, rest = part.split(".", 1)
            position = {
                "conv1": "residual_function.0",
                "bn1": "residual_function.1",
                "conv2": "residual_function.3",
                "bn2": "residual_function.4",
                "downsample": "shortcut",
            }[part]
            name = f"conv{int(stage[-1]) + 1}_x.{block}.{position}.{rest}"
        elif stage in ("conv1", "bn1"):
            name = f"conv1.{0 if stage == 'conv1' else 1}.{rest}"
        renamed[name] = tensor
    assert "conv3_x.0.shortcut.1.running_var" in renamed and "conv1.1.weight" in renamed
    torch.save(renamed, tmp_path / "released.pth")
    loaded, metadata, _ = checkpoints.load(
        tmp_path / "released.pth", "ResNet18", blank_set("Cifar100", 100)
    )
    assert metadata == {}
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    with pytest.raises(UserError, match="number of classes"):
        checkpoints.load(tmp_path / "released.pth", "ResNet18", blank_set("Cifar10", 10))


def test_tensors_by_order_must_agree_in_the_last_parts_of_their_names(tmp_path):
    """A BatchNorm's bias before its weight, say: the shapes fit, and the network would be another."""
    state = models.create("ResNet18Slim", 10).state_dict()
    names = list(state)
    weight, bias = names.index("bn1.weight"), names.index("bn1.bias")
    names[weight], names[bias] = names[bias], names[weight]
    torch.save({f"net.{name}": state[name] for name in names}, tmp_path / "swapped.pth")
    with pytest.raises(UserError, match=r"net\.bn1\.bias would become bn1\.weight"):
        checkpoints.load(tmp_path / "swapped.pth", "ResNet18Slim", blank_set("Blank", 10))


def test_a_network_with_a_nan_is_refused_at_load(tmp_path):
    images = blank_set("Blank", 10)
    model = models.create("ResNet18Slim", 10)
    with torch.no_grad():
        model.layer2[0].bn1.weight[3] = float("nan")
    metadata = {
        "net": "ResNet18Slim",
        "dataset": "Blank",
        "classes": list(images.classes),
        "data_hash": images.digest,
    }
    checkpoints.save(model, tmp_path / "broken.safetensors", metadata)
    with pytest.raises(UserError, match=r"layer2\.0\.bn1\.weight is not finite"):
        checkpoints.load(tmp_path / "broken.safetensors", "ResNet18Slim", images)


def test_the_authors_vit_loads_though_it_has_a_pooler(tmp_path, monkeypatch):
    monkeypatch.setitem(models.NETS, "ViT", lambda num_classes, vit_init: tiny_vit(num_classes))
    model = models.create("ViT", 10)
    pooler = {
        "base.pooler.dense.weight": torch.randn(32, 32),
        "base.pooler.dense.bias": torch.randn(32),
    }
    torch.save({**model.state_dict(), **pooler}, tmp_path / "theirs.pth")
    loaded, _, _ = checkpoints.load(tmp_path / "theirs.pth", "ViT", blank_set("Blank", 10))
    assert torch.equal(loaded.final.weight, model.final.weight)
    torch.save(
        {**model.state_dict(), "base.neck.weight": torch.randn(32, 32)}, tmp_path / "another.pth"
    )
    with pytest.raises(UserError, match=r"base\.neck\.weight"):
        checkpoints.load(tmp_path / "another.pth", "ViT", blank_set("Blank", 10))


def test_initial_weights_are_kaimings_or_under_the_released_protocol_pytorchs():
    """Kaiming fan-out: std sqrt(2 / (9 * 64)); PyTorch's default: uniform up to 1 / sqrt(9 * 64), std a third of that root."""
    torch.manual_seed(0)
    model = models.create("ResNet18", 10)
    theirs = models.create("ResNet18", 10, pytorch_init=True)
    copies = models.fresh(theirs), models.untrained(theirs)
    for network in (model, models.fresh(model)):
        assert network.layer1[0].conv1.weight.std().item() == pytest.approx(
            (2 / 576) ** 0.5, rel=0.02
        )
    for network in (theirs, *copies):
        weight = network.layer1[0].conv1.weight
        assert (
            weight.std().item() == pytest.approx((1 / 3 / 576) ** 0.5, rel=0.02)
            and weight.abs().max() <= 1 / 24
        )


@pytest.mark.filterwarnings("ignore:this CPU has no instructions for bf16")
def test_any_network_computes_in_bf16_when_it_is_asked_to():
    """Also one that knows nothing of numerics.py; before, its outputs were those of fp32 under the name of bf16."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3))
    x = torch.randn(5, 64)
    exact = network(x)
    numerics.compute_in(network, "bf16")
    rounded = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = torch.nn.Sequential.forward(network, x)
    assert (
        rounded.dtype == torch.float32
        and torch.equal(rounded, wanted.float())
        and not torch.equal(rounded, exact)
    )
    copied = copy.deepcopy(network)
    with torch.no_grad():
        copied[2].bias += 1
    assert torch.equal(network(x), rounded) and not torch.equal(copied(x), rounded)
    numerics.compute_in(network, "fp32")
    assert torch.equal(network(x), exact)


def test_pickled_code_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    torch.save({"fc.weight": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(UserError, match="no readable checkpoint"):
        checkpoints.load(tmp_path / "bomb.pth", "ResNet18", datasets.load("Digits")[0])
    assert not (tmp_path / "exploded").exists()
