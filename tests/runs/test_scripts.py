"""The scripts as a user runs them: from another folder, killed, run twice, given nonsense."""

import copy
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from helpers import (
    CASES,
    DIGITS,
    NET,
    QUIET,
    ROOT,
    STORED,
    assert_refused,
    call,
    forget,
    only_record,
    write_images,
)

import pretrain_model
from common.errors import UserError
from runs import checkpoints
from runs.request import dial


@pytest.mark.parametrize("task", CASES)
def test_forget_leaves_one_record_and_does_not_run_twice(place, tmp_path, task):
    flags = (*CASES[task], "-method", "ssd_tuning", "-alpha", 2, "-results", tmp_path, "-seed", 1)
    first = forget(place, task, *flags)
    record = only_record(tmp_path)
    assert (
        record["task"] == task
        and record["config"]["method"] == "ssd"
        and record["config"]["alpha"] == 2
    )
    assert set(record["scores"]) == {"TestAcc", "RetainTestAcc", "Df", "MIA", "ZRF"}
    assert (
        set(record["seconds"]) == {"method", "evaluation", "full_importance"}
        and record["seconds"]["full_importance"] > 0
    )
    assert (
        0 < record["selected"] < 1
        and len(record["forget_hash"]) == 64
        and record["config"]["lambda"] == 1
    )
    assert {"versions", "commit", "device", "data_hash", "weights_hash", "date"} <= record.keys()
    assert (
        record["command"].startswith(f"python forget_{task}_main.py ")
        and "-alpha 2" in record["command"]
    )
    assert record["config"]["b"] == (128 if task == "random" else 64)
    assert (
        not {"corruption", "corrupt_count", "validation"} & record["config"].keys()
    )  # so older records keep their names
    assert record["sizes"]["D"] > record["sizes"]["D_f"] > 0
    assert f"D_f {record['scores']['Df']:.2f} %" in first
    again = forget(place, task, *flags)
    assert "done before" in again and only_record(tmp_path) == record
    forced = forget(place, task, *flags, "-force")
    assert "done before" not in forced
    repeated = only_record(tmp_path)
    assert (
        repeated["scores"] == record["scores"]
        and repeated["seconds"]["full_importance"] == record["seconds"]["full_importance"]
    )
    forget(place, task, *flags, "-alpha", 3)
    assert len(list(tmp_path.rglob("*.json"))) == 2  # another configuration, another record


def test_released_protocol_runs_and_has_a_record_of_its_own(place, tmp_path):
    for protocol in ("paper", "released"):
        for method in ("retrain", "ssd", "UNSIR", "blindspot"):
            forget(
                place,
                "full_class",
                *CASES["full_class"],
                "-method",
                method,
                "-protocol",
                protocol,
                "-results",
                tmp_path,
            )
    found = {}
    for path in tmp_path.rglob("*.json"):
        record = json.loads(path.read_text())
        found[record["config"]["protocol"], record["config"]["method"]] = record
    assert len(found) == 8
    assert (
        found["paper", "ssd"]["scores"]["ZRF"] < 0.9 < found["released", "ssd"]["scores"]["ZRF"]
    )  # N C for N


def test_importance_is_stored_once_and_survives_damage(place, tmp_path):
    shutil.copytree(place / "checkpoints", tmp_path / "checkpoints", ignore=STORED)
    flags = (*CASES["full_class"], "-method", "ssd", "-alpha", 2)
    forget(tmp_path, "full_class", *flags, "-results", tmp_path / "a")
    (stored,) = (tmp_path / "checkpoints").glob(
        "ResNet18Slim-Digits-seed0.importance-*.safetensors"
    )
    assert safetensors.torch.load_file(stored)["fc.weight"].shape == (10, 128)
    scores = only_record(tmp_path / "a")["scores"]
    data = bytearray(stored.read_bytes())
    data[-5] ^= 255
    stored.write_bytes(data)
    forget(tmp_path, "full_class", *flags, "-results", tmp_path / "b")
    assert only_record(tmp_path / "b")["scores"] == scores
    assert stored.read_bytes() != bytes(data)  # computed anew, and kept
    forget(
        tmp_path,
        "full_class",
        "-dataset",
        "Digits",
        "-forget_class",
        "3",
        *flags[4:],
        "-results",
        tmp_path / "c",
    )
    assert (
        len(list((tmp_path / "checkpoints").glob("*importance*"))) == 1
    )  # I_D does not depend on D_f
    forget(tmp_path, "full_class", *flags, "-importance", "sample", "-results", tmp_path / "d")
    forget(tmp_path, "full_class", *flags, "-b", 32, "-results", tmp_path / "e")
    forget(tmp_path, "full_class", *flags, "-protocol", "released", "-results", tmp_path / "f")
    forget(
        tmp_path,
        "full_class",
        *flags[:4],
        "-method",
        "lfssd",
        "-alpha",
        2,
        "-results",
        tmp_path / "g",
    )
    assert len(list((tmp_path / "checkpoints").glob("*importance*"))) == 5


