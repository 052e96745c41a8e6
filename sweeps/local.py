"""This machine as a place for a sweep's workers: its processes, its GPUs by number, its Ctrl-C."""

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker

from common.errors import UserError
from sweeps.worker import begin


class Processes:
    """Workers on this machine, `total` at a time. Each is a pool of one, so that one that is killed takes no other along."""

    def __init__(self, total):
        self.total, self.captured = total, total > 1
        self.opened = []

    def count(self):
        return self.total

    def open(self):
        context = multiprocessing.get_context("spawn")
        worker = ProcessPoolExecutor(1, context, begin, (os.getcwd(), self.captured))
        self.opened.append(worker)
        return worker

    def close(self, worker):
        worker.shutdown(
            wait=False, cancel_futures=True
        )  # a broken one may never end by itself; end() sees to that

    def end(self):
        for process in multiprocessing.active_children():
            process.terminate()
        for (
            worker
        ) in self.opened:  # its thread closes what Python's exit would write to at the same time
            worker.shutdown(wait=True, cancel_futures=True)

    def gpu_mistake(self):
        """Why no line with -gpu can run here; empty where it can."""
        return (
            ""
            if gpus_here()
            else "-gpu: no CUDA device is usable here; omit -gpu to run on the CPU"
        )


def gpus_here():
    """How many GPUs CUDA finds on this machine, among those that CUDA_VISIBLE_DEVICES shows."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def visible(gpus):
    """CUDA_VISIBLE_DEVICES for GPUs by number: of those that it shows already, where a scheduler has set it."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = shown.split(",") if shown else None
    if names and max(map(int, gpus)) >= len(names):
        raise UserError(
            f"--gpus {','.join(gpus)}: CUDA_VISIBLE_DEVICES shows {len(names)}; number them from 0, or unset it"
        )
    return ",".join(names[int(gpu)] if names else gpu for gpu in gpus)


@contextmanager
def interrupts_noted():
    """A list that a first Ctrl-C is put into, in place of being raised wherever the main thread is; a second one is raised.

    Raised within concurrent.futures it can leave a future locked, whose executor's thread the exit
    would wait for without end.
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
    worker too, cannot end it with a traceback amid its imports; workers.begin lets it through.
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
