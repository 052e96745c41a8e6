"""The table of the released code's departures."""

import re
from dataclasses import asdict, fields

from learning.protocol import PAPER, RELEASED, Protocol


def test_protocols_are_all_paper_or_all_released():
    assert not any(asdict(PAPER).values())
    assert all(asdict(RELEASED).values())


def test_every_row_is_explained():
    rows = re.findall(r"^ *\| (\w+) \|", Protocol.__doc__, re.M)
    assert rows[1:] == [row.name for row in fields(Protocol)]
