"""The experiments' own code: orders of D, SSD's outcome beside the method's, and whose network the committed records are of."""

import copy
from pathlib import Path

import torch
from helpers import small_split

import models
from experiments.order import outcome, readings
from learning.images import batches
from learning.training import predict
from methods import ssd
from runs import checkpoints, identity, records


def test_every_order_is_of_the_same_images():
    split = small_split("full_class")
    found = {
        what: (full, size, single)
        for what, full, size, single in readings(split.train, split.test, split, split.forget_class)
    }
    assert all(
        sorted(full.index.tolist()) == sorted(split.full.index.tolist())
        for full, *_ in found.values()
    )
    by_class, released, shuffled = (
        found[what][0]
        for what in ("by class, 64 (paper)", "released: D_f last, 64", "shuffled (1), 64")
    )
    assert torch.equal(by_class.index, split.full.index)
    assert torch.equal(released.index, torch.cat([split.retain.index, split.forget.index]))
    assert not torch.equal(shuffled.index, by_class.index)
    assert {size for _, size, _ in found.values()} == {16, 64, 128, 256} and found[
        "each sample's own"
    ][2]


def test_outcome_is_the_methods():
    split = small_split("full_class")
    torch.manual_seed(0)
    model = models.ResNet18(split.num_classes, width=8).eval()
    weights, notes = copy.deepcopy(model.state_dict()), {}
    chosen, scores = outcome(model, split, models.untrained(model), 1.5, size=16)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    other, _ = outcome(model, split, models.untrained(model), 1.5, size=4)
    ssd.unlearn(model, split, alpha=1.5, lam=1, batch_size=16, notes=notes)
    assert float(chosen.double().mean()) == notes["selected"] > 0 and not torch.equal(chosen, other)
    assert scores["TestAcc"] == 100 * float(
        (predict(model, batches(split.test, model, 64)).argmax(1) == split.test.labels)
        .double()
        .mean()
    )


def test_committed_records_are_of_the_network_beside_them():
    networks = list((Path(__file__).parent.parent / "published").glob("*/*.safetensors"))
    assert networks
    for path in networks:
        model = models.ResNet18(10, width=16)
        checkpoints.fill(model, path)
        folders = [
            folder for folder in (path.parent, Path(f"{path.parent}-alpha")) if folder.exists()
        ]
        found = [record for folder in folders for record in records.read_all(folder)]
        assert len(found) > 40 and {record["weights_hash"] for record in found} == {
            checkpoints.weights_hash(model)
        }
        assert {record["data_hash"] for record in found} == {
            checkpoints.read_metadata(path)["data_hash"]
        }


def test_committed_records_say_all_that_ran_and_lie_where_their_identity_says():
    published = Path(__file__).parent.parent / "published"
    paths = sorted(published.rglob("*.json"))
    assert len(paths) > 700
    for path in paths:
        record = records.read(path)
        config = record["config"]
        hashes = {
            name: record[name] for name in ("weights_hash", "data_hash", "test_hash", "forget_hash")
        }
        assert config["hyperparameters"].items() >= config["set"].items()
        assert identity.record_path({**config, "results": path.parents[1]}, hashes) == path
