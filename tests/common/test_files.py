"""Files that others may read at any moment: whole or not at all, made by one process at a time."""

import signal
import subprocess
import sys

import pytest
import torch
from helpers import ROOT

from common import files
from common.errors import Claimed


def test_a_claim_is_given_back(tmp_path):
    path = tmp_path / "result"
    with files.claimed(path), pytest.raises(Claimed), files.claimed(path, waits=False):
        pass
    with files.claimed(path, waits=False):
        pass
    with pytest.raises(KeyError), files.claimed(path):
        raise KeyError
    with files.claimed(path, waits=False):
        pass


MAKE = """
import os, sys, time
from pathlib import Path
from common import files
path, makers = Path(sys.argv[1]), Path(sys.argv[2])
with files.once(path, lambda: path.read_text() if path.exists() else None) as text:
    if text is None:
        time.sleep(0.2)
        (makers / str(os.getpid())).touch()
        files.write_whole(path, b"made")
"""


def test_only_one_of_several_processes_does_the_work(tmp_path):
    makers = tmp_path / "makers"
    makers.mkdir()
    command = [sys.executable, "-c", MAKE, str(tmp_path / "result"), str(makers)]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    for process in processes:
        assert process.wait() == 0
    assert len(list(makers.iterdir())) == 1


def test_a_killed_processs_claim_ends_with_it(tmp_path):
    code = (
        "import sys, time; from common import files\n"
        "with files.claimed(sys.argv[1]): print('claimed', flush=True); time.sleep(60)"
    )
    path = tmp_path / "result"
    command = [sys.executable, "-c", code, str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"claimed\n"
    with pytest.raises(Claimed), files.claimed(path, waits=False):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with files.claimed(path, waits=False):
        pass


def test_where_there_can_be_no_lock_the_work_is_done(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with files.claimed(tmp_path / "file" / "result", waits=False):
        pass


def test_tensors_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "values.safetensors"
    values = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    files.write_tensors(path, values, {"seconds": "1.5"})
    read, texts = files.read_tensors(path)
    assert texts["seconds"] == "1.5"
    for name, value in values.items():
        assert torch.equal(read[name], value)
    assert files.read_tensors(path, seconds="1.5") is not None
    assert files.read_tensors(path, seconds="2") is None
    assert files.read_tensors(tmp_path / "none") is None
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    assert files.read_tensors(path) is None
