"""This machine as a place for a sweep's workers: its processes, its GPUs, its Ctrl-C."""

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker

import torch

from common.errors import UserError
from sweeps.worker import begin


class Processes:
    """Workers on this machine, `total` at a time.

    Each is a pool of one process, so that one that is killed takes no other along.
    """

    def __init__(self, total: int):
        self.total = total
        self.opened = []

    def count(self) -> int:
        """How many workers there may be."""
        return self.total

    def open(self):
        """A new worker, which starts."""
        context = multiprocessing.get_context("spawn")
        worker = ProcessPoolExecutor(1, context, begin, (os.getcwd(),))
        self.opened.append(worker)
        return worker

    def close(self, worker):
        """End a worker. A broken one may never end by itself; `end` sees to that."""
        worker.shutdown(wait=False, cancel_futures=True)

    def end(self):
        """End all of them."""
        for process in multiprocessing.active_children():
            process.terminate()
        # A worker's thread closes what Python's exit would write to at the same time.
        for worker in self.opened:
            worker.shutdown(wait=True, cancel_futures=True)

    def gpu_mistake(self) -> str:
        """Why no line with -gpu can run here; empty where it can."""
        if gpus_here():
            return ""
        return "-gpu: no CUDA device is usable here; omit -gpu to run on the CPU"


def gpus_here() -> int:
    """How many GPUs CUDA finds here, among those that CUDA_VISIBLE_DEVICES shows."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def show_only(gpus: list[str]):
    """Let this process and its workers see only the GPUs of these numbers.

    UserError where CUDA finds fewer.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = visible(gpus)
    if gpus_here() < len(gpus):
        raise UserError(
            f"--gpus {','.join(gpus)}: CUDA finds {gpus_here()} of these GPUs here; "
            "nvidia-smi lists them, and they are numbered from 0"
        )


def visible(gpus: list[str]) -> str:
    """CUDA_VISIBLE_DEVICES for GPUs by number: of those that it shows already, if it is set."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not shown:
        return ",".join(gpus)
    names = shown.split(",")
    if max(map(int, gpus)) >= len(names):
        raise UserError(
            f"--gpus {','.join(gpus)}: CUDA_VISIBLE_DEVICES shows {len(names)}; "
            "number them from 0, or unset it"
        )
    return ",".join(names[int(gpu)] for gpu in gpus)


@contextmanager
def interrupts_noted():
    """A list into which a first Ctrl-C is put, and which the sweep looks at; a second is raised.

    Raised wherever the main thread is, within concurrent.futures for instance, it can leave a
    future locked, and the exit would wait without end for that future's thread.
    """
    stop = []

    def note(number, frame):
        stop.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    if callable(before):  # else it is ignored, as under nohup
        signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def interrupts_held():
    """Let Ctrl-C wait while a worker is started, here and in the worker.

    A new process inherits the signals that are blocked. So Ctrl-C, which a terminal sends to the
    worker too, cannot end it with a traceback amid its imports; worker.begin lets it through.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # multiprocessing's helper, whose start lets Ctrl-C through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
