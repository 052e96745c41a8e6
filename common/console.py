"""What a terminal sees: flags, progress bars, warnings in one line, how a script ends."""

import argparse
import atexit
import gc
import os
import signal
import sys
import threading
import warnings

from tqdm import tqdm

from common.errors import OUT_OF_MEMORY, UserError, is_full, is_out_of_memory, keep_memory

tqdm.set_lock(
    threading.RLock()
)  # its own would be a semaphore of the system, which a worker that is ended leaves behind


def parser(doc):
    """An argument parser that says `doc` for -h, takes no abbreviations, and whose errors are UserErrors."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.error = _refuse
    made._get_option_tuples = (
        lambda word: []
    )  # allow_abbrev=False lets abbreviations of one dash through
    return made


def _refuse(message):
    raise UserError(f"{message} (-h lists the flags)")


def progress(items, what, total=None):
    """Iterate with a bar that shows itself only where the work takes longer than two seconds (in a log file: seldom)."""
    interval = 0.1 if sys.stderr.isatty() else 30
    hidden = bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(
        items,
        desc=what,
        total=total,
        delay=2,
        leave=False,
        dynamic_ncols=True,
        mininterval=interval,
        disable=hidden,
    )


def plain_warnings():
    """Warnings in one line each, without the place in the code that raised them."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"


def printable():
    """Let print() replace what the terminal's encoding lacks (a ± in ASCII, say) in place of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def run_script(main):
    """Run a script's main(): one line and exit code 2 for what the user can mend, exit code 130 for Ctrl-C."""
    plain_warnings()
    printable()
    keep_memory()
    atexit.register(
        gc.freeze
    )  # else Python looks for garbage among all that torch has made: a quarter of a second
    try:
        main()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(f"error: {OUT_OF_MEMORY} ({str(error).splitlines()[0][:200]})", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of what we print has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if not is_full(error):
            raise
        print(f"error: {error.strerror}; make room, the same command goes on", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # a second one, while Python ends, would print a traceback
        print("stopped; what is finished is kept, the same command goes on", file=sys.stderr)
        sys.exit(130)
