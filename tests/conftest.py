"""What the tests share: a folder of tiny images, two small trained networks, and their records."""

import common.threads  # noqa: F401 (before torch)

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import ENVIRONMENT, GRID, NET, call, copy_of, records_of, write_images


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No test finds, or leaves, checkpoints and records in this folder.

    After the demo there are some.
    """
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def image_folder(tmp_path):
    """A user's own data: DIR/train and DIR/test with the classes cat, dog and owl."""
    root = tmp_path / "own"
    write_images(root / "train", ["cat", "dog", "owl"], 8, seed=1)
    write_images(root / "test", ["cat", "dog", "owl"], 3, seed=2)
    return root


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with checkpoints of two epochs for Digits and DigitShapes."""
    folder = tmp_path_factory.mktemp("place")

    def pretrain(dataset):
        flags = (*NET, "-dataset", dataset, "-epochs", 2)
        return call("pretrain_model.py", *flags, cwd=folder, env=ENVIRONMENT)

    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(pretrain, ("Digits", "DigitShapes")):
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def undisturbed(place, tmp_path_factory):
    """The records of GRID, a fresh process for each run.

    Retrain first, as the others say how they stand to it.
    """
    folder = copy_of(place, tmp_path_factory.mktemp("undisturbed"))

    def run(line):
        return call(*line.split(), cwd=folder, env=ENVIRONMENT)

    goals = [line for line in GRID if "retrain" in line]
    others = [line for line in GRID if line not in goals]
    with ThreadPoolExecutor(2) as pool:
        for lines in (goals, others):
            for done in pool.map(run, lines):
                assert done.returncode == 0, done.stderr
    records = records_of(folder)
    assert len(records) == len(GRID)
    return records


@pytest.fixture
def ctrl_c_counts():
    """A suite that runs in a shell's background inherits a SIGINT that is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
