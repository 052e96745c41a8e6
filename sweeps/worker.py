"""What the processes of a sweep do: stay, and call the scripts' main() for one run after another.

Data, trained network and I_D are loaded once per process. planning.py says what there is to do,
sweep.py decides who does what.
"""

import contextlib
import gc
import importlib
import io
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass

from common.console import plain_warnings
from common.errors import (
    OUT_OF_MEMORY,
    CannotWrite,
    Claimed,
    UserError,
    is_full,
    is_out_of_memory,
    keep_memory,
)
from runs import environment
from runs.cache import persist

SCRIPTS = (
    "pretrain_model",
    "forget_full_class_main",
    "forget_sub_class_main",
    "forget_random_main",
    "forget_corrupted_main",
)


@dataclass
class Outcome:
    """How a run ended: "done"; "failed", and would again; "broken" by an error of ours or the machine's; "claimed" by
    another process; "unwritable", as the next run would be; "to do", where it was only looked at."""

    state: str
    printed: str = ""
    error: str = ""
    seconds: float | None = None


def begin(folder, captured, gpu=False):
    """Make this process a worker in `folder`: the imports are paid, nothing outlives the sweep that has started it.

    gpu: RuntimeError where there is none that can be used, so that a broken node takes no runs.
    """
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        _end_at_interrupt()
    os.chdir(folder)
    persist()
    plain_warnings()
    keep_memory()
    if captured:
        os.environ["TQDM_DISABLE"] = "1"  # several bars would overwrite each other
    else:
        sys.stdout.reconfigure(line_buffering=True)
    gc.disable()  # torch's import makes no garbage, and looking for it takes a tenth of a second
    for script in SCRIPTS:
        importlib.import_module(script)
    gc.enable()
    if gpu and not importlib.import_module("torch").cuda.is_available():
        raise RuntimeError("CUDA finds no GPU that can be used")
    environment.commit()  # of the code that this process runs, whatever the folder holds later


def _end_at_interrupt():
    """Let Ctrl-C end this process at once and silently, also one that came before (interrupts_held)."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_with(parent):
    parent.join()
    os._exit(1)


def run(job, captured=True, look=False):
    """Call the job's script; `look`: only to see whether it is done. Returns an Outcome, whatever happens."""
    printed, outcome = io.StringIO(), Outcome("done")
    with contextlib.ExitStack() as stack:
        if captured:
            stack.enter_context(contextlib.redirect_stdout(printed))
            stack.enter_context(contextlib.redirect_stderr(printed))
        try:
            result = importlib.import_module(job.script).main(
                [*job.argv, *job.together, *["-dry_run"] * look]
            )
            outcome = Outcome("done", seconds=seconds_of(result)) if result else Outcome("to do")
        except SystemExit as error:  # 0: -h
            outcome = (
                Outcome("failed", error=f"it ended with {error.code}") if error.code else outcome
            )
        except Claimed as error:
            outcome = Outcome("claimed", error=str(error))
        except CannotWrite as error:
            outcome = Outcome("unwritable", error=str(error))
        except UserError as error:
            outcome = Outcome("failed", error=str(error))
        except OSError as error:
            outcome = Outcome("unwritable" if is_full(error) else "broken", error=str(error))
            if outcome.state == "broken":
                traceback.print_exc()
        except Exception as error:  # one broken run must not take the others with it
            if is_out_of_memory(error):
                outcome = Outcome("broken", error=OUT_OF_MEMORY)
            else:
                traceback.print_exc()
                outcome = Outcome("broken", error=f"{type(error).__name__}: {error}")
    outcome.printed = printed.getvalue()
    return outcome


def seconds_of(result):
    """What a record, or a checkpoint's metadata, says that its run took; I_D aside, which is paid once per network."""
    if "seconds" in result:
        return result["seconds"]["method"] + result["seconds"]["evaluation"]
    return result.get("seconds_per_epoch", 0) * result["epochs"]