def pretrain_process(folder, out):
    command = [
        sys.executable,
        "-W",
        "ignore",
        ROOT / "pretrain_model.py",
        *DIGITS,
        "-epochs",
        "6",
        "-seed",
        "3",
        "-out",
        out,
    ]
    command.append("-force")  # which must not throw away the state of the stopped training either
    with open(folder / "out", "w") as out:
        return subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_pretraining_killed_goes_on_bitwise(tmp_path):
    undisturbed = pretrain_process(tmp_path, "whole.safetensors")
    assert undisturbed.wait(300) == 0
    for _ in range(2):  # killed twice, each time after another epoch was kept
        process = pretrain_process(tmp_path, "killed.safetensors")
        before = {path.stat().st_mtime_ns for path in tmp_path.glob(".killed-*.partial")}
        for _ in range(3000):
            now = {path.stat().st_mtime_ns for path in tmp_path.glob(".killed-*.partial")}
            if now != before and now:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "killed.safetensors").exists()
    process = pretrain_process(tmp_path, "killed.safetensors")
    assert process.wait(300) == 0 and "going on after epoch" in (tmp_path / "out").read_text()
    whole, killed = (
        safetensors.torch.load_file(tmp_path / f"{name}.safetensors")
        for name in ("whole", "killed")
    )
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    assert not list(tmp_path.glob(".*partial"))


def test_pretraining_twice_and_otherwise(place):
    again = call("pretrain_model.py", *DIGITS, "-epochs", 2, cwd=place)
    assert again.returncode == 0 and "done before" in again.stdout
    assert_refused(
        call("pretrain_model.py", *DIGITS, "-epochs", 3, cwd=place), "recipe", "-out", "-force"
    )


def test_released_zrf_of_one_image_is_refused_before_the_work(place, tmp_path):
    flags = (*CASES["random"], "-method", "finetune", "-results", tmp_path)
    with pytest.raises(UserError, match="-b 28"):
        forget(place, "random", *flags, "-protocol", "released", "-b", 28)
    assert not list(tmp_path.rglob("*.json"))


def test_released_pretraining_keeps_the_best_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    accuracies = iter([20.0, 60.0, 40.0, 60.0])  # after each epoch, then of what is kept
    saved = []
    save = checkpoints.save

    def noted(model, path, metadata):
        saved.append(copy.deepcopy(model.state_dict()))
        save(model, path, metadata)

    monkeypatch.setattr(pretrain_model, "accuracy", lambda logits, labels: next(accuracies))
    monkeypatch.setattr(checkpoints, "save", noted)
    metadata = pretrain_model.main([*DIGITS, "-epochs", "3", "-protocol", "released"])
    assert metadata["accuracy"] == 60 and len(saved) == 3  # after epochs 1 and 2, then the end
    (path,) = (tmp_path / "checkpoints").glob("*.safetensors")
    assert path.name == "ResNet18Slim-Digits-seed0-released.safetensors"
    kept = safetensors.torch.load_file(path)
    assert all(torch.equal(kept[name], saved[1][name]) for name in kept)


