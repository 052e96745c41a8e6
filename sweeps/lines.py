"""The lines that a sweep is given: command lines, and what is none."""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from runs.seeds import spread
from runs.tasks import TASKS

TRAINING = "pretrain_model"
TASK_OF_SCRIPT = {task.script: task for task in TASKS.values()}
SCRIPTS = (TRAINING, *TASK_OF_SCRIPT)

ROOT = Path(__file__).parent.parent
MOST_BYTES = 100_000  # of a line
MOST_SHOWN = 300  # characters of a line in a message
MOST_MISTAKES = 20  # kinds of mistakes that are listed
PYTHON = r"python[\d.]*(\.exe)?"
WAYS = (
    "pipe a grid into it (./my_grid.sh | python sweep.py) "
    "or give it a file (python sweep.py < lines)"
)


@dataclass(frozen=True)
class Line:
    """A command line: a script and its flags."""

    script: str  # its name, without .py
    argv: tuple[str, ...]
    number: int = 0  # where it stands, from 1; 0: the sweep itself has added it

    def __str__(self):
        return f"{self.script}.py {shlex.join(self.argv)}"


@dataclass(frozen=True)
class Mistake:
    """A line that cannot run, and why."""

    number: int  # where it stands, from 1; 0: the sweep itself has added it
    text: str
    reason: str

    def __str__(self):
        return self.text


# ---- reading them ----


def read(stream) -> list[Line | Mistake]:
    """The lines of a text stream, as sys.stdin is one; comments and empty lines are omitted.

    UserError where there is no such stream, where a terminal stands in its place, or no line.
    """
    if stream is None:
        raise UserError(f"sweep.py reads its lines from standard input, which is closed; {WAYS}")
    if stream.isatty():
        raise UserError(
            f"sweep.py reads its lines from standard input, which is the terminal; {WAYS}"
        )
    try:
        lines = _read(stream.buffer)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"standard input cannot be read ({reason}); {WAYS}") from error
    if not lines:
        raise UserError(f"standard input holds no command line; {WAYS}")
    return lines


def _read(stream):
    lines = []
    number = 0
    while data := stream.readline(MOST_BYTES + 1):
        number += 1
        if len(data) > MOST_BYTES:
            raise UserError(
                f"line {number} has more than {MOST_BYTES} bytes; is this a list of command lines?"
            )
        lines += _lines(number, data)
    return lines


def _lines(number, data):
    """What a line of the stream stands for: no Line, one, one for each seed, or a Mistake."""
    encoding = "utf-8-sig" if number == 1 else "utf-8"  # Windows may start a file with a mark
    try:
        text = data.decode(encoding).strip()
    except UnicodeDecodeError:
        return [Mistake(number, _shortened(repr(data)), "this is no text in UTF-8")]
    if not text or text.startswith("#"):
        return []
    try:
        script, argv = _command(text)
        commands = spread(argv)
    except ValueError as error:
        shown = text if text.isprintable() else repr(text)
        return [Mistake(number, _shortened(shown), str(error))]
    return [Line(script, tuple(command), number) for command in commands]


def _command(text):
    """(script, its flags). ValueError where the text is no command line of ours."""
    if "\0" in text:
        raise ValueError("a command line holds no NUL character")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"this is no command line ({error})") from error
    if words and re.fullmatch(PYTHON, Path(words[0]).name):
        del words[0]
    path = Path(words[0]) if words else Path("")
    if path.stem not in SCRIPTS or path.suffix not in ("", ".py"):
        raise ValueError(f"a line starts with one of {', '.join(SCRIPTS)}")
    if _is_elsewhere(path):
        raise ValueError(f"the script is not the one of {ROOT}, which this sweep runs")
    return path.stem, words[1:]


def _is_elsewhere(path):
    """Whether the path names a script of ours in another folder."""
    names_folder = len(path.parts) > 1
    if not names_folder or not os.path.exists(path):
        return False
    return not os.path.samefile(path, ROOT / f"{path.stem}.py")


def _shortened(text):
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


# ---- what is wrong, in words ----


def in_words(mistakes: list[Mistake]) -> list[str]:
    """A text for each reason: which lines it holds for, what it is, and the first of them."""
    by_reason = {}
    for mistake in mistakes:
        by_reason.setdefault(mistake.reason, []).append(mistake)
    texts = [_in_words(alike) for alike in by_reason.values()]
    omitted = len(texts) - MOST_MISTAKES
    if omitted > 0:
        texts[MOST_MISTAKES:] = [f"and {omitted} other mistakes"]
    return texts


def _in_words(alike):
    """The text for mistakes of one reason."""
    first = alike[0]
    where = f"line {first.number}" if first.number else "a pre-training"
    if len(alike) > 1:
        where += f" and {len(alike) - 1} more"
    reason = " ".join(first.reason.split())
    return f"{where}: {reason}: {_shortened(first.text)}"
