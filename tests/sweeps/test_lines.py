"""The lines of a sweep: what is a command line, and what is said of the others."""

import io
import os
import pty
import subprocess

import pytest
from helpers import ROOT, SWEEP, assert_refused

from common.errors import UserError
from sweeps import lines
from sweeps.lines import Line, Mistake


def lines_of(data):
    return lines.read(io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"rm -rf /", "starts with one of pretrain_model, forget"),
        (b"python", "starts with one of"),
        (b"forget_random_main.txt -net ViT", "starts with one of"),
        (b"forget_random_main.py 'unclosed", "No closing quotation"),
        (b"forget_random_main.py -data a\0b", "NUL"),
        (b"forget_random_main.py -data \xff\xfe", "UTF-8"),
        (b"\x7fELF\x02\x01\x01\0\0\xc3\x28", "UTF-8"),
    ],
)
def test_a_line_that_is_no_command_is_a_mistake(data, reason):
    command, mistake = lines_of(b"forget_random_main.py -h\n" + data)
    assert command == Line("forget_random_main", ("-h",), 1)
    assert isinstance(mistake, Mistake)
    assert reason in mistake.reason
    assert mistake.number == 2
    assert str(mistake).isprintable()


def test_a_script_may_be_given_with_its_path(tmp_path):
    pythons = ["", "python ", "python3.11 ", ".venv/bin/python "]
    starts = [*pythons, "./", f"{ROOT}/", f"python {ROOT}/"]
    data = "\r\n".join(f"{start}forget_random_main.py -h" for start in starts)
    marked = b"\xef\xbb\xbf" + data.encode()  # as Windows writes it
    numbers = range(1, len(starts) + 1)
    assert lines_of(marked) == [Line("forget_random_main", ("-h",), number) for number in numbers]


def test_a_script_of_the_same_name_elsewhere_is_none_of_ours(tmp_path):
    (tmp_path / "forget_random_main.py").touch()
    (mistake,) = lines_of(f"{tmp_path}/forget_random_main.py -h".encode())
    assert "is not the one of" in mistake.reason
    assert str(ROOT) in mistake.reason


def test_comments_and_empty_lines_count_as_lines_and_are_omitted():
    (line,) = lines_of(b"# a grid\n\n   \nforget_random_main.py -h\n")
    assert line.number == 4


def test_a_line_without_end_is_refused():
    with pytest.raises(UserError, match="line 2 has more than 100000 bytes"):
        lines_of(b"forget_random_main.py -h\n" + b"x" * 100_001)
    assert len(lines_of(b"forget_random_main.py -data " + b"x" * 99_000)) == 1


def test_standard_input_that_holds_no_lines_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"closed; .*sweep.py < lines"):
        lines.read(None)
    with pytest.raises(UserError, match=r"holds no command line; .*sweep.py < lines"):
        lines_of(b"\n# only a comment\n")


def test_a_standard_input_of_another_kind_is_refused(tmp_path):
    screen, terminal = pty.openpty()
    with os.fdopen(screen), os.fdopen(terminal) as stream, pytest.raises(UserError) as refused:
        lines.read(stream)
    assert "the terminal" in str(refused.value) and "sweep.py < lines" in str(refused.value)
    with open(tmp_path / "x", "w") as stream, pytest.raises(UserError) as refused:
        lines.read(stream)
    assert "cannot be read" in str(refused.value) and "sweep.py < lines" in str(refused.value)


def test_a_closed_standard_input_is_one_line(tmp_path):
    command = f"{' '.join(SWEEP)} <&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert_refused(done, "closed", "sweep.py < lines")


def test_mistakes_of_one_reason_are_one_text():
    mistakes = [Mistake(number, f"line {number}", "no such\nflag") for number in (2, 3, 7)]
    mistakes.append(Mistake(0, "pretrain_model.py -net X", "no such net"))
    assert lines.in_words(mistakes) == [
        "line 2 and 2 more: no such flag: line 2",
        "a pre-training: no such net: pretrain_model.py -net X",
    ]
    mistakes = [Mistake(number, "x", f"reason {number}") for number in range(1, 31)]
    texts = lines.in_words(mistakes)
    assert len(texts) == 21
    assert texts[-1] == "and 10 other mistakes"
