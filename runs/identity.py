"""What makes two runs the same run, and so where a record lies.

PARTS is the one list of what a run's configuration consists of. Whoever asks which runs belong
together asks here: where a record lies, which retrain is a run's goal, which runs share a row of a
table, which flags tune.py sets.
"""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path

from common.files import file_name, sha256
from splits import SPELLINGS


@dataclass(frozen=True)
class Part:
    """A part of a run's configuration, mostly a flag, and what another value of it means."""

    identifies: bool = True  # another run, with a record of its own
    # Another goal: a run and the retrain that is its goal share this part. What is forgotten and
    # the places are shared too; goal_of adds them.
    of_goal: bool = False
    of_row: bool = False  # another row of a table
    tuned: bool = False  # nothing that a user of tune.py may set: it does, or has no use for it
    recorded: str = "always"  # or "if given", or "never"


PLACE = Part(identifies=False)  # where something lies; the hashes in a record say what it is

PARTS = {
    "task": Part(),
    "net": Part(of_goal=True),
    "dataset": Part(of_goal=True),
    "protocol": Part(of_goal=True),
    "departures": Part(),  # from the paper, by name: what the protocol stands for
    "train_numerics": Part(),
    "gpu": Part(),
    "validation": Part(of_goal=True, tuned=True, recorded="if given"),
    "duplicates": Part(of_goal=True),
    "normalise": Part(identifies=False, of_goal=True),  # the hashes of the data do
    # what is forgotten
    "forget": Part(),
    "forget_class": Part(identifies=False),  # "forget" is its full name
    "forget_perc": Part(of_goal=True),
    "forget_list": Part(identifies=False, of_goal=True, recorded="if given"),  # forget_hash does
    "corruption": Part(of_goal=True, recorded="if given"),
    "corrupt_count": Part(of_goal=True, recorded="if given"),
    "known_share": Part(of_goal=True),
    # how
    "method": Part(),
    "seed": Part(of_goal=True),
    "train_seed": Part(),
    "b": Part(of_goal=True, of_row=True),
    "alpha": Part(of_row=True, tuned=True),
    "lambda": Part(of_row=True, tuned=True),
    "importance": Part(of_row=True),
    "numerics": Part(of_goal=True, of_row=True),
    "hyperparameters": Part(),
    "outside": Part(recorded="if given"),  # the files of what stands outside
    "set": Part(identifies=False, tuned=True),  # "hyperparameters" holds all that it sets
    "recipe": Part(identifies=False),  # the weights' hash stands for it
    "mia": Part(),
    # where things lie, and what a run does besides
    "data": PLACE,
    "weight_path": PLACE,
    "results": Part(identifies=False, tuned=True),
    "save": Part(identifies=False, recorded="if given"),
    "outputs": Part(identifies=False, recorded="never"),  # the record's own parts say
    "probes": Part(identifies=False, recorded="never"),
    "wandb": Part(identifies=False, tuned=True),
    "force": Part(identifies=False, tuned=True),
    "dry_run": Part(identifies=False, tuned=True, recorded="never"),
    "command": Part(identifies=False),
    "together": Part(identifies=False, recorded="never"),  # of older versions; does nothing
    # what is checked against the data
    "classes": Part(identifies=False),
    "superclasses": Part(identifies=False),
    "subclasses": Part(identifies=False),
}
# The parts that set rows of a table apart, in the order of report.csv, and the flags that tune.py
# sets.
ROW = tuple(name for name, part in PARTS.items() if part.of_row)
TUNED = tuple(name for name, part in PARTS.items() if part.tuned)


def recorded(args: argparse.Namespace) -> dict:
    """{name: value} of the flags that a record keeps."""
    config = {}
    for name, value in vars(args).items():
        when = PARTS.get(name, Part()).recorded
        if when == "always" or (when == "if given" and value):
            config[name] = value
    return config


def record_path(config: dict, hashes: dict) -> Path:
    """Where the record of a run lies: a readable name, then a hash of all that moves its numbers.

    config: a record's configuration; hashes: of the weights and the data.
    """
    identity = dict(hashes)
    for name, value in config.items():
        if PARTS.get(name, Part()).identifies:
            identity[name] = value
    key = sha256(json.dumps(identity, sort_keys=True))[:10]
    words = [file_name(config[part]) for part in ("net", "dataset", "forget", "method")]
    name = f"{'-'.join(words)}-seed{config['seed']}-{key}.json"
    return Path(config["results"]) / config["task"] / name


def goal_of(args: argparse.Namespace) -> tuple:
    """What a run shares with the retrain that is its goal; equal for two runs with one goal."""
    forgotten = getattr(args, "forget_class", "")
    values = [args.task, SPELLINGS.get(forgotten, forgotten)]
    values += [os.path.abspath(getattr(args, name)) for name in ("data", "weight_path", "results")]
    for name, part in PARTS.items():
        if part.of_goal:
            values.append(getattr(args, name, None))
    return tuple(values)
