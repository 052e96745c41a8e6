"""The unlearned network: kept, scored again, forgotten from twice; what its record says."""

import json
import re
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from helpers import CASES, DIGITS, assert_refused, call, forget, only_record

import datasets
import metrics
import pretrain_model
import score
from common.errors import UserError
from methods import METHODS
from runs import checkpoints


def saved(place, folder, *flags, task="full_class", name="net.safetensors", results="results"):
    """(the path of the network that a run has kept, its record)."""
    path = folder / name
    forget(place, task, *flags, "-save", path, "-results", folder / results)
    record = Path(checkpoints.read_metadata(path)["record"])
    return path, json.loads(record.read_text())


@pytest.mark.parametrize(
    "task, flags",
    [
        ("full_class", ("-method", "ssd", "-alpha", 2)),
        ("full_class", ("-method", "bad_teacher", "-protocol", "released")),
        ("sub_class", ("-method", "unsir", "-set", "noise_steps=2", "repeats=1")),
        ("random", ("-method", "retrain", "-seed", 1)),
        ("full_class", ("-method", "baseline")),
    ],
)
def test_a_saved_network_scores_as_its_record_says_to_the_last_digit(
    place, tmp_path, monkeypatch, capsys, task, flags
):
    path, record = saved(place, tmp_path, *CASES[task], *flags, task=task)
    metadata = checkpoints.read_metadata(path)
    assert metadata["method"] == record["config"]["method"]
    assert metadata["checkpoint"]["weights_hash"] == record["weights_hash"]
    assert metadata["accuracy"] == record["scores"]["TestAcc"]
    assert metadata["hyperparameters"].items() >= record["config"]["hyperparameters"].items()
    if record["config"]["method"] == "baseline":
        assert metadata["forgotten"] == []
    else:
        (entry,) = metadata["forgotten"]
        assert len(entry["images"]) == record["sizes"]["D_f"]
        assert entry["forget"] == record["config"]["forget"]
    monkeypatch.chdir(place)
    assert score.main([str(path)]) == record["scores"]
    assert "equal to the record" in capsys.readouterr().out


def test_another_network_under_that_name_is_found_out(place, tmp_path, monkeypatch, capsys):
    path, _ = saved(place, tmp_path, *CASES["full_class"], "-method", "ssd", "-alpha", 2)
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    state = safetensors.torch.load_file(path)
    state["fc.bias"] = state["fc.bias"].roll(1)
    state["fc.weight"] = state["fc.weight"].roll(1, 0)
    safetensors.torch.save_file(state, path, metadata)
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as ended:
        score.main([str(path)])
    assert ended.value.code == 1 and "NOT equal" in capsys.readouterr().out


def test_score_refuses_what_no_forget_script_has_kept(place, tmp_path):
    checkpoint = place / "checkpoints" / "ResNet18Slim-Digits-seed0.safetensors"
    assert_refused(
        call("score.py", checkpoint, cwd=place), "no network that a forget script has kept"
    )
    assert_refused(call("score.py", tmp_path / "none.safetensors", cwd=place), "no checkpoint at")


def test_forgetting_twice(place, tmp_path, monkeypatch):
    """What is gone stays gone: in the second run no part has images of the first class."""
    flags = ("-dataset", "Digits", "-forget_class", 0, "-method", "amnesiac")
    first, record = saved(place, tmp_path, *flags, name="first.safetensors")
    again = ("-dataset", "Digits", "-forget_class", 1, "-weight_path", first)
    second, twice = saved(place, tmp_path, *again, "-method", "amnesiac", name="second.safetensors")
    assert record["forgotten_before"] == []
    assert [entry["forget"] for entry in twice["forgotten_before"]] == ["0"]
    assert twice["sizes"]["D"] == record["sizes"]["D"] - record["sizes"]["D_f"]
    metadata = checkpoints.read_metadata(second)
    assert [entry["forget"] for entry in metadata["forgotten"]] == ["0", "1"]
    assert metadata["checkpoint"]["path"] == str(first)
    monkeypatch.chdir(place)
    assert score.main([str(second)]) == twice["scores"]
    # D_r: the test images of the eight digits that are left.
    train, test = datasets.load("Digits")
    model, _, _ = checkpoints.load(second, "ResNet18Slim", train)
    logits = metrics.logits_of(model, test)
    left = test.labels > 1
    assert twice["scores"]["RetainTestAcc"] == metrics.accuracy(logits[left], test.labels[left])
    with pytest.raises(UserError, match="has forgotten all of that before"):
        forget(place, "full_class", *again[:3], 0, *again[4:], "-method", "amnesiac")


