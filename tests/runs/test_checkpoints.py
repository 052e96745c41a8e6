"""Checkpoints: kept and found again, the released ones' layout, and files that do not fit."""

import pytest
import torch
from helpers import assert_identical, tiny_vit

import models
from common.errors import UserError
from learning.augment import Augmentation
from learning.images import image_set
from runs import checkpoints


def blank_set(name, num_classes):
    """One black image a class."""
    labels = torch.arange(num_classes)
    pixels = torch.zeros(num_classes, 3, 8, 8, dtype=torch.uint8)
    names = map(str, range(num_classes))
    return image_set(name, pixels, labels, names, Augmentation(8, 1, False, 0))


def metadata_of(images):
    return {
        "net": "ResNet18Slim",
        "dataset": images.name,
        "classes": list(images.classes),
        "data_hash": images.digest,
        "seed": 0,
        "recipe": {"epochs": 2, "lr": 0.1},
        "accuracy": 12.5,
    }


@pytest.fixture
def blank():
    return blank_set("Blank", 10)


@pytest.fixture
def slim():
    """A network whose running means are not the initial ones."""
    model = models.create("ResNet18Slim", 10)
    model.bn1.running_mean.normal_()
    return model


@pytest.fixture
def saved(tmp_path, slim, blank):
    path = tmp_path / "net.safetensors"
    checkpoints.save(slim, path, metadata_of(blank))
    return path


def refused(path, images, *words, net="ResNet18Slim"):
    with pytest.raises(UserError) as error:
        checkpoints.load(path, net, images)
    for word in words:
        assert word in str(error.value)


# ---- our own ----


def test_a_network_comes_back_with_its_metadata(saved, slim, blank):
    loaded, metadata, digest = checkpoints.load(saved, "ResNet18Slim", blank)
    assert_identical(loaded, slim)
    assert metadata == metadata_of(blank)
    assert digest == checkpoints.weights_hash(slim)
    assert not loaded.training


def test_a_checkpoint_of_another_network_is_refused(saved, blank):
    refused(saved, blank, "ResNet18Slim", "net ResNet18;", net="ResNet18")


def test_a_checkpoint_of_another_data_set_is_refused(saved):
    refused(saved, blank_set("Other", 10), "Blank", "Other")
    refused(saved, blank_set("Blank", 12), "10 classes", "12 classes")


def test_images_that_have_changed_since_are_refused(saved, blank):
    pixels = blank.pixels + 1
    changed = image_set("Blank", pixels, blank.labels, blank.classes, blank.augmentation)
    refused(saved, changed, "they have changed since")


def test_a_missing_checkpoint_says_what_to_do(tmp_path, blank):
    refused(tmp_path / "none.safetensors", blank, "pretrain_model.py")


def test_a_torn_checkpoint_is_refused(saved, blank):
    saved.write_bytes(saved.read_bytes()[:-100])
    refused(saved, blank, "no readable checkpoint")


def test_a_network_with_a_nan_is_refused(tmp_path, slim, blank):
    with torch.no_grad():
        slim.layer2[0].bn1.weight[3] = float("nan")
    path = tmp_path / "broken.safetensors"
    checkpoints.save(slim, path, metadata_of(blank))
    refused(path, blank, "layer2.0.bn1.weight is not finite")


# ---- .pth files ----


def test_what_is_no_state_dict_is_refused(tmp_path, slim, blank):
    path = tmp_path / "net.pth"
    torch.save({"model": slim.state_dict(), "epoch": 3}, path)
    refused(path, blank, "plain state dict")
    path.write_bytes(b"no zip")
    refused(path, blank, "no readable checkpoint")


def test_pickled_code_is_not_run(tmp_path, blank):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    torch.save({"fc.weight": Bomb()}, tmp_path / "bomb.pth")
    refused(tmp_path / "bomb.pth", blank, "no readable checkpoint")
    assert not (tmp_path / "exploded").exists()


# ---- released networks ----

# Where the released ResNet18 has a block's modules.
RELEASED_MODULES = {
    "conv1": "residual_function.0",
    "bn1": "residual_function.1",
    "conv2": "residual_function.3",
    "bn2": "residual_function.4",
    "downsample": "shortcut",
}


def released_name(name):
    """A tensor's name in the authors' ResNet18: layer1.0.conv1.weight is conv2_x.0...weight."""
    module, _, rest = name.partition(".")
    if module == "fc":
        return name
    if module in ("conv1", "bn1"):
        return f"conv1.{0 if module == 'conv1' else 1}.{rest}"
    block, part, rest = rest.split(".", 2)
    stage = int(module.removeprefix("layer"))
    return f"conv{stage + 1}_x.{block}.{RELEASED_MODULES[part]}.{rest}"


@pytest.fixture
def released(tmp_path):
    """(the path of a state dict by the released names, the network with its tensors)."""
    model = models.create("ResNet18", 100)
    state = {released_name(name): tensor for name, tensor in model.state_dict().items()}
    assert "conv1.1.weight" in state
    assert "conv2_x.0.residual_function.0.weight" in state
    assert "conv3_x.0.shortcut.1.running_var" in state
    torch.save(state, tmp_path / "released.pth")
    return tmp_path / "released.pth", model


def test_released_state_dicts_load_by_order(released):
    path, model = released
    loaded, metadata, _ = checkpoints.load(path, "ResNet18", blank_set("Cifar100", 100))
    assert_identical(loaded, model)
    assert metadata == {}


def test_a_released_state_dict_of_another_number_of_classes_is_refused(released):
    path, _ = released
    refused(path, blank_set("Cifar10", 10), "number of classes", net="ResNet18")


def test_tensors_by_order_must_agree_in_the_last_parts_of_their_names(tmp_path, slim, blank):
    """A BatchNorm's bias before its weight, say: shapes fit; the network would be another."""
    state = slim.state_dict()
    names = list(state)
    weight, bias = names.index("bn1.weight"), names.index("bn1.bias")
    names[weight], names[bias] = names[bias], names[weight]
    torch.save({f"net.{name}": state[name] for name in names}, tmp_path / "swapped.pth")
    refused(tmp_path / "swapped.pth", blank, "net.bn1.bias would become bn1.weight")


@pytest.fixture
def small_vit(monkeypatch):
    """A small ViT in place of the one of 86 million weights."""
    monkeypatch.setitem(models.NETS, "ViT", lambda num_classes, vit_init: tiny_vit(num_classes))
    return models.create("ViT", 10)


def test_the_authors_vit_loads_though_it_has_a_pooler(tmp_path, small_vit, blank):
    pooler = {
        "base.pooler.dense.weight": torch.randn(32, 32),
        "base.pooler.dense.bias": torch.randn(32),
    }
    torch.save({**small_vit.state_dict(), **pooler}, tmp_path / "theirs.pth")
    loaded, _, _ = checkpoints.load(tmp_path / "theirs.pth", "ViT", blank)
    assert torch.equal(loaded.final.weight, small_vit.final.weight)


def test_a_vit_with_anything_else_is_another(tmp_path, small_vit, blank):
    neck = {"base.neck.weight": torch.randn(32, 32)}
    torch.save({**small_vit.state_dict(), **neck}, tmp_path / "another.pth")
    refused(tmp_path / "another.pth", blank, "base.neck.weight", net="ViT")
