"""Run a list of command lines, one after the other, in one process.

    ./MAIN_run_experiments.sh demo | ...      or      python sweep.py < commands.txt

Each line is a script of this folder with its flags (python in front or not): `forget_random_main.py -net ...`. Every
run is a call of the script's main(), so imports are paid once. A failed run is reported at the end, exit code 1, and the
rest is finished; what has left its record before is not run again.
"""

import importlib
import shlex
import sys
import traceback
from pathlib import Path

from common import UserError, run_script

SCRIPTS = ("pretrain_model", "forget_full_class_main", "forget_sub_class_main", "forget_random_main")


def main():
    commands = [_parsed(line) for line in sys.stdin if line.strip() and not line.lstrip().startswith("#")]
    failed = []
    for number, (script, argv) in enumerate(commands, 1):
        print(f"[{number}/{len(commands)}] {script}.py {shlex.join(argv)}", flush=True)
        try:
            importlib.import_module(script).main(argv)
        except SystemExit:  # -h
            pass
        except UserError as error:
            failed.append(f"{script}.py {shlex.join(argv)}: {error}")
            print(f"error: {error}", file=sys.stderr)
        except Exception as error:  # one broken run must not take the others with it
            traceback.print_exc()
            failed.append(f"{script}.py {shlex.join(argv)}: {type(error).__name__}: {error}")
    print(f"{len(commands) - len(failed)} of {len(commands)} runs done")
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    if failed:
        sys.exit(1)


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