def test_random_images_forgotten_before_are_in_no_part_of_the_next_split(place, tmp_path):
    first, record = saved(
        place, tmp_path, *CASES["random"], "-method", "finetune", "-set", "epochs=1", task="random"
    )
    _, twice = saved(
        place,
        tmp_path,
        *CASES["random"],
        "-method",
        "baseline",
        "-seed",
        1,
        "-weight_path",
        first,
        task="random",
        name="b.safetensors",
    )
    assert twice["sizes"]["D"] == record["sizes"]["D"] - record["sizes"]["D_f"]
    assert 0 < twice["sizes"]["D_f"] <= record["sizes"]["D_f"]


def test_save_runs_again_where_the_record_is_there_and_the_network_is_not(place, tmp_path):
    flags = (*CASES["full_class"], "-method", "ssd", "-alpha", 2)
    forget(place, "full_class", *flags, "-results", tmp_path / "results")
    path, _ = saved(place, tmp_path, *flags)
    before = path.stat().st_mtime_ns
    told = forget(place, "full_class", *flags, "-save", path, "-results", tmp_path / "results")
    assert "done before" in told and path.stat().st_mtime_ns == before
    with pytest.raises(UserError, match="is there and not this run's"):
        forget(
            place,
            "full_class",
            *flags,
            "-alpha",
            3,
            "-save",
            path,
            "-results",
            tmp_path / "results",
        )


def test_save_refusals(place, tmp_path):
    def refused(*flags):
        return call(
            "forget_full_class_main.py",
            *DIGITS,
            "-forget_class",
            7,
            "-method",
            "baseline",
            *flags,
            cwd=place,
        )

    assert_refused(refused("-save", "net.pth"), "-save net.pth", ".safetensors")
    checkpoint = "checkpoints/ResNet18Slim-Digits-seed0.safetensors"
    assert_refused(refused("-save", checkpoint), "the network that this run starts from")


def test_pretraining_goes_on_from_a_saved_network_without_what_it_has_forgotten(
    place, tmp_path, monkeypatch
):
    first, record = saved(place, tmp_path, *CASES["full_class"], "-method", "ssd", "-alpha", 2)
    monkeypatch.chdir(place)
    out = tmp_path / "on.safetensors"
    start_and_end = ("-weight_path", str(first), "-out", str(out))
    flags = [*map(str, DIGITS), *start_and_end, "-epochs", "1", "-lr", "0.001"]
    sizes = []
    monkeypatch.setattr(
        pretrain_model, "learn", lambda model, train, *rest: sizes.append(len(train)) or 1.0
    )
    metadata = pretrain_model.main(flags)
    assert sizes == [record["sizes"]["D"] - record["sizes"]["D_f"]]
    assert metadata["checkpoint"]["path"] == str(first)
    assert [entry["forget"] for entry in metadata["forgotten"]] == ["7"]
    # Nothing was learned here: the weights are those that it started from.
    start, end = safetensors.torch.load_file(first), safetensors.torch.load_file(out)
    assert all(torch.equal(start[name], end[name]) for name in start)
    with pytest.raises(UserError, match="name with -out"):
        pretrain_model.main(flags[:6])


# ---- what a record says ----


