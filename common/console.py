"""What a terminal sees: flags, progress bars, warnings in one line, how a script ends."""

from common.threads import raise_interrupts

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable

from tqdm import tqdm

from common.errors import OUT_OF_MEMORY, UserError, is_full, is_out_of_memory

# tqdm's own lock is a semaphore of the system, which a worker that is ended would leave there.
tqdm.set_lock(threading.RLock())

LOG_INTERVAL = 30  # seconds between two lines of a progress bar in a log file
TERMINAL_INTERVAL = 0.1  # seconds between two pictures of a progress bar on a terminal


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are UserErrors and which takes no abbreviated flag."""

    def __init__(self, description):
        self.flags = set()
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # holds for flags of two dashes only
        )

    def add_argument(self, *flags, **options):
        self.flags.update(flags)
        return super().add_argument(*flags, **options)

    def parse_known_args(self, args=None, namespace=None):
        words = sys.argv[1:] if args is None else list(args)
        for word in words:
            if self._abbreviates(word):
                self.error(f"unrecognized arguments: {word}")
        return super().parse_known_args(words, namespace)

    def _abbreviates(self, word):
        """Whether a word is the start of a flag of one dash, or a flag of one letter and more."""
        flag = word.partition("=")[0]
        if flag in self.flags or not flag.startswith("-") or not flag[1:2].isalpha():
            return False
        return flag[:2] in self.flags or any(name.startswith(flag) for name in self.flags)

    def error(self, message):
        raise UserError(f"{message} (-h lists the flags)")


def parser(doc: str) -> argparse.ArgumentParser:
    """An argument parser that says `doc` for -h."""
    return _Parser(doc)


def progress(items, title: str, total: int | None = None) -> tqdm:
    """Iterate with a progress bar, which only work of more than two seconds shows."""
    on_terminal = sys.stderr.isatty()
    return tqdm(
        items,
        desc=title,
        total=total,
        delay=2,
        leave=False,
        dynamic_ncols=True,
        mininterval=TERMINAL_INTERVAL if on_terminal else LOG_INTERVAL,
        disable=bool(os.environ.get("TQDM_DISABLE")),
    )


def plain_warnings():
    """Warnings in one line each, without the place in the code that raised them."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"


def printable():
    """Let print() replace what the terminal's encoding lacks (a ± in ASCII) and not fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def run_script(main: Callable):
    """Run a script's main().

    What the user can mend ends it with one line and exit code 2, Ctrl-C with exit code 130.
    """
    raise_interrupts()
    plain_warnings()
    printable()
    try:
        main()
    except UserError as error:
        _end(str(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        _end(f"{OUT_OF_MEMORY} ({first_line[:200]})")
    except BrokenPipeError:  # the reader of what we print has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if not is_full(error):
            raise
        _end(f"{error.strerror}; make room, the same command goes on")
    except KeyboardInterrupt:
        # A second Ctrl-C, while Python ends, would print a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("stopped; what is finished is kept, the same command goes on", file=sys.stderr)
        sys.exit(130)


def _end(reason):
    """End the script with one line and exit code 2, also if Ctrl-C comes while Python ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(f"error: {' '.join(reason.split())}", file=sys.stderr)
    sys.exit(2)
