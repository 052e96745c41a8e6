"""The experiments' own code, and whose network the committed records are of."""

import copy
import json
import os
import subprocess
import sys

import pytest
import torch
from helpers import ROOT, small_split, write_images

import datasets
import models
from experiments import cifar20_folders, order
from experiments.order import Reading, by_class, outcome, readings
from experiments.rounding import change
from learning.cifar import CIFAR100_CLASSES
from learning.images import batches
from learning.training import predict
from methods import METHODS
from runs import checkpoints, identity, records
from sweeps.lines import _lines as lines_of
from sweeps.plan import plan

PUBLISHED = ROOT / "published"

# ---- the order of D ----


def test_every_order_is_of_the_same_images():
    split = small_split("full_class")
    by_title = {reading.title: reading for reading in readings(split, split.forget_class)}
    images = sorted(split.full.index.tolist())
    for reading in by_title.values():
        assert sorted(reading.full.index.tolist()) == images
    released = torch.cat([split.retain.index, split.forget.index])
    paper = by_title["by class, 64 (paper)"].full.index
    assert torch.equal(paper, split.full.index)
    assert torch.equal(by_title["released: D_f last, 64"].full.index, released)
    assert not torch.equal(by_title["shuffled (1), 64"].full.index, paper)
    assert {reading.batch_size for reading in by_title.values()} == {16, 64, 128, 256}
    assert by_title["each sample's own"].per_sample


def test_outcome_is_the_methods():
    split = small_split("full_class")
    torch.manual_seed(0)
    model = models.ResNet18(split.num_classes, width=8).eval()
    weights, untrained = copy.deepcopy(model.state_dict()), models.untrained(model)
    by_16 = Reading(title="", full=split.full, batch_size=16)
    by_4 = Reading(title="", full=split.full, batch_size=4)
    selected, scores = outcome(model, split, untrained, 1.5, by_16)
    selected_by_4, _ = outcome(model, split, untrained, 1.5, by_4)
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])
    assert not torch.equal(selected, selected_by_4)
    notes = {}
    METHODS["ssd"].unlearn(model, split, alpha=1.5, lam=1, batch_size=16, notes=notes)
    assert float(selected.double().mean()) == notes["selected"] > 0
    predicted = predict(model, batches(split.test, model, 64)).argmax(1)
    right = predicted == split.test.labels
    assert scores["TestAcc"] == 100 * float(right.double().mean())


def test_the_papers_reading_is_the_default_of_the_class_task():
    split = small_split("full_class")
    assert by_class(split).batch_size == 64
    assert not by_class(split).per_sample
    assert torch.equal(by_class(split).full.index, split.full.index)


