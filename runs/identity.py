"""What makes two runs the same run, and so where a record lies."""

import json
from pathlib import Path

from common.files import sha256
from runs.flags import file_name

NOT_RECORDED = ("dry_run", "together")


ONLY_WHERE_USED = ("corruption", "corrupt_count", "validation", "save")
# Parts of a record's configuration that do not make it another run: where things lie, what was
# typed, what other parts say already ("set" is in "hyperparameters", "recipe" in the network's
# weights).
NO_IDENTITY = (
    "command",
    "data",
    "weight_path",
    "results",
    "wandb",
    "force",
    "classes",
    "superclasses",
    "subclasses",
    "forget_class",
    "save",
    "set",
    "recipe",
)


def record_path(config, hashes):
    """Where the record of a run lies, by all that moves its numbers."""
    identity = {name: value for name, value in config.items() if name not in NO_IDENTITY}
    name = f"{config['net']}-{config['dataset']}-{file_name(config['forget'])}-{config['method']}-seed{config['seed']}"
    return path_of(config["results"], config["task"], name, {**identity, **hashes})


def path_of(results, task, name, identity):
    """Where the record of a run lies: readable name, then a hash of all that could change its numbers."""
    key = sha256(json.dumps(identity, sort_keys=True))[:10]
    return Path(results) / task / f"{name}-{key}.json"
