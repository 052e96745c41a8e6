"""Run a list of command lines, one after the other or several at a time.

    ./MAIN_run_experiments.sh demo | ...      or      python sweep.py [--jobs 2] < commands.txt

Each line is a script of this folder with its flags (python in front or not): `forget_random_main.py -net ...`. Every
run is a call of the script's main(), so imports are paid once per process. With --jobs networks are trained first, then
the rest, each process with the threads that OMP_NUM_THREADS names. A failed run is reported at the end, exit code 1, and
the rest is finished; what has left its record before is not run again.
"""

import argparse
import contextlib
import importlib
import io
import multiprocessing
import os
import shlex
import signal
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from common import UserError, plain_warnings, refuse, run_script

SCRIPTS = ("pretrain_model", "forget_full_class_main", "forget_sub_class_main", "forget_random_main")


def main(argv=None):
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--jobs", type=int, default=1, help="processes at a time (default 1)")
    flags.error = refuse
    jobs = flags.parse_args(argv).jobs
    if jobs < 1:
        raise UserError(f"--jobs {jobs}: at least one process must run")
    commands = [_parsed(line) for line in sys.stdin if line.strip() and not line.lstrip().startswith("#")]
    failed = []
    for command, error in _in_turn(commands) if jobs == 1 else _at_once(commands, jobs):
        if error:
            failed.append(f"{command}: {error}")
            print(f"error: {error}", file=sys.stderr)
    print(f"{len(commands) - len(failed)} of {len(commands)} runs done")
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    if failed:
        sys.exit(1)


def _in_turn(commands):
    """Yields (command line, its error or None) of each command as it ends; what it prints is seen as it comes."""
    for number, (script, argv) in enumerate(commands, 1):
        print(f"[{number}/{len(commands)}] {script}.py {shlex.join(argv)}", flush=True)
        yield f"{script}.py {shlex.join(argv)}", _error_of(script, argv)


def _at_once(commands, jobs):
    """The same by several processes; what a command prints, warnings too, is shown when it ends."""
    number = 0
    for training in (True, False):
        part = [command for command in commands if (command[0] == "pretrain_model") == training]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare_worker) as pool:
            futures = {pool.submit(_captured, *command): command for command in part}
            for future in as_completed(futures):
                (script, argv), number = futures[future], number + 1
                try:
                    printed, error = future.result()
                except BrokenProcessPool:
                    printed, error = "", "a process was killed; the same sweep goes on"
                command = f"{script}.py {shlex.join(argv)}"
                print(f"[{number}/{len(commands)}] {command}\n{printed}".rstrip(), flush=True)
                yield command, error


def _prepare_worker():
    os.environ["TQDM_DISABLE"] = "1"  # several bars would overwrite each other
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    plain_warnings()


def _captured(script, argv):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        error = _error_of(script, argv)
    return printed.getvalue(), error


def _error_of(script, argv):
    try:
        importlib.import_module(script).main(argv)
    except SystemExit:  # -h
        pass
    except UserError as error:
        return str(error)
    except Exception as error:  # one broken run must not take the others with it
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return None


def _parsed(line):
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UserError(f"cannot read the line {line.strip()!r}: {error}") from error
    words = words[1:] if words[0].startswith("python") else words
    script = Path(words[0]).stem if words else ""
    if script not in SCRIPTS:
        raise UserError(f"{line.strip()!r} is none of {', '.join(SCRIPTS)}; each line is one of these scripts with its flags")
    return script, words[1:]


if __name__ == "__main__":
    run_script(main)