@pytest.mark.parametrize(
    "method", [name for name in METHODS if name not in ("fisher", "ntk", "potion")]
)
def test_a_record_holds_every_hyperparameter_in_effect(place, tmp_path, method):
    flags = ("-alpha", 2) if method in ("ssd", "lfssd") else ()
    forget(
        place, "full_class", *CASES["full_class"], "-method", method, *flags, "-results", tmp_path
    )
    config = only_record(tmp_path)["config"]
    values = config["hyperparameters"]
    assert None not in values.values() and config["set"] == {}
    assert set(METHODS[method].settable) <= values.keys()
    assert config["recipe"]["epochs"] == 2
    assert config["mia"] == metrics.MIA_FIT
    assert config["departures"] == []
    some_of_them = {
        "finetune": {
            "epochs": 5,
            "lr": 0.02,
            "batch_size": 64,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "optimizer": "SGD",
        },
        "amnesiac": {
            "epochs": 3,
            "lr": 1e-4,
            "batch_size": 128,
            "optimizer": "Adam",
            "betas": [0.9, 0.999],
        },
        "jit": {"sigma": 0.5, "eta": 3e-4, "batch_size": 128, "copies": 25, "momentum": 0.0},
        "retrain": {
            "epochs": 2,
            "milestones": [1, 1, 2],
            "lr": 0.05,
            "batch_size": 64,
            "augment": True,
            "weight_decay": 5e-4,
        },
        "scrub": {
            "kl_weight": 1.0,
            "ce_weight": 5.0,
            "clip": 0.0,
            "study": "stated",
            "batch_size": 64,
        },
        "ssd": {"measure": "fisher", "batch_size": 64},
        "baseline": {},
    }
    assert some_of_them.get(method, {}).items() <= values.items()


def test_a_changed_default_is_another_run(place, tmp_path, monkeypatch):
    flags = (*CASES["full_class"], "-method", "finetune", "-set", "epochs=1", "-results", tmp_path)
    forget(place, "full_class", *flags)
    assert "done before" in forget(place, "full_class", *flags)
    monkeypatch.setitem(METHODS["finetune"].unlearn.__kwdefaults__, "lr", 0.03)
    assert "done before" not in forget(place, "full_class", *flags)
    assert len(list(tmp_path.rglob("*.json"))) == 2
    monkeypatch.setitem(metrics.MIA_FIT, "tol", 1e-4)
    assert "done before" not in forget(place, "full_class", *flags)
    assert len(list(tmp_path.rglob("*.json"))) == 3


def test_a_value_equal_to_the_default_is_the_same_run(place, tmp_path):
    flags = (*CASES["full_class"], "-method", "jit", "-results", tmp_path)
    forget(place, "full_class", *flags)
    assert "done before" in forget(
        place, "full_class", *flags, "-set", "sigma=0.5", "eta=0.0003", "batch_size=128"
    )
    forget(place, "full_class", *flags, "-set", "sigma=0.5", "-force")
    # A label names only what differs from the default.
    assert only_record(tmp_path)["config"]["set"] == {}


def test_a_record_says_each_classs_accuracy(place, tmp_path):
    forget(place, "full_class", *CASES["full_class"], "-method", "baseline", "-results", tmp_path)
    record = only_record(tmp_path)
    train, test = datasets.load("Digits")
    model, _, _ = checkpoints.load(
        place / "checkpoints" / "ResNet18Slim-Digits-seed0.safetensors", "ResNet18Slim", train
    )
    right = metrics.logits_of(model, test).argmax(1) == test.labels
    for digit in range(10):
        share = right[test.labels == digit].double().mean().item()
        assert record["class_accuracy"][str(digit)] == pytest.approx(100 * share)
    assert record["class_accuracy"]["7"] == pytest.approx(record["scores"]["Df"])
    predictions = record["forget_predictions"]
    count = int((test.labels == 7).sum())
    assert sum(predictions.values()) == count
    assert predictions["7"] == pytest.approx(count * record["scores"]["Df"] / 100)


def test_a_method_that_changes_nothing_is_said_to(place, tmp_path):
    flags = (*CASES["full_class"], "-results", tmp_path)
    for first in ((), ("-method", "baseline")):  # with the baseline's record and without
        if first:
            forget(place, "full_class", *flags, *first)
        printed = forget(place, "full_class", *flags, "-method", "ssd", "-alpha", 30, "-force")
        assert re.search(r"UNCHANGED: D_f (\S+) % was \1 % before", printed)
    told = [json.loads(path.read_text()) for path in tmp_path.rglob("*.json")]
    unchanged = {record["config"]["method"]: record["unchanged"] for record in told}
    assert len(unchanged["ssd"]) == 1 and unchanged["baseline"] == []
    printed = forget(place, "full_class", *flags, "-method", "ssd", "-alpha", 0.5)
    assert "UNCHANGED" not in printed
