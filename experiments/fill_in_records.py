"""Write into records of before 2026-11-27 what they left out: every hyper-parameter that was in effect.

    python -m experiments.fill_in_records FOLDER

Such a record has the values that were given with -set, and none of the defaults. They are filled in
as they were then. The record's file gets the name that belongs to what it now says. Where the
record of the baseline is there, UNCHANGED is said too. MIA is marked as fitted at scikit-learn's
default tolerance of 1e-4, so that a run by today's fit is another run.
"""

import common.threads  # noqa: F401 (before torch)

import json
from pathlib import Path

from common.console import parser, run_script
from learning.protocol import PROTOCOLS
from learning.recipes import recipe
from methods import METHODS, retrain
from runs import identity, records

OLD_MIA_FIT = {"C": 2.0, "tol": 1e-4, "max_iter": 100}
TASKS_BATCH = "the task's batch size"
OLD_DEFAULTS = {
    "baseline": {},
    "finetune": {"batch_size": TASKS_BATCH, "epochs": 5, "lr": 0.02},
    "bad_teacher": {"epochs": 1, "lr": 1e-4, "retain_share": 0.3, "batch_size": 256},
    "amnesiac": {"epochs": 3, "lr": 1e-4, "batch_size": 128},
    "fisher": {"scale": 1e-6, "batch_size": 32},
    "ntk": {"images": 100, "decay": 0.1, "memory": 16.0},
    "ssd": {"batch_size": TASKS_BATCH, "measure": "fisher"},
    "lfssd": {"batch_size": TASKS_BATCH, "measure": "norm"},
    "assd": {"batch_size": TASKS_BATCH, "denominator": "D", "measure": "fisher"},
    "alfssd": {"batch_size": TASKS_BATCH, "denominator": "D", "measure": "norm"},
    "potion": {
        "batch_size": TASKS_BATCH,
        "strength": 1 / 25,
        "growth": 1.1,
        "rho": 0.2,
        "steps": 500,
        "measure": "xlf",
    },
    "scrub": {
        "study": "stated",
        "batch_size": TASKS_BATCH,
        "epochs": 3,
        "forget_epochs": 2,
        "lr": 5e-4,
        "kl_weight": 1.0,
        "ce_weight": 5.0,
        "clip": 0.0,
        "temperature": 4.0,
    },
    "salun": {"epochs": 3, "lr": 1e-4, "batch_size": 128, "share": 0.5},
    "neggrad_plus": {"batch_size": TASKS_BATCH, "epochs": 3, "lr": 0.003, "retain_weight": 0.915},
    "l1_sparse": {"batch_size": TASKS_BATCH, "epochs": 3, "lr": 0.003, "penalty": 5e-4},
}
OLD_UNSIR = {
    "noise_images": 32,
    "noise_lr": 0.1,
    "noise_weight": 0.1,
    "repeats": 80,
    "per_class": 500,
    "lr": 1e-4,
    "batch_size": 32,
    "repair_batch_size": 128,
}
OLD_JIT = {  # of a convolutional network: sigma, eta
    "full_class": (0.5, 3e-4),
    "sub_class": (0.01, 3e-4),
    "random": (0.01, 3e-4),
    "corrupted": (0.01, 3e-4),
}


def main(argv=None):
    flags = parser(__doc__)
    flags.add_argument("folder", help="with records below it")
    folder = Path(flags.parse_args(argv).folder)
    found = {}
    for path in sorted(folder.rglob("*.json")):
        record = json.loads(path.read_text())
        if "config" in record and "hyperparameters" not in record["config"]:
            found[path] = record
    for path, record in found.items():
        fill_in(record)
        record["unchanged"] = unchanged(record, found.values())
        config = record["config"]
        hashes = {
            name: record[name] for name in ("weights_hash", "data_hash", "test_hash", "forget_hash")
        }
        named = identity.record_path({**config, "results": path.parents[1]}, hashes)
        records.write(named, record)
        if named != path:
            path.unlink()
    print(f"{len(found)} records filled in")


def fill_in(record):
    """Put into a record's configuration what was in effect without being said."""
    config = record["config"]
    method, protocol = config["method"], PROTOCOLS[config["protocol"]]
    learned_by = recipe(config["net"], config["dataset"])
    if method == "retrain":
        values = retrain.in_effect(learned_by, config["b"], protocol)
    else:
        values = old_defaults(method, record["task"], config["b"])
    given = {name: value for name, value in config["set"].items() if values.get(name) != value}
    config["set"] = given
    config["hyperparameters"] = {**values, **given, **METHODS[method].optimizer}
    config["recipe"] = learned_by
    config["departures"] = []  # none but records by the paper's protocol are left of that time
    assert config["protocol"] == "paper"
    config["mia"] = OLD_MIA_FIT
    config["duplicates"] = "keep"


def old_defaults(method, task, batch_size):
    """{name: value} of a method's hyper-parameters as they were unless set."""
    if method == "jit":
        sigma, eta = OLD_JIT[task]
        return {"batch_size": batch_size, "sigma": sigma, "eta": eta, "copies": 25}
    if method == "unsir":
        return {**OLD_UNSIR, "noise_steps": 250 if task == "sub_class" else 25}
    values = {}
    for name, value in OLD_DEFAULTS[method].items():
        values[name] = batch_size if value == TASKS_BATCH else value
    return values


def unchanged(record, others):
    """What records.unchanged says of it, by the baseline and the retrain of the same network, data and seed."""
    goals = {}
    for other in others:
        same = all(
            other[name] == record[name]
            for name in ("weights_hash", "data_hash", "forget_hash", "test_hash")
        )
        if same and other["config"]["method"] in ("baseline", "retrain"):
            goals[other["config"]["method"]] = other["scores"]["Df"]
    return records.unchanged(
        record["config"]["method"], record["scores"], goals.get("baseline"), goals.get("retrain")
    )


if __name__ == "__main__":
    run_script(main)