BAD = [
    (("-forget_class", "sevem"), ["'sevem'", "nearest"]),
    (("-forget_class", "10"), ["'10'"]),
    (("-forget_class", "7", "-gpu"), ["-gpu", "CPU"]),
    (("-forget_class", "7", "-classes", "20"), ["-classes 20", "has 10"]),
    (
        ("-forget_class", "7", "-weight_path", "nowhere.safetensors"),
        ["nowhere.safetensors", "pretrain_model.py"],
    ),
    (("-forget_class", "7", "-train_seed", "5"), ["seed5", "pretrain_model.py"]),
    (("-forget_class", "7", "-alpha", "-1"), ["-alpha -1", "at least 0"]),
    (("-forget_class", "7", "-alpha", "inf"), ["-alpha inf"]),
    (("-forget_class", "7", "-alph", "3"), ["-alph"]),
    (("-forget_class", "7", "-seed", "9" * 30), ["2**63"]),
    (("-forget_class", "7", "-alpha", "nan"), ["-alpha nan"]),
    (("-forget_class", "7", "-method", "magic"), ["'magic'", "lfssd"]),
    (("-forget_class", "7", "-set", "images=3"), ["images=3", "nothing to set"]),
    (("-forget_class", "7", "-method", "ntk", "-set", "memory=0.001"), ["GB", "-set memory=1"]),
    (("-forget_class", "7", "-b", "0"), ["-b 0"]),
    (("-forget_class", "7", "-colour", "red"), ["-colour"]),
    ((), ["-forget_class"]),
    (
        (
            "-forget_class",
            "1",
            "-dataset",
            "DigitShapes",
            "-weight_path",
            "checkpoints/ResNet18Slim-Digits-seed0.safetensors",
        ),
        ["Digits", "DigitShapes"],
    ),
    (
        (
            "-forget_class",
            "7",
            "-net",
            "ResNet18",
            "-weight_path",
            "checkpoints/ResNet18Slim-Digits-seed0.safetensors",
        ),
        ["ResNet18Slim", "ResNet18;"],
    ),
    (
        ("-forget_class", "cat", "-dataset", "Folder", "-data", "nowhere"),
        ["nowhere/train", "-data"],
    ),
]


@pytest.mark.parametrize(("flags", "words"), BAD)
def test_bad_input_says_what_is_wrong(place, tmp_path, flags, words, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError) as error:
        forget(
            place,
            "full_class",
            "-dataset",
            "Digits",
            "-method",
            "ssd",
            "-results",
            tmp_path,
            *flags,
        )
    assert all(word in str(error.value) for word in words), str(error.value)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("script", ["full_class", "sub_class", "random"])
def test_bad_input_is_one_line_and_exit_code_2(place, script):
    flags = ("-forget_perc", "7") if script == "random" else ("-forget_class", "sevem")
    done = call(
        f"forget_{script}_main.py",
        *NET,
        "-dataset",
        "DigitShapes",
        "-method",
        "ssd",
        *flags,
        cwd=place,
    )
    assert_refused(done, flags[1])


def test_folder_of_own_images_from_pretraining_to_report(image_folder, tmp_path):
    folder = ("-dataset", "Folder", "-data", image_folder)
    assert call("pretrain_model.py", *NET, *folder, "-epochs", 1, cwd=tmp_path).returncode == 0
    for method in ("baseline", "ssd"):
        forget(
            tmp_path, "full_class", *folder, "-forget_class", "dog", "-method", method, "-alpha", 2
        )
    broken = image_folder / "train" / "cat" / "2.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UserError, match=r"cat/2\.png"):
        forget(tmp_path, "full_class", *folder, "-forget_class", "dog", "-method", "ssd")
    report = call("report.py", cwd=tmp_path)
    assert report.returncode == 0 and "| baseline" in report.stdout
    assert len(list((tmp_path / "results").glob("report*.svg"))) == 7


def test_changed_test_images_are_another_run(image_folder, tmp_path):
    folder = ("-dataset", "Folder", "-data", image_folder)
    assert call("pretrain_model.py", *NET, *folder, "-epochs", 1, cwd=tmp_path).returncode == 0
    flags = (*folder, "-forget_class", "dog", "-method", "baseline")
    forget(tmp_path, "full_class", *flags)
    shutil.rmtree(image_folder / "test")
    write_images(image_folder / "test", ["cat", "dog", "owl"], 3, seed=7)
    assert "done before" not in forget(tmp_path, "full_class", *flags)


