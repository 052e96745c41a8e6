"""The network that -save keeps: what it has forgotten, and how, stands in its metadata."""

import os
from pathlib import Path

from torch import nn

from common.errors import UserError
from common.files import check_writable
from runs import checkpoints, environment
from runs.request import Request


def is_saved(network_path: str | Path, record_path: str | Path) -> bool:
    """Whether the file of -save holds the network of the record."""
    if not os.path.exists(network_path):
        return False
    metadata = checkpoints.read_metadata(network_path)
    return metadata.get("record") == os.path.abspath(record_path)


def check(request: Request) -> None:
    """UserError where -save would replace a file that this very run has not made."""
    path, force = request.args.save, request.args.force
    check_writable(Path(path).absolute().parent)
    if os.path.lexists(path) and not force and not is_saved(path, request.path):
        raise UserError(
            f"-save {path} is there and not this run's; name another file or replace it with -force"
        )


def save(request: Request, model: nn.Module, record: dict) -> None:
    """Write the unlearned network. Its metadata say what it has forgotten, and how."""
    config, train = request.config, request.split.train
    before = request.network.metadata.get("forgotten", [])
    this = _what_is_forgotten(request)
    as_trained = {
        "net": config["net"],
        "dataset": config["dataset"],
        "classes": list(train.classes),
        "data_hash": train.digest,
        "seed": config["train_seed"],
        "recipe": config["recipe"],
        "protocol": config["protocol"],
    }
    original = {
        "path": os.path.abspath(config["weight_path"]),
        "weights_hash": request.network.weights_hash,
    }
    dials = {"alpha": config["alpha"], "lambda": config["lambda"]}
    metadata = {
        **as_trained,
        **request.network.metadata,
        "accuracy": record["scores"]["TestAcc"],
        "checkpoint": original,
        "forgotten_before": before,
        "forgotten": before if request.method.is_original else [*before, this],
        "method": config["method"],
        "hyperparameters": {**config["hyperparameters"], **dials},
        "record": os.path.abspath(request.path),
        "command": record["command"],
        "commit": environment.commit(),
        "versions": environment.versions(),
    }
    checkpoints.save(model, config["save"], metadata)


def _what_is_forgotten(request):
    """What this run forgets, as a network's metadata have it (splits.after_forgetting)."""
    config, split = request.config, request.split
    labels, label = None, None
    if split.forget_class is not None:
        labels = "labels" if split.forgets_whole_class else "fine_labels"
        label = int(getattr(split.forget, labels)[0])
    return {
        "task": config["task"],
        "forget": config["forget"],
        "method": config["method"],
        "record": os.path.abspath(request.path),
        "labels": labels,
        "label": label,
        "images": split.forget.index.cpu().sort().values.tolist(),
    }
