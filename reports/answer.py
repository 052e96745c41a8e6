"""The answer that a page opens with: which methods come to what retrain is, and at what price."""

import statistics
from dataclasses import dataclass

import pandas as pd

from reports import lookup
from reports.averages import against_goal, run_rows
from reports.frame import Setup
from reports.summary import Row, Sections
from reports.texts import shown
from runs.records import short

WITHIN = 2  # points from retrain within which a method is said to be as retrain
KNOWN = 10  # points of D_f above retrain's: what was to be forgotten is still known


@dataclass(frozen=True)
class Answer:
    """What a setup's records say, in sentences, and the table that they stand on."""

    sentences: list[str]
    table: pd.DataFrame  # of texts


def answer(setup: Setup, sections: Sections) -> Answer | None:
    """None where no method was measured against retrain."""
    methods = against_goal(sections)
    if not methods:
        return None
    task = lookup.task(setup.task)
    ordered = sorted(methods, key=lambda label: _rank(methods[label]))
    cells = [_cells(label, methods[label]) for label in ordered]
    sets = len(sections)
    many = f"all {sets} forget sets" if sets > 1 else "the forget set"
    as_retrain = []
    for label in ordered:
        rows = methods[label].values()
        if len(rows) == sets and all(map(_is_as_retrain, rows)):
            as_retrain.append(label)
    sentences = [
        _listed(f"Within {WITHIN} points of retrain in D_f and in D_r, on {many}", as_retrain),
        _nearest(methods),
    ]
    if not task.heals:
        known = [label for label in ordered if any(map(_still_knows, methods[label].values()))]
        words = f"Still know what they were to forget (D_f {KNOWN} points above retrain's)"
        sentences.append(_listed(words, known))
    collapsed = [label for label in ordered if any(map(_collapsed, methods[label].values()))]
    sentences.append(_listed("Collapsed in some run", collapsed))
    sentences.append(_basis(sections))
    return Answer(sentences, pd.DataFrame(cells, dtype=object))


def _is_as_retrain(row: Row) -> bool:
    return all(abs(row.gaps[name].mean) <= WITHIN for name in ("D_f %", "D_r %"))


def _still_knows(row):
    return row.gaps["D_f %"].mean > KNOWN


def _collapsed(row):
    return row.collapsed > 0


def _rank(rows):
    """The methods that are as retrain on most forget sets come first, of equal ones the nearest."""
    as_retrain = sum(map(_is_as_retrain, rows.values()))
    return -as_retrain, _mean(row.distance for row in rows.values())


def _mean(values):
    return statistics.fmean(values)


def _listed(words, labels):
    names = ", ".join(shown(label, 60) for label in labels) or "none"
    return f"{words}: {names}."


def _nearest(methods):
    """The method nearest to retrain of those that were run on most forget sets."""
    most = max(map(len, methods.values()))
    distances = {}
    for label, rows in methods.items():
        if len(rows) == most:
            distances[label] = _mean(row.distance for row in rows.values())
    best = min(distances, key=lambda label: distances[label])
    faster = [row.speed_up for row in methods[best].values() if row.speed_up]
    time = f", {short(_mean(faster))} times as fast" if faster else ""
    return f"Nearest to retrain: {shown(best, 60)}, by {distances[best]:.1f} points{time}."


def _basis(sections):
    """How many networks and runs all of this stands on."""
    networks, runs = set(), 0
    for row in run_rows(sections):
        networks.update(run["config"]["train_seed"] for run in row.runs)
        runs += len(row.runs)
    if len(networks) > 1:
        return f"From {runs} runs on {len(networks)} trained networks."
    return f"From {runs} runs on one trained network: do not rank methods that are close."


def _cells(label, rows):
    """{column: text} of a method, over its forget sets."""
    of_sets = list(rows.values())
    faster = [row.speed_up for row in of_sets if row.speed_up]
    collapsed = sum(row.collapsed for row in of_sets)
    return {
        "method": shown(label),
        "as retrain": f"{sum(map(_is_as_retrain, of_sets))} of {len(of_sets)}",
        "D_f - retrain's": f"{_mean(row.gaps['D_f %'].mean for row in of_sets):+.1f}",
        "D_r - retrain's": f"{_mean(row.gaps['D_r %'].mean for row in of_sets):+.1f}",
        "distance": f"{_mean(row.distance for row in of_sets):.1f}",
        "faster": f"{short(_mean(faster))}x" if faster else "",
        "n": str(sum(len(row.runs) for row in of_sets)),
        "verdict": f"COLLAPSED {collapsed}" if collapsed else "",
    }
