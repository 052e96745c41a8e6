"""In which arithmetic a network computes."""

import pytest
import torch
from helpers import NETWORKS, RECIPE, SETTINGS, settings_for, small_split, tiny_resnet, twin

import metrics
import models
import ssd
from learning import numerics
from learning.images import batches
from learning.training import fit, sgd
from methods import METHODS, retrain

pytestmark = pytest.mark.filterwarnings("ignore:this CPU has no instructions for bf16")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_in_bf16_and_leaves_float32(method, network):
    torch.manual_seed(0)
    split = small_split("full_class")
    model = NETWORKS[network](split.num_classes)
    numerics.compute_in(model, "bf16")
    result = METHODS[method].unlearn(model, split, **settings_for(method, model))
    assert result.numerics == "bf16"
    for p in result.parameters():
        assert p.dtype == torch.float32
        assert torch.isfinite(p).all()
    assert metrics.logits_of(result, split.forget).dtype == torch.float32


def test_numerics_change_what_they_say():
    torch.manual_seed(0)
    split = small_split("full_class")
    model = tiny_resnet()
    fit(model, batches(split.train, model, 48, shuffle=True), sgd(model, 0.05), 2)
    plain = metrics.logits_of(model, split.train)
    forget = batches(split.forget, model, 16)
    per_sample = ssd.importance(model, forget, per_sample=True)
    numerics.compute_in(model, "bf16")
    rounded = metrics.logits_of(model, split.train)
    assert 1e-4 < float((rounded - plain).norm() / plain.norm()) < 0.05
    # Weights are cast once a pass, and again in the next.
    with torch.no_grad():
        one_by_one = [model(x) for x, _, _ in batches(split.train, model, 100)]
        assert torch.equal(rounded, torch.cat(one_by_one))
        model.fc.weight.mul_(2)
        assert not torch.equal(metrics.logits_of(model, split.train), rounded)
        model.fc.weight.div_(2)
    # Single samples' gradients are always taken in full.
    for name, value in ssd.importance(model, forget, per_sample=True).items():
        assert torch.equal(value, per_sample[name]), name
    assert models.fresh(model).numerics == models.untrained(model).numerics == "bf16"
    numerics.compute_in(model, "fp32")
    assert torch.equal(metrics.logits_of(model, split.train), plain)


def test_tf32_is_switched_for_convolutions_and_for_products():
    model = tiny_resnet()
    for kind in ("tf32", "bf16", "fp32"):
        numerics.compute_in(model, kind)
        for switch in (torch.backends.cuda.matmul, torch.backends.cudnn):
            assert switch.allow_tf32 == (kind == "tf32")
        assert (torch.backends.cuda.matmul.fp32_precision == "tf32") == (kind == "tf32")


def test_retrain_computes_as_pretraining_did_and_is_scored_as_the_run_wants(monkeypatch):
    seen = []
    plain = retrain.epochs_by_recipe

    def noted(network, *args, **options):
        seen.append(network.numerics)
        return plain(network, *args, **options)

    monkeypatch.setattr(retrain, "epochs_by_recipe", noted)
    split, model = small_split("full_class"), tiny_resnet()
    recipe = {**RECIPE, "numerics": "bf16"}
    result = METHODS["retrain"].unlearn(
        model, split, recipe=recipe, batch_size=SETTINGS["batch_size"]
    )
    assert seen == ["bf16"]
    assert result.numerics == "fp32"


def test_any_network_computes_in_bf16_when_it_is_asked_to():
    """Also one that knows nothing of numerics.py; a deep copy keeps its own weights."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3))
    x = torch.randn(5, 64)
    exact = network(x)
    numerics.compute_in(network, "bf16")
    rounded = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = torch.nn.Sequential.forward(network, x)
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, wanted.float())
    assert not torch.equal(rounded, exact)
    copied = twin(network)
    with torch.no_grad():
        copied[2].bias += 1
    assert torch.equal(network(x), rounded)
    assert not torch.equal(copied(x), rounded)
    numerics.compute_in(network, "fp32")
    assert torch.equal(network(x), exact)
