"""What several test files use: small splits, tiny networks, steps of training by hand, scripts.

Fixtures are in conftest.py.
"""

import contextlib
import copy
import importlib
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import ViTConfig

import datasets
import models
import splits
from learning.images import batches
from methods import METHODS

# ---- splits ----

FORGOTTEN = "7"  # the class or sub-class


def split_of(task, *, every, share):
    """A split of the digits, in the sub-class task of their shapes.

    every: 5 takes each fifth training image. share: of them forgotten in the random task.
    """
    train, test = datasets.load("DigitShapes" if task == "sub_class" else "Digits")
    train = train.take(torch.arange(0, len(train), every))
    test = test.take(torch.arange(0, len(test), 5))
    if task == "random":
        return splits.split_random(train, test, share, 0)
    if task == "sub_class":
        return splits.split_sub_class(train, test, FORGOTTEN)
    return splits.split_class(train, test, FORGOTTEN)


def small_split(task):
    """About 290 images of the digits."""
    return split_of(task, every=5, share=0.1)


def tiny_split(task="full_class"):
    """A few dozen images of the digits, so that one batch holds all."""
    return split_of(task, every=36, share=0.2)


def all_of(images, model):
    """(x, y) of a whole set as one batch."""
    x, y, _ = next(iter(batches(images, model, len(images))))
    return x, y


# ---- networks ----


def tiny_resnet(num_classes=10):
    return models.ResNet18(num_classes, width=8)


def tiny_vit(num_classes=10):
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=16,
        patch_size=4,
    )
    return models.ViT(num_classes, config)


NETWORKS = {"ResNet18": tiny_resnet, "ViT": tiny_vit}


class Net(nn.Module):
    """A network that the repository does not have: no convolution, no BatchNorm, a Dropout."""

    def __init__(self, num_classes=10, inputs=192):
        super().__init__()
        self.a = nn.Linear(inputs, 16)
        self.drop = nn.Dropout(0.3)
        self.b = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.b(self.drop(torch.tanh(self.a(x.flatten(1)))))


def net(seed=0, dropout=0.3):
    torch.manual_seed(seed)
    network = Net()
    network.drop.p = dropout
    return network


def twin(model):
    return copy.deepcopy(model)


def weights_of(model):
    """All parameters in one vector [P]."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# ---- methods ----

# Batches of 48 leave no last batch of two images, on which BatchNorm's statistics are of no use.
RECIPE = {"epochs": 1, "milestones": [], "lr": 0.05, "warm": 1, "batch_size": 48}
SETTINGS = {
    "alpha": 2,
    "lam": 1,
    "batch_size": 48,
    "recipe": RECIPE,
    "images": 8,  # of ntk
    "noise_steps": 5,  # of unsir
    "repeats": 8,
    "steps": 3,  # of potion's search
}


def settings_for(method, model):
    """What a run would give the method, of tiny size."""
    offered = {**SETTINGS, "untrained": twin(model)}
    settings = {}
    for name, parameter in METHODS[method].parameters.items():
        has_its_own = name == "batch_size" and parameter.default is not inspect.Parameter.empty
        if name in offered and not has_its_own:
            settings[name] = offered[name]
    return settings


def traced_fit(monkeypatch, module):
    """A list to which each training in `module` adds (data, optimizer, epochs), and trains nothing.

    For what a single step by hand cannot tell: which images, in which batches, at which rate.
    """
    calls = []

    def fit(model, data, optimizer, epochs, **options):
        calls.append((data, optimizer, epochs))
        return model

    monkeypatch.setattr(module, "fit", fit)
    return calls


# ---- training by hand ----


def one_adam_step(model, loss):
    """The parameters after Adam's first step at 1e-4: theta - lr g / (|g| + eps)."""
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    results = []
    for p, g in zip(model.parameters(), gradients, strict=True):
        results.append(p.detach() - 1e-4 * g / (g.abs() + 1e-8))
    return results


def sgd_step(model, loss, lr, **options):
    """One step of a new SGD optimiser, in place."""
    optimizer = torch.optim.SGD(model.parameters(), lr, **options)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def assert_parameters(model, wanted):
    """Equal except for a few entries of a gradient so near 0 that its sign is float noise."""
    differing = count = 0
    for p, w in zip(model.parameters(), wanted, strict=True):
        differing += int(((p.detach() - w).abs() > 2e-6).sum())
        count += p.numel()
    assert differing <= 0.002 * count, differing


def assert_same(model, other):
    """Equal parameters but for float noise."""
    for (name, p), wanted in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(p, wanted, rtol=1e-4, atol=2e-6), name


def assert_identical(model, other):
    """Bitwise equal parameters and buffers."""
    state = other.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


# ---- the scripts ----

