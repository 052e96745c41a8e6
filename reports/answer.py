"""The answer that a page opens with: which methods come close to retrain, and at what price."""

import statistics
from dataclasses import dataclass

import pandas as pd

from reports import lookup
from reports.averages import against_goal, run_rows
from reports.frame import Setup
from reports.summary import Row, Sections
from reports.tables import HEALED_NAMES, verdict_of_rows
from reports.texts import shown
from runs.records import short

WITHIN = 2  # points from retrain's D_f and D_r, up to which a method counts as close to it
REMEMBERED = 10  # points of D_f above retrain's, from which on a method has not forgotten
MOST_NAMES = 8  # in a sentence


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
    heals = lookup.task(setup.task).heals
    ordered = sorted(methods, key=lambda label: _rank(methods[label]))
    scores = "healed and in clean images" if heals else "D_f and in D_r"
    sentences = [_close(ordered, methods, sections, scores), _nearest(methods)]
    if not heals:
        remembering = [label for label in ordered if _remembers(methods[label])]
        words = "Have not forgotten on some forget set "
        words += f"(D_f more than {REMEMBERED} points above retrain's)"
        sentences.append(_listed(words, remembering))
    collapsed = [label for label in ordered if _has_collapsed(methods[label])]
    sentences.append(_listed("Collapsed in some run", collapsed))
    sentences.append(_basis(sections))
    cells = [_cells(label, methods[label]) for label in ordered]
    table = pd.DataFrame(cells, dtype=object)
    return Answer(sentences, table.rename(columns=HEALED_NAMES if heals else {}))


def _close(ordered, methods, sections, scores):
    """Which methods are close to retrain on every forget set that has one.

    scores: what these are called in which they are.
    """
    with_retrain = set()
    for rows in methods.values():
        with_retrain.update(rows)
    for forgotten, rows in sections.items():
        if any(row.runs and lookup.method(row.method).is_goal for row in rows):
            with_retrain.add(forgotten)
    close = []
    for label in ordered:
        rows = methods[label]
        if rows.keys() == with_retrain and all(map(_is_close, rows.values())):
            close.append(label)
    where = "on the forget set" if len(sections) == 1 else f"on all {len(with_retrain)} forget sets"
    if len(with_retrain) < len(sections):
        where += " that have a retrain"
    return _listed(f"Within {WITHIN} points of retrain in {scores}, {where}", close)


def _is_close(row: Row) -> bool:
    return all(abs(row.gaps[name].mean) <= WITHIN for name in ("D_f %", "D_r %"))


def _remembers(rows):
    return any(row.gaps["D_f %"].mean > REMEMBERED for row in rows.values())


def _has_collapsed(rows):
    return any(row.collapsed for row in rows.values())


def _rank(rows):
    """Methods that are close on many forget sets come first, of equal ones the nearest."""
    close = sum(map(_is_close, rows.values()))
    return -close, statistics.fmean(row.distance for row in rows.values())


def _listed(words, labels):
    """The words and the first of the labels, as a sentence."""
    names = [shown(label, 60) for label in labels[:MOST_NAMES]]
    if len(labels) > MOST_NAMES:
        names.append(f"and {len(labels) - MOST_NAMES} more")
    return f"{words}: {', '.join(names) or 'none'}."


def _nearest(methods):
    """The method nearest to retrain, of those that were run on as many forget sets as any."""
    most = max(map(len, methods.values()))
    distances = {}
    for label, rows in methods.items():
        if len(rows) == most:
            distances[label] = statistics.fmean(row.distance for row in rows.values())
    best = min(distances, key=lambda label: distances[label])
    faster = _times_faster(methods[best].values())
    time = f", {faster} times as fast" if faster else ""
    return f"Nearest to retrain: {shown(best, 60)}, {distances[best]:.1f} points away{time}."


def _times_faster(rows):
    """How many times as fast as retrain, as a text; empty where it is not known."""
    faster = [row.speed_up for row in rows if row.speed_up]
    return short(statistics.fmean(faster)) if faster else ""


def _basis(sections):
    """How many networks and runs all of this stands on."""
    networks, runs = set(), 0
    for row in run_rows(sections):
        networks.update(run["weights_hash"] for run in row.runs)
        runs += len(row.runs)
    if len(networks) > 1:
        return f"From {runs} runs on {len(networks)} trained networks."
    return f"From {runs} runs on one trained network: do not rank methods that are close."


def _cells(label, by_set):
    """{column: text} of a method, over its forget sets."""
    rows = list(by_set.values())
    faster = _times_faster(rows)
    return {
        "method": shown(label),
        "close": f"{sum(map(_is_close, rows))} of {len(rows)}",
        "D_f - retrain's": f"{_mean_gap(rows, 'D_f %'):+.1f}",
        "D_r - retrain's": f"{_mean_gap(rows, 'D_r %'):+.1f}",
        "distance": f"{statistics.fmean(row.distance for row in rows):.1f}",
        "faster": f"{faster}x" if faster else "",
        "n": str(sum(len(row.runs) for row in rows)),
        "verdict": verdict_of_rows(rows),
    }


def _mean_gap(rows, column):
    return statistics.fmean(row.gaps[column].mean for row in rows)
