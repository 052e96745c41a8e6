"""Ranges of seeds: which command lines they stand for, and that scripts and sweeps take them."""

import pytest
import safetensors.torch
import torch
from helpers import DIGITS, QUIET, assert_refused, call, records_of

from common.errors import UserError
from runs.seeds import spread

RETRAIN = (*DIGITS, "-forget_class", "3", "-method", "retrain", *QUIET)


def test_a_range_stands_for_a_line_each():
    lines = spread(["-net", "ViT", "-seeds", "9-11", "-gpu"])
    assert lines == [["-net", "ViT", "-seeds", seed, "-gpu"] for seed in ("9", "10", "11")]


def test_two_ranges_give_every_pair():
    lines = spread(["-train_seed", "0-1", "-seed", "3-4"])
    assert [(line[1], line[3]) for line in lines] == [
        ("0", "3"),
        ("0", "4"),
        ("1", "3"),
        ("1", "4"),
    ]


@pytest.mark.parametrize(
    "argv",
    [
        ["-seed", "7"],
        ["-forget_class", "0-9"],  # a class may be called so
        ["-seed", "-1"],  # which argparse refuses
        ["-seed", "1-2-3"],
        ["-seed"],
        [],
    ],
)
def test_all_else_stays_as_it_is(argv):
    assert spread(argv) == [argv]


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["-seed", "5-2"], "2-5"),
        (["-seed", "0-10000"], "at most 10000"),
        (["-seed", "0-200", "-train_seed", "0-200"], "40401 runs"),
        (["-seed", "0-1", "-out", "a.safetensors"], "omit it"),
        (["-train_seed", "0-1", "-save", "a.safetensors"], "omit it"),
    ],
)
def test_what_cannot_be_is_refused(argv, reason):
    with pytest.raises(UserError, match=reason):
        spread(argv)


def test_a_script_and_a_sweep_make_the_same_pool(tmp_path):
    """Of a range, and of one network alone: bitwise the same."""
    flags = (*DIGITS, "-epochs", "1")
    alone, script, sweep = (tmp_path / name for name in ("alone", "script", "sweep"))
    for folder in (alone, script, sweep):
        folder.mkdir()
    assert call("pretrain_model.py", *flags, "-seed", "2", cwd=alone).returncode == 0
    assert call("pretrain_model.py", *flags, "-seeds", "1-2", cwd=script).returncode == 0
    training = " ".join(["pretrain_model.py", *flags, "-seeds", "1-2"])
    retraining = " ".join(["forget_full_class_main.py", *RETRAIN, "-train_seed", "1-2"])
    done = call("sweep.py", "--jobs", "2", cwd=sweep, input=f"{training}\n{retraining}\n")
    assert done.returncode == 0, done.stderr
    for seed in (1, 2):
        assert_one_network([script, sweep], seed)
    assert_one_network([alone, script], 2)
    first, second = records_of(sweep).values()
    assert {first["config"]["train_seed"], second["config"]["train_seed"]} == {1, 2}
    assert first["scores"] != second["scores"]  # two networks, and no copies of one


def assert_one_network(folders, seed):
    """The network of a seed is bitwise the same in both folders."""
    name = f"checkpoints/ResNet18Slim-Digits-seed{seed}.safetensors"
    first, second = [safetensors.torch.load_file(folder / name) for folder in folders]
    for tensor in first:
        assert torch.equal(first[tensor], second[tensor]), tensor


def test_a_backward_range_ends_with_one_line(tmp_path):
    assert_refused(call("pretrain_model.py", *DIGITS, "-seeds", "5-2", cwd=tmp_path), "2-5")
