"""What the tests share: a folder of tiny images, and scripts run as a user runs them."""

import common.threads  # noqa: F401 (before torch)

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
NET = ("-net", "ResNet18Slim")
DIGITS = (*NET, "-dataset", "Digits")
SUB = (*NET, "-dataset", "DigitShapes", "-forget_class", 7)
GRID = [
    " ".join(map(str, (f"forget_{task}_main.py", *flags, "-wandb", "disabled", "-method", method)))
    for task, flags, methods in (
        (
            "full_class",
            (*DIGITS, "-forget_class", 7),
            ("retrain", "baseline", "ssd -alpha 2", "amnesiac"),
        ),
        ("full_class", (*DIGITS, "-forget_class", 3), ("ssd -alpha 2",)),
        ("sub_class", SUB, ("ssd -alpha 2", "unsir")),
        ("random", (*DIGITS, "-forget_perc", 0.02), ("retrain", "lfssd")),
    )
    for method in methods
]
STORED = shutil.ignore_patterns(
    "*importance*", "*.logits-*", "*.lock"
)  # what is kept beside checkpoints
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def write_images(root, classes, per_class, seed=0, size=(9, 7)):
    """Random images as PNG under root/<class>/."""
    rng = np.random.default_rng(seed)
    for name in classes:
        folder = Path(root) / name
        folder.mkdir(parents=True)
        for number in range(per_class):
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(
                folder / f"{number}.png"
            )


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No test finds, or leaves, checkpoints and records in this folder: after the demo there are some."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def image_folder(tmp_path):
    """A user's own data: DIR/train and DIR/test with the classes cat, dog and owl."""
    root = tmp_path / "own"
    write_images(root / "train", ["cat", "dog", "owl"], 8, seed=1)
    write_images(root / "test", ["cat", "dog", "owl"], 3, seed=2)
    return root


def call(script, *flags, cwd, **options):
    """Run a script of the project from another folder; returns the finished process."""
    command = [sys.executable, "-W", "ignore", str(ROOT / script), *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300, **options)


def assert_refused(done, *words):
    """Exit code 2 and one line on stderr that says each of the words."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with checkpoints of two epochs for Digits and DigitShapes."""
    folder = tmp_path_factory.mktemp("place")
    for dataset in ("Digits", "DigitShapes"):
        done = call("pretrain_model.py", *NET, "-dataset", dataset, "-epochs", 2, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def only_record(folder):
    (path,) = folder.rglob("*.json")
    return json.loads(path.read_text())


def records_of(folder):
    """{file name: record without what a clock says} of a folder; every file there is whole."""
    found = {
        path.name: json.loads(path.read_text()) for path in (folder / "results").rglob("*.json")
    }
    for record in found.values():
        del record["seconds"], record["date"]
    assert not [path for path in folder.rglob("*.tmp") if path.is_file()]
    return found


def copy_of(place, folder):
    """A folder to run GRID in: the checkpoints alone, no I_D."""
    shutil.copytree(
        place / "checkpoints",
        folder / "checkpoints",
        ignore=shutil.ignore_patterns("*importance*", "*.logits-*", "*.lock"),
    )
    return folder


@pytest.fixture(scope="session")
def undisturbed(place, tmp_path_factory):
    """The records of GRID, a fresh process for each run; retrain first, as the others say how they stand to it."""
    folder = copy_of(place, tmp_path_factory.mktemp("undisturbed"))
    for first in (True, False):
        with ThreadPoolExecutor(2) as pool:
            lines = [line.split() for line in GRID if ("retrain" in line) == first]
            for done in pool.map(lambda line: call(*line, cwd=folder, env=ENVIRONMENT), lines):
                assert done.returncode == 0, done.stderr
    found = records_of(folder)
    assert len(found) == len(GRID)
    return found
