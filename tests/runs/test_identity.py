"""What makes two runs the same run."""

import argparse

import pytest

from runs import flags
from runs.identity import PARTS, goal_of, record_path, recorded
from runs.tasks import TASKS

OWN_FLAGS = {
    "full_class": ["-forget_class", "7"],
    "sub_class": ["-forget_class", "7"],
    "random": ["-forget_perc", "0.02"],
    "corrupted": ["-known_share", "1", "-corruption", "patch", "-corrupt_count", "9"],
}


def arguments(task, *more):
    dataset = "DigitShapes" if task == "sub_class" else "Digits"
    words = ["-net", "ResNet18Slim", "-dataset", dataset, "-method", "ssd"]
    return flags.arguments("", TASKS[task], [*words, *OWN_FLAGS[task], *more])


@pytest.mark.parametrize("task", TASKS)
def test_every_flag_is_a_part_of_the_identity_list(task):
    assert vars(arguments(task)).keys() <= PARTS.keys()


def test_what_a_record_keeps_of_the_flags():
    config = recorded(arguments("full_class"))
    assert config["forget_class"] == "7"
    assert not {"dry_run", "together", "corruption", "save", "validation"} & config.keys()
    config = recorded(arguments("corrupted", "-save", "x.safetensors"))
    assert config["corruption"] == "patch" and config["save"] == "x.safetensors"


def test_places_and_words_do_not_move_a_record_but_numbers_do():
    config = {
        "results": "results",
        "task": "full_class",
        "net": "Net",
        "dataset": "Set",
        "forget": "7",
        "method": "ssd",
        "seed": 0,
        "alpha": 1.0,
        "data": "here",
        "command": "python x",
    }
    path = record_path(config, {"weights_hash": "w"})
    assert path.name.startswith("Net-Set-7-ssd-seed0-")
    assert path == record_path({**config, "data": "there", "command": "y"}, {"weights_hash": "w"})
    assert path != record_path({**config, "alpha": 2.0}, {"weights_hash": "w"})
    assert path != record_path(config, {"weights_hash": "v"})
    assert path != record_path({**config, "a later part": 1}, {"weights_hash": "w"})


def test_a_goal_is_shared_by_runs_that_forget_the_same():
    ssd = arguments("full_class", "-alpha", "3")
    assert goal_of(ssd) == goal_of(arguments("full_class", "-method", "retrain"))
    assert goal_of(ssd) != goal_of(arguments("full_class", "-seed", "1"))
    assert goal_of(ssd) != goal_of(arguments("full_class", "-forget_class", "8"))
    assert goal_of(ssd) != goal_of(arguments("random"))
    assert goal_of(argparse.Namespace(**vars(ssd))) == goal_of(ssd)