def test_published_dials():
    """The tables of the forget scripts; a data set's row goes before a network's."""
    wanted = [
        ("full_class", "ssd", "ResNet18", "Cifar20", 10, 1),
        ("full_class", "ssd", "ViT", "Cifar100", 5, 1),
        ("full_class", "ssd", "ResNet18", "PinsFaceRecognition", 50, 0.1),
        ("sub_class", "ssd", "ResNet18", "Cifar20", 10, 1),
        ("sub_class", "ssd", "ViT", "Cifar20", 25, 1),
        ("random", "ssd", "ResNet18", "Cifar10", 10, 1),
        ("random", "ssd", "ViT", "Cifar10", 10, 1),
        ("full_class", "lfssd", "ViT", "Cifar20", 5, 1),
        ("full_class", "lfssd", "ResNet18", "Cifar100", 10, 1),
        ("full_class", "lfssd", "ResNet18", "PinsFaceRecognition", 10, 1),
        ("sub_class", "lfssd", "ViT", "Cifar20", 10, 1),
        ("random", "lfssd", "ResNet18", "Cifar10", 3.5, 1),
    ]
    for task, method, net, dataset, *dials in wanted:
        script = importlib.import_module(f"forget_{task}_main")
        args = SimpleNamespace(
            method=method, net=net, dataset=dataset, alpha=None, **{"lambda": None}
        )
        assert [
            dial(args, flag, table)
            for flag, table in (("alpha", script.ALPHA), ("lambda", script.LAMBDA))
        ] == dials


