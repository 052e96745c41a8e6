"""The importances of D, computed once and kept next to the checkpoint."""

import json

import pytest
import torch
from helpers import DIGITS, call, tiny_resnet

import datasets
import ssd
from learning.images import Batches, batches
from learning.protocol import RELEASED
from runs import checkpoints, store
from splits import split_class

CHECKPOINT = "checkpoints/ResNet18Slim-Digits-seed0.safetensors"


def released_batches(model, forget_class, batch_size=16):
    """D in the released order, which depends on the class: D_r, then D_f."""
    train, test = datasets.load("Digits")
    train = train.take(torch.arange(0, len(train), 3))
    split = split_class(train, test, forget_class, protocol=RELEASED)
    return batches(split.full, model, batch_size)


def ask(data, model, folder, *, per_sample=False):
    return store.importance(
        model, data, folder / "net", identity={}, measure="fisher", per_sample=per_sample
    )


@pytest.mark.parametrize("per_sample", [False, True])
def test_importances_are_those_of_ssd_the_first_time_and_from_the_file(tmp_path, per_sample):
    torch.manual_seed(0)
    model = tiny_resnet().eval()
    data = released_batches(model, 1)
    wanted = ssd.importance(model, data, per_sample=per_sample)
    first, seconds = ask(data, model, tmp_path, per_sample=per_sample)
    again, seconds_again = ask(data, model, tmp_path, per_sample=per_sample)
    assert seconds == seconds_again > 0
    for name, value in wanted.items():
        assert torch.equal(first[name], value), name
        assert torch.equal(again[name], value), name


@pytest.mark.parametrize("option", ["shuffle", "augment"])
def test_importances_of_batches_without_an_order_are_not_kept(tmp_path, option):
    images = datasets.load("Digits")[0]
    data = Batches(images, 64, torch.device("cpu"), 8, **{option: True})
    with pytest.raises(ValueError, match="one order of D"):
        ask(data, tiny_resnet(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_kept_importances_depend_on_order_and_batch_size_but_not_for_single_samples(
    tmp_path, monkeypatch
):
    model = tiny_resnet().eval()
    computed = []

    def counted(model, data, **_):
        computed.append(data)
        return {"weight": torch.ones(1)}

    monkeypatch.setattr(store.ssd, "importance", counted)
    first, second = released_batches(model, 1), released_batches(model, 2)
    wider = released_batches(model, 1, batch_size=32)
    for data in (first, first, second, wider):
        ask(data, model, tmp_path)
    assert len(computed) == 3
    ask(first, model, tmp_path, per_sample=True)
    ask(second, model, tmp_path, per_sample=True)
    assert len(computed) == 4


def test_a_damaged_file_is_computed_again(tmp_path):
    model = tiny_resnet().eval()
    data = released_batches(model, 1)
    wanted, _ = ask(data, model, tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    values, _ = ask(data, model, tmp_path)
    for name, value in wanted.items():
        assert torch.equal(values[name], value), name


@pytest.mark.slow
def test_numerics_are_stamped(tmp_path):
    pretrain = ("pretrain_model.py", *DIGITS, "-epochs", 1)
    forget = ("forget_full_class_main.py", *DIGITS, "-forget_class", 1, "-method", "ssd")
    quiet = ("-wandb", "disabled")
    out = tmp_path / CHECKPOINT
    assert call(*pretrain, "-numerics", "bf16", cwd=tmp_path).returncode == 0
    assert checkpoints.read_metadata(out)["recipe"]["numerics"] == "bf16"
    other = call(*pretrain, cwd=tmp_path)
    assert other.returncode == 2
    assert "recipe" in other.stderr and "-force" in other.stderr
    for flags in ((), ("-numerics", "bf16")):
        done = call(*forget, *quiet, *flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json")]
    assert {record["config"]["numerics"] for record in records} == {"fp32", "bf16"}
    assert len(list(out.parent.glob("*importance*"))) == 2
    refused = call(*forget, "-numerics", "tf32", cwd=tmp_path)
    assert refused.returncode == 2 and "-gpu" in refused.stderr