QUIET = ("-wandb", "disabled")
CASES = {  # what each task forgets of the digits
    "full_class": ("-dataset", "Digits", "-forget_class", "7"),
    "sub_class": (
        *("-dataset", "DigitShapes", "-forget_class", "7"),
        *("-superclasses", "3", "-subclasses", "10"),
    ),
    "random": ("-dataset", "Digits", "-forget_perc", "0.02", "-classes", "10"),
}


def forget(place, task, *flags, quiet=QUIET):
    """A forget script's main() called from the folder `place`; returns what it printed."""
    printed = io.StringIO()
    home = os.getcwd()
    words = ["-net", "ResNet18Slim", *flags, *quiet]
    script = importlib.import_module(f"forget_{task}_main")
    os.chdir(place)
    try:
        with contextlib.redirect_stdout(printed):
            script.main([str(word) for word in words])
    finally:
        os.chdir(home)
    return printed.getvalue()


# ---- scripts run as a user runs them, and their records ----

ROOT = Path(__file__).parent.parent
NET = ("-net", "ResNet18Slim")
DIGITS = (*NET, "-dataset", "Digits")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
# What is kept next to checkpoints.
STORED = shutil.ignore_patterns("*importance*", "*.lock", ".locks")


def line_of(task, *flags):
    """A command line of a forget script that tells nobody of its record."""
    words = (f"forget_{task}_main.py", *flags, *QUIET)
    return " ".join(map(str, words))


_SEVEN = (*DIGITS, "-forget_class", 7)
_THREE = (*DIGITS, "-forget_class", 3)
_SUB_CLASS = (*NET, "-dataset", "DigitShapes", "-forget_class", 7)
_RANDOM = (*DIGITS, "-forget_perc", 0.02)
GRID = [  # retrain does not come first everywhere
    line_of("full_class", *_SEVEN, "-method", "retrain"),
    line_of("full_class", *_SEVEN, "-method", "baseline"),
    line_of("full_class", *_SEVEN, "-method", "ssd", "-alpha", 2),
    line_of("full_class", *_SEVEN, "-method", "amnesiac"),
    line_of("full_class", *_THREE, "-method", "ssd", "-alpha", 2),
    line_of("sub_class", *_SUB_CLASS, "-method", "ssd", "-alpha", 2),
    line_of("sub_class", *_SUB_CLASS, "-method", "unsir"),
    line_of("random", *_RANDOM, "-method", "retrain"),
    line_of("random", *_RANDOM, "-method", "lfssd"),
]


def write_images(root, classes, per_class, seed=0, size=(9, 7)):
    """Random images as PNG under root/<class>/."""
    rng = np.random.default_rng(seed)
    for name in classes:
        folder = Path(root) / name
        folder.mkdir(parents=True)
        for number in range(per_class):
            pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")


def call(script, *flags, cwd, **options):
    """Run a script of the project from another folder; returns the finished process."""
    command = [sys.executable, "-W", "ignore", str(ROOT / script), *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300, **options)


def assert_refused(done, *words):
    """Exit code 2 and one line on stderr that says each of the words."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: "), done.stderr
    for word in words:
        assert word in lines[0], lines[0]


def only_record(folder):
    (path,) = folder.rglob("*.json")
    return json.loads(path.read_text())


def records_of(folder):
    """{file name: record without what a clock says} of a folder; every file there is whole."""
    records = {}
    for path in (folder / "results").rglob("*.json"):
        record = json.loads(path.read_text())
        del record["seconds"], record["date"]
        records[path.name] = record
    assert not [path for path in folder.rglob("*.tmp") if path.is_file()]
    return records


def copy_of(place, folder):
    """A folder to run GRID in: the checkpoints only, no I_D."""
    shutil.copytree(place / "checkpoints", folder / "checkpoints", ignore=STORED)
    return folder


# ---- sweeps that are disturbed ----

SWEEP = [sys.executable, "-W", "ignore", str(ROOT / "sweep.py")]


def started(folder, *flags, lines=GRID, variables=()):
    """A sweep under way, in a process group of its own; its output goes to sweep.log."""
    with open(folder / "sweep.log", "a") as log:
        process = subprocess.Popen(
            [*SWEEP, *map(str, flags)],
            cwd=folder,
            env={**ENVIRONMENT, **dict(variables)},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    process.stdin.write("\n".join(lines))
    process.stdin.close()
    return process


def wait_for(condition, seconds=100):
    """What `condition()` gives once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("it never came")


def runs_under_way(folder):
    """The locks on records that a process holds at the moment."""
    held = set()
    for line in Path("/proc/locks").read_text().splitlines():
        numbers = re.search(r" \w+:\w+:(\d+) ", line)
        held.add(int(numbers[1]))
    locks = (folder / "results").rglob("*.json.lock")
    return [lock for lock in locks if lock.stat().st_ino in held]