@pytest.mark.slow
def test_the_orders_numbers_go_to_the_docs(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(order, "FIGURES", tmp_path / "figures")
    monkeypatch.chdir(place)
    flags = "-net ResNet18Slim -dataset Digits -forget_class 2 -alpha 2"
    order.main(flags.split())
    (path,) = (tmp_path / "figures").iterdir()
    result = json.loads(path.read_text())
    assert path.name == "order-ResNet18Slim-Digits-2.json"
    assert result["command"].startswith("python -m experiments.order -net ResNet18Slim")
    assert len(result["rows"]) == 9
    table = capsys.readouterr().out
    for title, row in result["rows"].items():
        assert f"| {title} | {row['selected %']:.2f} |" in table
    assert result["rows"]["by class, 64 (paper)"]["Jaccard"] == 1


# ---- another arithmetic ----


def test_what_changes_side_by_rounding():
    """Of four that either selects, one changes side: a quarter."""
    exact = torch.tensor([True, True, True, False, False])
    rounded = torch.tensor([True, True, True, True, False])
    scores = {"RetainTestAcc": 90.0, "Df": 10.0, "MIA": 5.0}
    moved = {"RetainTestAcc": 91.0, "Df": 8.0, "MIA": 5.0}
    assert change((exact, scores), (rounded, moved)) == (25, [1, -2, 0])


# ---- the published records ----

WITHOUT_RECORDS = {"cifar20"}  # of a network that no committed run has started from yet


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*/*.safetensors")), ids=lambda p: p.stem)
def test_committed_records_are_of_the_network_next_to_them(path):
    metadata = checkpoints.read_metadata(path)
    model = models.create(metadata["net"], len(metadata["classes"]))
    checkpoints.fill(model, path)
    if path.parent.name in WITHOUT_RECORDS:
        return
    committed = []
    for folder in (path.parent, path.parent.with_name(f"{path.parent.name}-alpha")):
        if folder.exists():
            committed += records.read_all(folder)
    assert len(committed) > 40
    weights_hashes = {record["weights_hash"] for record in committed}
    data_hashes = {record["data_hash"] for record in committed}
    assert weights_hashes == {checkpoints.weights_hash(model)}
    assert data_hashes == {metadata["data_hash"]}


def test_there_are_committed_networks():
    assert list(PUBLISHED.glob("*/*.safetensors"))


HASHES = ("weights_hash", "data_hash", "test_hash", "forget_hash")


def test_committed_records_say_all_that_ran_and_lie_where_their_identity_says():
    paths = sorted(PUBLISHED.glob("*/**/*.json"))
    assert len(paths) > 400
    for path in paths:
        record = records.read(path)
        config = record["config"]
        hashes = {name: record[name] for name in HASHES}
        assert config["hyperparameters"].items() >= config["set"].items()
        assert identity.record_path({**config, "results": path.parents[1]}, hashes) == path


# ---- the audit's grid ----


@pytest.mark.parametrize("images", ["digits", "cifar10"])
def test_every_line_of_the_audits_grid_can_run(tmp_path, images):
    lists = tmp_path / "lists"
    lists.mkdir()
    for name in ("high", "low"):
        (lists / f"{name}.txt").write_text("1\n2\n")
    command = ["bash", ROOT / "experiments" / "audit.sh", images, "lines"]
    environment = {**os.environ, "PYTHON": sys.executable, "RESULTS": str(tmp_path)}
    environment |= {"NETWORKS": "9", "FEW": "9", "VERY_FEW": "8"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    given = []
    for number, text in enumerate(done.stdout.splitlines(), start=1):
        given += lines_of(number, text.encode())
    jobs = plan(given)
    assert jobs.mistakes == []
    methods = {job.args.method for job in jobs.jobs if not job.trains}
    assert methods == set(METHODS)
    seeds = {job.args.train_seed for job in jobs.jobs if not job.trains}
    assert seeds == set(range(9))
    assert sum(job.args.probes for job in jobs.jobs if not job.trains) > 8 * len(METHODS)


# ---- CIFAR-100 under its coarse labels ----


def test_cifar100_is_laid_out_under_its_coarse_labels(tmp_path):
    for seed, part in enumerate(("train", "test")):
        write_images(tmp_path / "cifar100" / part, CIFAR100_CLASSES, 1, seed, size=(32, 32))
    cifar20_folders.main([str(tmp_path / "cifar100"), str(tmp_path / "cifar20")])
    train, _ = datasets.load("Folder", tmp_path / "cifar20")
    coarse, _ = datasets.load("Cifar20", tmp_path)
    assert sorted(train.classes) == sorted(coarse.classes)
    assert sorted(train.fine_classes) == sorted(CIFAR100_CLASSES)
    coarse_of = {}
    for label, fine_label in zip(coarse.labels, coarse.fine_labels, strict=True):
        coarse_of[coarse.fine_classes[fine_label]] = coarse.classes[label]
    for label, fine_label in zip(train.labels, train.fine_labels, strict=True):
        assert coarse_of[train.fine_classes[fine_label]] == train.classes[label]
    link = tmp_path / "cifar20" / "train" / coarse_of["rocket"] / "rocket" / "0.png"
    assert link.stat().st_nlink == 2  # no copy
