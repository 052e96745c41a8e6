"""Who does what, and when: with workers that only say how a run has ended."""

import os
import signal
import time
from collections import deque
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor

import pytest

from common.errors import CannotWrite, UserError
from sweeps import pool, scheduler
from sweeps.lines import Line
from sweeps.scheduler import sweep
from sweeps.worker import Outcome, State

FLAGS = ("-net", "ResNet18", "-dataset", "Cifar10", "-wandb", "disabled", "-forget_perc")
SEEDS = [Line("forget_random_main", (*FLAGS, "0.1", "-method", "ssd", "-seed", n)) for n in "012"]
DONE = Outcome(State.DONE, printed="all well\n", seconds=1.0)


def ended(result=None, error=None):
    future = Future()
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
    return future


class Place:
    """Workers in this process. They do nothing: each run ends as `outcomes` says, in this order.

    An exception among them is a worker that has died; after the last all is well.
    """

    def __init__(self, *outcomes, total=1):
        self.outcomes = deque(outcomes)
        self.total = total
        self.opened = 0
        self.given = []  # the flags of the runs

    def count(self):
        return self.total

    def open(self):
        self.opened += 1
        return self

    def submit(self, function, *args):
        if function is os.getpid:
            return ended(os.getpid())
        script, argv = args
        self.given.append((script, *argv))
        outcome = self.outcomes.popleft() if self.outcomes else DONE
        if isinstance(outcome, Exception):
            return ended(error=outcome)
        return ended(outcome)

    def close(self, worker):
        pass

    def end(self):
        pass

    def gpu_mistake(self):
        return ""


def seeds(place):
    """The seeds of the forgetting runs, in the order in which they were given."""
    return [words[-1] for words in place.given if words[0] != "pretrain_model"]


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """A run that another process is at is looked at again at once."""
    monkeypatch.setattr(scheduler, "AGAIN", 0.01)


def test_all_runs_are_done_and_the_training_goes_first(capsys):
    place = Place(total=2)
    assert sweep(SEEDS, place, 0) == 0
    assert place.given[0][0] == "pretrain_model"
    assert seeds(place) == ["0", "1", "2"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 + 1  # a line for each run, and how many there are
    assert lines[0].startswith("[1 of 4 done, 0 running") and lines[0].endswith("] all well")
    assert lines[-1] == "4 of 4 runs done"


def test_a_broken_run_is_tried_again_in_another_process(capsys):
    broken = Outcome(State.BROKEN, "a bug", printed="Traceback ...\n")
    place = Place(DONE, broken)
    assert sweep(SEEDS, place, retries=1) == 0
    assert seeds(place) == ["0", "0", "1", "2"]
    assert place.opened == 2
    assert ": a bug\nTraceback ..." in capsys.readouterr().err


def test_after_its_retries_it_has_failed(capsys):
    broken = Outcome(State.BROKEN, "a bug")
    place = Place(DONE, broken, broken)
    assert sweep(SEEDS, place, retries=1) == 1
    printed = capsys.readouterr()
    assert "3 of 4 runs done" in printed.out
    (failed,) = [line for line in printed.err.splitlines() if line.startswith("failed: ")]
    assert failed.endswith("-seed 0: a bug")


def test_a_process_that_dies_is_a_broken_run(capsys):
    place = Place(DONE, BrokenExecutor("killed"))
    assert sweep(SEEDS, place, retries=0) == 1
    assert "its process ended before it did" in capsys.readouterr().err


def test_a_run_that_is_refused_is_not_tried_again(capsys):
    place = Place(DONE, Outcome(State.FAILED, "-b 0"))
    assert sweep(SEEDS, place, retries=5) == 1
    assert seeds(place) == ["0", "1", "2"]
    assert place.opened == 1


def test_a_run_that_another_process_is_at_comes_back_at_the_end(capsys):
    claimed = Outcome(State.CLAIMED, "another process is at x.json")
    place = Place(DONE, claimed)
    assert sweep(SEEDS, place, 0) == 0
    assert seeds(place) == ["0", "1", "2", "0"]
    assert capsys.readouterr().out.count("another process is at x.json; coming back to it") == 1


def test_what_waits_for_a_run_elsewhere_waits(capsys):
    """The training is done by another process: nothing starts before it."""
    place = Place(Outcome(State.CLAIMED, "another process is at it"), total=2)
    assert sweep(SEEDS, place, 0) == 0
    assert [words[0] for words in place.given[:2]] == ["pretrain_model", "pretrain_model"]


def test_a_place_that_cannot_be_written_ends_the_sweep():
    place = Place(DONE, Outcome(State.UNWRITABLE, "cannot write x: No space left on device"))
    with pytest.raises(CannotWrite, match="No space left"):
        sweep(SEEDS, place, 5)
    assert seeds(place) == ["0"]


def test_a_line_that_is_wrong_is_said_before_the_work_and_after_it(capsys):
    wrong = Line("forget_random_main", (*FLAGS, "2", "-method", "ssd"), 7)
    assert sweep([wrong, SEEDS[0]], Place(), 0) == 1
    printed = capsys.readouterr()
    first, last = printed.err.splitlines()
    assert first.startswith("wrong: line 7: -forget_perc 2")
    assert last.startswith("failed: line 7: -forget_perc 2")
    assert "[1 of 3 done, 1 failed" in printed.out


class Nowhere(Place):
    """Where no worker ever starts."""

    def submit(self, function, *args):
        return ended(error=RuntimeError("CUDA finds no GPU"))


def test_a_sweep_without_workers_ends_and_says_why():
    place = Nowhere(total=2)
    with pytest.raises(UserError, match="no worker starts: CUDA finds no GPU"):
        sweep(SEEDS, place, 0)
    assert 3 < place.opened < 30


class Thread(Place):
    """One worker, a thread."""

    def open(self):
        return ThreadPoolExecutor(1)

    def close(self, worker):
        worker.shutdown()


def test_ctrl_c_interrupts_nothing_half_way(monkeypatch, ctrl_c_counts):
    """Raised within a future's lock it left that lock taken, and the sweep never ended."""
    waited, wait = [], pool.wait

    def interrupted(*args):
        if not waited:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        waited.append(wait(*args))
        return waited[-1]

    monkeypatch.setattr(pool, "wait", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        sweep(SEEDS, Thread(), 0)
    assert len(waited) == 1
    assert signal.getsignal(signal.SIGINT) is handler