def test_unwritable_results_lose_nothing(place, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot"):
        forget(
            place,
            "full_class",
            *CASES["full_class"],
            "-method",
            "baseline",
            "-results",
            tmp_path / "file",
        )


def test_full_disk_is_one_clear_error(place, tmp_path):
    """A limit on file size stands for a full disk: nothing is written, nothing half of it left."""
    script = ROOT / "pretrain_model.py"
    command = f"exec '{sys.executable}' -W ignore '{script}' {' '.join(DIGITS)} -epochs 1"
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; ulimit -f 512; {command}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert_refused(done, "cannot write")
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or path.suffix == ".lock"


def test_a_place_tried_by_a_killed_process_is_left_empty(tmp_path):
    """kill -9 in the slowest moment: fsync."""
    code = f"""
import os, signal
from common import files
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
files.check_writable({str(tmp_path)!r})
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -signal.SIGKILL
    assert not list(tmp_path.iterdir())


def test_wandb_offline_holds_the_record(place, tmp_path):
    environment = {**os.environ, "WANDB_DIR": str(tmp_path), "NETRC": str(tmp_path / "none")}
    environment.pop("WANDB_API_KEY", None)
    done = call(
        "forget_full_class_main.py",
        *DIGITS,
        *CASES["full_class"][2:],
        "-method",
        "ssd",
        "-alpha",
        2,
        "-wandb",
        "offline",
        "-results",
        tmp_path,
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert "wandb sync" in done.stdout
    record = only_record(tmp_path / "full_class")
    (log,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    config, history, run = read_offline_run(log)
    for name in ("TestAcc", "RetainTestAcc", "ZRF", "MIA", "Df"):
        assert history[name] == pytest.approx(record["scores"][name])
    assert history["MethodTime"] == pytest.approx(record["seconds"]["method"])
    assert (
        config["alpha"] == 2
        and config["forget"] == "7"
        and config["forget_hash"] == record["forget_hash"]
    )
    assert run.run_group == "full_class-ResNet18Slim-Digits" and "ssd" in run.tags


def log_records(data):
    """The byte strings in a W&B log: a header of 7 bytes, then LevelDB's log format.

    That is blocks of 32 KiB with pieces of records.
    """
    at, record = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # what is left of a block is too short for a piece's header
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield record
            record = b""


def read_offline_run(path):
    """(config, history, run) of a W&B offline log."""
    from wandb.proto import wandb_internal_pb2

    config, history, run = {}, {}, None
    for data in log_records(path.read_bytes()):
        entry = wandb_internal_pb2.Record()
        entry.ParseFromString(data)
        kind = entry.WhichOneof("record_type")
        if kind == "run":
            run = entry.run
            config.update({item.key: json.loads(item.value_json) for item in run.config.update})
        elif kind == "history":
            for item in entry.history.item:
                history[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
    return config, history, run


WITHOUT_WANDB = f"""
import importlib.util, sys
sys.path.insert(0, {str(ROOT)!r})
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "wandb" else find_spec(name, *rest)
sys.modules["wandb"] = None
import forget_full_class_main
forget_full_class_main.main(sys.argv[1:])
"""


def test_without_wandb_everything_else_works(place, tmp_path):
    flags = [*DIGITS, "-forget_class", "7", "-method", "baseline", "-results", str(tmp_path)]
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_WANDB, *flags]

    def run(*more):
        return subprocess.run(
            [*command, *more], cwd=place, capture_output=True, text=True, timeout=300
        )

    done = run()
    assert done.returncode == 0, done.stderr
    assert "pip install wandb" in run("-wandb", "online").stderr


def test_own_settings_of_a_method(place, tmp_path):
    flags = (*CASES["full_class"], "-method", "amnesiac", "-results", tmp_path)
    printed = forget(place, "full_class", *flags, "-set", "lr=0.5", "batch_size=128", "epochs=1")
    record = only_record(tmp_path)
    assert record["config"]["set"] == {"epochs": 1, "lr": 0.5} and "epochs=1" in printed
    forget(place, "full_class", *flags, "-set", "epochs=1")
    assert len(list(tmp_path.rglob("*.json"))) == 2
    for text, words in {
        "epoch=1": "batch_size=128",
        "epochs=x": "whole number",
        "epochs=0": "between 1",
        "lr=nan": "between 0",
        "lr": "a number",
        "lr=1e38": "1e30",
        "epochs=" + "9" * 400: "1e9",
    }.items():
        with pytest.raises(UserError, match=words):
            forget(place, "full_class", *flags, "-set", text)
    with pytest.raises(UserError, match="given twice"):
        forget(place, "full_class", *flags, "-set", "lr=1", "lr=2")
    with pytest.raises(UserError, match="take more images"):
        forget(
            place,
            "random",
            "-dataset",
            "Digits",
            "-forget_perc",
            "1e-9",
            "-method",
            "bad_teacher",
            "-set",
            "retain_share=0",
        )


def test_too_little_memory_is_one_line(place, tmp_path):
    done = call(
        "forget_full_class_main.py",
        *NET,
        *CASES["full_class"],
        "-method",
        "unsir",
        "-set",
        "noise_images=1000000000",
        *QUIET,
        "-results",
        tmp_path,
        cwd=place,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**35, 2**35)),
    )
    assert_refused(done, "memory does not suffice", "-set")


def test_collapse_is_loud(place, tmp_path):
    """A learning rate of 0.5 ruins the network.

    The original's D_r is measured, or read from the baseline's record.
    """
    flags = (*CASES["full_class"], "-results", tmp_path, "-method")
    assert "COLLAPSED: D_r" in forget(place, "full_class", *flags, "amnesiac", "-set", "lr=0.5")
    (said,) = only_record(tmp_path)["collapse"]
    forget(place, "full_class", *flags, "baseline")
    forget(place, "full_class", *flags, "amnesiac", "-set", "lr=0.5", "-force")
    found = {}
    for path in tmp_path.rglob("*.json"):
        record = json.loads(path.read_text())
        found[record["config"]["method"]] = record
    assert found["amnesiac"]["collapse"] == [said]
    assert found["baseline"]["collapse"] == []
    forget(place, "full_class", *flags, "retrain")
    path = next(tmp_path.rglob("*retrain*.json"))
    retrained = json.loads(path.read_text())
    retrained["scores"]["Df"] = 100.0  # made up: the ruined network's D_f falls far below it
    path.write_text(json.dumps(retrained))
    assert "points below retrain's" in forget(
        place, "full_class", *flags, "amnesiac", "-set", "lr=0.5", "-force"
    )
