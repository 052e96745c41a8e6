"""The fast way against the plain way (benchmarks/plain.py), at full width.

Importances, the selected set, scores, a training step, and a whole run.
"""

import json
import subprocess
import sys

import pytest
import torch
from helpers import ENVIRONMENT, ROOT, call, records_of

import datasets
import metrics
import splits
import ssd
from benchmarks import plain, speed
from learning.images import batches
from learning.training import fit, sgd
from methods import METHODS
from runs import checkpoints

CHECKPOINT = "checkpoints/ResNet18-Folder-data-seed0.safetensors"
NETWORK = ("-net", "ResNet18", "-dataset", "Folder", "-data", "data")
# Channels first to float noise. Channels last a few activations cross zero at a ReLU by rounding,
# and each moves gradients. None: the layout that this processor likes.
LAYOUTS = {"usual": None, "first": torch.contiguous_format, "last": torch.channels_last}


def bounds(usual, first, last):
    """How far the two ways may be apart in each layout."""
    return pytest.mark.parametrize(
        ("layout", "bound"), [("usual", usual), ("first", first), ("last", last)]
    )


def laid_out(model, layout):
    if LAYOUTS[layout] is None:
        return model
    return model.to(memory_format=LAYOUTS[layout])


def assert_within(values, wanted, bound, nothing=1e-12):
    """Each tensor within `bound` of the wanted one, relative to its norm."""
    for name, value in wanted.items():
        assert (values[name] - value).norm() <= bound * value.norm() + nothing, name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A few digits of four classes as JPEG, and a network that one epoch on them has trained."""
    root = tmp_path_factory.mktemp("plain")
    speed.write_digits(root / "all")
    for part, count in (("train", 6), ("test", 3)):
        for source in sorted((root / "all" / part).iterdir())[:4]:
            goal = root / "data" / part / source.name
            goal.mkdir(parents=True)
            for file in sorted(source.iterdir())[:count]:
                file.rename(goal / file.name)
    # Two threads train the network that the bounds below were measured on. Another number of
    # threads would train one with other activations near 0 (docs/log.md).
    two_threads = {**ENVIRONMENT, "OMP_NUM_THREADS": "2"}
    flags = (*NETWORK, "-epochs", 1, "-b", 8)
    done = call("pretrain_model.py", *flags, cwd=root, env=two_threads)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def plain_side(folder):
    """(the plain network, its training images, its test images)."""
    train = plain.decoded(folder / "data" / "train")
    test = plain.decoded(folder / "data" / "test")
    return plain.network(4, folder / CHECKPOINT), train, test


@pytest.fixture
def our_side(folder):
    """(our network with the same weights, training set, test set)."""
    train, test = datasets.load("Folder", folder / "data")
    model, _, _ = checkpoints.load(folder / CHECKPOINT, "ResNet18", train)
    return model, train, test


@bounds(usual=2e-3, first=1e-4, last=2e-3)
@pytest.mark.parametrize("measure", ["fisher", "norm"])
def test_importances_are_the_plain_ways(plain_side, our_side, measure, layout, bound):
    network, images, _ = plain_side
    model, train, _ = our_side
    model = laid_out(model, layout)
    wanted = plain.importances(network, images, norm=measure == "norm", batch_size=8)
    importances = ssd.importance(model, batches(train, model, 8), measure=measure)
    assert_within(importances, wanted, bound)


@bounds(usual=3e-2, first=1e-3, last=3e-2)
def test_the_selected_set_and_the_dampened_weights_are_the_plain_ways(
    plain_side, our_side, layout, bound
):
    network, images, _ = plain_side
    model, train, test = our_side
    model = laid_out(model, layout)
    _, forget_images = plain.parted(images, 1)
    wanted = plain.ssd(network, images, forget_images, alpha=2, lam=1)
    split = splits.split_class(train, test, "1")
    full = ssd.importance(model, batches(split.full, model, 64))
    forget = ssd.importance(model, batches(split.forget, model, 64))
    selected = torch.cat([(forget[name] > 2 * full[name]).flatten() for name in full])
    assert int((selected ^ wanted).sum()) <= 1e-4 * len(wanted)  # ties
    notes = {}
    METHODS["ssd"].unlearn(model, split, alpha=2, lam=1, batch_size=64, notes=notes)
    assert notes["selected"] > 0.001
    assert notes["selected"] == pytest.approx(float(wanted.double().mean()), abs=1e-4)
    weights, plain_weights = dict(model.named_parameters()), dict(network.named_parameters())
    ours = dict(zip(plain_weights, weights.values(), strict=True))
    assert_within(ours, plain_weights, bound, nothing=1e-9)


@bounds(usual=5e-3, first=2e-5, last=5e-3)
def test_single_samples_importances_are_the_plain_ways(plain_side, our_side, layout, bound):
    network, images, _ = plain_side
    model, train, _ = our_side
    model = laid_out(model, layout)
    data = batches(train.take(torch.arange(3)), model, 3)
    importances = ssd.importance(model, data, measure="true_fisher", per_sample=True)
    assert_within(importances, plain.fisher(network, images[:3]), bound)


def test_scores_are_the_plain_ways(plain_side, our_side, monkeypatch):
    network, images, test_images = plain_side
    model, train, test = our_side
    torch.manual_seed(0)
    untrained = plain.network(4)
    # Both sides' ZRF is against one untrained network.
    monkeypatch.setattr(plain, "network", lambda num_classes: untrained)
    wanted = plain.scores(network, images, test_images, 2)
    split = splits.split_class(train, test, "2")
    logits = metrics.split_logits(model, split)
    scores = metrics.score(logits, untrained, split, batch_size=64)
    assert scores == pytest.approx(wanted, abs=1e-4)


@bounds(usual=1e-2, first=5e-4, last=1e-2)
def test_a_training_step_is_the_plain_ways(plain_side, our_side, layout, bound):
    network, images, _ = plain_side
    model, train, _ = our_side
    model = laid_out(model, layout)
    # 24 images: one batch, whatever their order. The order in it moves only rounding.
    torch.manual_seed(0)
    before = [p.detach().clone() for p in model.parameters()]
    plain.train(network, images, 1, plain.sgd(network, 0.02))
    fit(model, batches(train, model, 64, shuffle=True), sgd(model, 0.02), 1)
    errors, steps = [], []
    for p, q, old in zip(network.parameters(), model.parameters(), before, strict=True):
        errors.append((p - q).norm().item())
        steps.append((p - old).norm().item())
        assert errors[-1] <= 5e-2 * steps[-1]  # the small tensors' rounding depends on the CPU
    assert torch.tensor(errors).norm() <= bound * torch.tensor(steps).norm()


@pytest.mark.slow
def test_a_whole_run_is_the_plain_ways(folder):
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.plain"]
    command += [str(folder / "data"), str(folder / CHECKPOINT), "1", "ssd", "2", "1"]
    options = {"cwd": ROOT, "capture_output": True, "text": True, "check": True}
    wanted = json.loads(subprocess.run(command, **options).stdout)
    what = ("-forget_class", 1, "-method", "ssd", "-alpha", 2, "-lambda", 1)
    flags = (*NETWORK, *what, "-wandb", "disabled")
    done = call("forget_full_class_main.py", *flags, cwd=folder)
    assert done.returncode == 0, done.stderr
    (record,) = records_of(folder).values()
    assert record["selected"] == pytest.approx(wanted["selected"], abs=1e-4)
    for name in ("TestAcc", "RetainTestAcc", "Df", "MIA"):
        assert record["scores"][name] == pytest.approx(wanted["scores"][name], abs=1e-6), name
