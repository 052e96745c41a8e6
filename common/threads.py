"""What must be in place before torch is loaded; every script imports this file first.

1. How torch's threads wait for each other. OpenMP's threads spin at the end of every parallel
   step. Where another program wants the same cores, they spin for a core that they do not get,
   and small steps take up to 50 times as long. A short spin costs an idle machine little
   (docs/performance.md). GNU's OpenMP reads the variable once, when torch is loaded.
2. Ctrl-C while a script's imports are loaded, which takes seconds: one line, no traceback.
"""

import os
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

SPINS = "3000"  # rounds that a waiting thread spins before it sleeps; GNU's default is 300,000


@contextmanager
def one_thread():
    """Small steps inside use one thread: waiting for a second one costs more than it gives."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _spin_briefly():
    chosen_by_user = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    if not chosen_by_user:
        os.environ["GOMP_SPINCOUNT"] = SPINS


def _uncaught(kind, error, trace):
    """sys.excepthook: Ctrl-C outside of run_script, which says more."""
    if not issubclass(kind, KeyboardInterrupt):
        return sys.__excepthook__(kind, error, trace)
    _stop()


def _stop(*_):
    print("stopped before anything was done", file=sys.stderr)
    os._exit(130)


def _stop_at_interrupt():
    """Let Ctrl-C end a script of this folder at once, until `raise_interrupts`.

    Raised as an exception within the imports, it can abort torch's C++ code or turn into another.
    """
    is_script = Path(sys.argv[0]).absolute().parent == Path(__file__).parent.parent
    on_main_thread = threading.current_thread() is threading.main_thread()
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_script and on_main_thread and is_usual:
        signal.signal(signal.SIGINT, _stop)


def raise_interrupts():
    """From now on Ctrl-C is a KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_spin_briefly()
sys.excepthook = _uncaught
_stop_at_interrupt()
