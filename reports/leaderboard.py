"""The leaderboard: a table for each setup, its methods by their distance to retrain.

A row is a method with its settings, over all forget sets on which it was measured against retrain.
Trials on validation images are left out.
"""

import statistics

import pandas as pd

from reports.averages import against_goal
from reports.frame import SCORES
from reports.provenance import made_by
from reports.summary import Summaries, interval
from reports.tables import AUDITED, NOT_MEASURED, Chapter, Section, verdict_of_rows
from reports.texts import shown

LEGEND = {
    "distance": (
        "mean of |difference to retrain| over D_r, D_f and MIA, in points; the retrain has the "
        "same seeds. The smallest is best."
    ),
    "[a, b]": "95 % interval by Student's t, over classes; none where there is one.",
    "n": "runs, on so many forget sets.",
    "verdict": "how many runs collapsed, or left D_f as it was.",
    AUDITED: "0.5 is best; docs/audit.md.",
    "forget sets": "the first letters of the SHA-256 of the forgotten images' positions.",
    "command": "makes one of the row's cells; the others differ in what is forgotten and in seeds.",
}


def boards(summaries: Summaries, audited: dict) -> list[Chapter]:
    """A chapter for each setup that has methods next to a retrain.

    audited: {(setup, what is forgotten, label): text} of what audit.py has found.
    """
    chapters = []
    for setup, sections in summaries.items():
        rows = against_goal(sections)
        if rows and not setup.validation:
            chapters.append(_board(setup, rows, audited))
    return chapters


def _board(setup, rows, audited):
    """The chapter of a setup: its table, and a command for each row."""
    lines, commands, runs = [], [], []
    for label, by_set in sorted(rows.items(), key=lambda item: _distance(item[1])):
        lines.append(_cells(setup, label, by_set, audited))
        first = next(iter(by_set.values()))
        command = first.runs[0].get("command", "not recorded")
        commands.append({"method": shown(label), "command": shown(command, 400)})
        for row in by_set.values():
            runs += row.runs
    frame = pd.DataFrame(lines, dtype=object)
    if set(frame[AUDITED]) <= {NOT_MEASURED}:
        frame = frame.drop(columns=AUDITED)
    sections = [
        Section("Methods by their distance to retrain", [frame]),
        Section("Commands", [pd.DataFrame(commands, dtype=object)]),
    ]
    return Chapter(setup.title, made_by(runs), "", sections)


def _distance(by_set):
    return statistics.fmean(row.distance for row in by_set.values())


def _cells(setup, label, by_set, audited):
    """{column: text} of a method."""
    rows = list(by_set.values())
    cells = {"method": shown(label), "distance": _with_interval([row.distance for row in rows])}
    for name in SCORES:
        gaps = [row.gaps[name].mean for row in rows]
        cells[f"{name.removesuffix(' %')} - retrain's"] = f"{statistics.fmean(gaps):+.2f}"
    texts = []
    for forgotten in by_set:
        texts.append(audited.get((setup, forgotten, label), NOT_MEASURED))
    cells[AUDITED] = ", ".join(dict.fromkeys(texts))
    runs = []
    for row in rows:
        runs += row.runs
    hashes = dict.fromkeys(run.get("forget_hash", "not recorded")[:8] for run in runs)
    cells["n"] = f"{len(runs)} on {len(hashes)}"
    cells["verdict"] = verdict_of_rows(rows)
    cells["forget sets"] = " ".join(hashes)
    return cells


def _with_interval(values):
    mean, low, high = interval(values)
    return f"{mean:.2f}" if low is None else f"{mean:.2f} [{low:.2f}, {high:.2f}]"
