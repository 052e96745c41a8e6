"""The table of the released code's departures."""

import re
from dataclasses import asdict, fields

from helpers import ROOT

from learning.protocol import PAPER, RELEASED, Protocol


def test_protocols_are_all_paper_or_all_released():
    assert not any(asdict(PAPER).values())
    assert all(asdict(RELEASED).values())


def test_every_field_says_both_readings():
    source = (ROOT / "learning" / "protocol.py").read_text()
    explained = re.findall(r"((?:    #.*\n)+)    (\w+): bool", source)
    assert [name for _, name in explained] == [field.name for field in fields(Protocol)]
    for comment, name in explained:
        assert re.search(r"released: \S", comment), name
        assert re.search(r"paper: \S", comment), name
