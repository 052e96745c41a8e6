"""This machine as a place for workers: Ctrl-C, and GPUs by number."""

import os
import signal
import time

import pytest

from common.errors import UserError
from sweeps import local


def test_a_second_ctrl_c_is_raised(ctrl_c_counts):
    with pytest.raises(KeyboardInterrupt), local.interrupts_noted() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop == [signal.SIGINT]
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


def test_a_ctrl_c_that_is_ignored_stays_ignored():
    """As nohup's shell leaves it."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with local.interrupts_noted() as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert stop == []
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)


def test_gpus_are_numbered_among_those_that_are_shown(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert local.visible(["0", "2"]) == "0,2"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5ab")
    assert local.visible(["0"]) == "3"
    assert local.visible(["1", "0"]) == "GPU-5ab,3"
    with pytest.raises(UserError, match="number them from 0"):
        local.visible(["2"])


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(local, "gpus_here", lambda: 1)
    with pytest.raises(UserError, match="--gpus 0,1: CUDA finds 1 of these"):
        local.show_only(["0", "1"])
