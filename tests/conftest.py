"""What the tests share: a folder of tiny images, and scripts run as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
NET = ("-net", "ResNet18Slim")
DIGITS = (*NET, "-dataset", "Digits")


def write_images(root, classes, per_class, seed=0, size=(9, 7)):
    """Random images as PNG under root/<class>/."""
    rng = np.random.default_rng(seed)
    for name in classes:
        folder = Path(root) / name
        folder.mkdir(parents=True)
        for number in range(per_class):
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{number}.png")


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
