"""Pools made by hand: records with outputs, for the tests of the audits."""

import json

import torch
from handmade import record

from runs import outputs

IMAGES, CLASSES = 30, 4


def written(folder, method, training, *, shift=0.0, seed=0, **config):
    """A record with outputs in which D_f's label is surer by `shift`; returns its path."""
    entry = record(method, seed, 90.0, 10.0, 20.0, training=training, **config)
    entry["forget_hash"] = "f" * 64
    entry["command"] = f"python forget_full_class_main.py -method {method} -train_seed {training}"
    name = f"{method}-{training}-{seed}"
    generator = torch.Generator().manual_seed(len(name) * 1000 + training * 7 + hash_of(method))
    tensors = {}
    for part in outputs.PARTS:
        logits = torch.randn(IMAGES, CLASSES, generator=generator)
        labels = torch.arange(IMAGES) % CLASSES
        if part == "forget":
            logits[torch.arange(IMAGES), labels] += shift
        tensors[f"{part}_logits"] = logits
        tensors[f"{part}_labels"] = labels
        tensors[f"{part}_positions"] = torch.arange(IMAGES)
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    entry["outputs"] = {"accuracy": {"forget": 10.0, "retain": 90.0, "test": 90.0}}
    entry["outputs"] |= outputs.write(path, tensors)
    path.write_text(json.dumps(entry))
    return path


def hash_of(method):
    return sum(method.encode())


def write_pool(folder, networks=12, **shifts):
    """retrain and baseline, and a method for each shift, with so many training seeds."""
    for training in range(networks):
        written(folder, "retrain", training)
        written(folder, "baseline", training, shift=6.0)
        for method, shift in shifts.items():
            written(folder, method, training, shift=shift)
