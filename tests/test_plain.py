"""The fast way against the plain way (benchmarks/plain.py) at full width: importances, scores, a training step, whole runs."""

import copy
import json
import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, call, records_of

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A few digits a class as JPEG, and a network that one epoch on them has trained."""
    root = tmp_path_factory.mktemp("plain")
    speed.write_digits(root / "all")
    for part, count in (("train", 6), ("test", 3)):
        for name in sorted(os.listdir(root / "all" / part))[:4]:
            (root / "data" / part / name).mkdir(parents=True)
            for file in sorted((root / "all" / part / name).iterdir())[:count]:
                file.rename(root / "data" / part / name / file.name)
    # Two threads train the network that the bounds below were measured on; another has other activations near 0 (LOG.md).
    done = call(
        "pretrain_model.py",
        "-net",
        "ResNet18",
        "-dataset",
        "Folder",
        "-data",
        "data",
        "-epochs",
        1,
        "-b",
        8,
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def pair(folder):
    """(the plain network and its training and test images, ours and its sets), one set of weights."""
    train, test = datasets.load("Folder", folder / "data")
    ours = checkpoints.load(folder / CHECKPOINT, "ResNet18", train)[0]
    theirs = plain.network(4, folder / CHECKPOINT)
    return (theirs, *(plain.decoded(folder / "data" / part) for part in ("train", "test"))), (
        ours,
        train,
        test,
    )


def test_importances_are_the_plain_ways(pair):
    """Channels first to float noise; channels last a few activations cross zero at a ReLU by rounding, and each moves gradients."""
    (theirs, data, _), (ours, train, _) = pair
    for norm, measure in ((False, "fisher"), (True, "norm")):
        wanted = plain.importances(theirs, data, norm, batch_size=8)
        for layout, bound in (
            (None, 2e-3),
            (torch.contiguous_format, 1e-4),
            (torch.channels_last, 2e-3),
        ):
            laid = (
                copy.deepcopy(ours).to(memory_format=layout) if layout else ours
            )  # None: what this processor likes
            got = ssd.importance(laid, batches(train, laid, 8), measure=measure)
            for name, value in wanted.items():
                assert (got[name] - value).norm() <= bound * value.norm() + 1e-12, (name, layout)


@pytest.mark.parametrize(
    ("layout", "bound"),
    [(None, 3e-2), (torch.contiguous_format, 1e-3), (torch.channels_last, 3e-2)],
)
def test_the_selected_set_and_the_dampened_weights_are_the_plain_ways(pair, layout, bound):
    (theirs, data, _), (ours, train, test) = pair
    ours = ours.to(memory_format=layout) if layout else ours
    chosen = plain.ssd(theirs, data, plain.parted(data, 1)[1], alpha=2, lam=1)
    split = splits.split_class(train, test, "1")
    full, part = (
        ssd.importance(ours, batches(images, ours, 64)) for images in (split.full, split.forget)
    )
    mine = torch.cat([(part[name] > 2 * full[name]).flatten() for name in full])
    assert int((mine ^ chosen).sum()) <= 1e-4 * len(chosen)  # ties
    notes = {}
    METHODS["ssd"].unlearn(ours, split, alpha=2, lam=1, batch_size=64, notes=notes)
    assert 0.001 < notes["selected"] == pytest.approx(float(chosen.double().mean()), abs=1e-4)
    for (name, a), b in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        assert (a - b).norm() <= bound * a.norm() + 1e-9, name


@pytest.mark.parametrize(
    ("layout", "bound"),
    [(None, 5e-3), (torch.contiguous_format, 2e-5), (torch.channels_last, 5e-3)],
)
def test_single_samples_importances_are_the_plain_ways(pair, layout, bound):
    (theirs, data, _), (ours, train, _) = pair
    ours = ours.to(memory_format=layout) if layout else ours
    wanted = plain.fisher(theirs, data[:3])
    got = ssd.importance(
        ours, batches(train.take(torch.arange(3)), ours, 3), measure="true_fisher", per_sample=True
    )
    for name, value in wanted.items():
        assert (got[name] - value).norm() <= bound * value.norm() + 1e-12, name


def test_scores_are_the_plain_ways(pair, monkeypatch):
    (theirs, data, test_data), (ours, train, test) = pair
    torch.manual_seed(0)
    untrained = plain.network(4)
    monkeypatch.setattr(plain, "network", lambda _: untrained)
    wanted = plain.scores(theirs, data, test_data, 2)
    split = splits.split_class(train, test, "2")
    got = metrics.score(
        metrics.split_logits(ours, split),
        untrained,
        split,
        batch_size=64,
    )
    assert got == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    ("layout", "bound"),
    [(None, 1e-2), (torch.contiguous_format, 5e-4), (torch.channels_last, 1e-2)],
)
def test_a_training_step_is_the_plain_ways(pair, layout, bound):
    (theirs, data, _), (ours, train, _) = pair
    ours = ours.to(memory_format=layout) if layout else ours
    torch.manual_seed(
        0
    )  # the order within the one batch moves rounding, and that what crosses zero at a ReLU
    before = [p.detach().clone() for p in ours.parameters()]
    optimizer = torch.optim.SGD(theirs.parameters(), 0.02, momentum=0.9, weight_decay=5e-4)
    plain.train(theirs, data, 1, optimizer)  # 24 images: one batch, whatever their order
    fit(ours, batches(train, ours, 64, shuffle=True), sgd(ours, 0.02), 1)
    parts = [
        ((a - b).norm().item(), (a - old).norm().item())
        for a, b, old in zip(theirs.parameters(), ours.parameters(), before, strict=True)
    ]
    assert all(
        apart <= 5e-2 * step for apart, step in parts
    )  # the small tensors' rounding depends on the CPU
    apart, step = torch.tensor(parts).norm(dim=0)
    assert apart <= bound * step


@pytest.mark.slow
def test_a_whole_run_is_the_plain_ways(folder):
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.plain",
        folder / "data",
        folder / CHECKPOINT,
        "1",
        "ssd",
        "2",
        "1",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = json.loads(done.stdout)
    done = call(
        "forget_full_class_main.py",
        "-net",
        "ResNet18",
        "-dataset",
        "Folder",
        "-data",
        "data",
        "-forget_class",
        "1",
        "-method",
        "ssd",
        "-alpha",
        2,
        "-lambda",
        1,
        "-wandb",
        "disabled",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    (record,) = records_of(folder).values()
    assert record["selected"] == pytest.approx(wanted["selected"], abs=1e-4)
    for name in ("TestAcc", "RetainTestAcc", "Df", "MIA"):
        assert record["scores"][name] == pytest.approx(wanted["scores"][name], abs=1e-6), name
