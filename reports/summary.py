"""Records into numbers: a frame of runs, groups of runs, a row for each group.

What is averaged over what, with which spread, and how far it is from retrain. Nothing here reads a
file or draws. Over unlearning seeds, over training seeds and over classes are three things: the
first is the ± of a row, the second a ± of its own, the third a row of its own (averages.py).
"""

import statistics
from dataclasses import dataclass, field
from typing import NamedTuple

from scipy import stats

from reports import frame, goals, lookup
from reports.frame import SCORES, VALUES, Setup

QUANTILE = 0.975  # of Student's t, for intervals at 95 %


class Spread(NamedTuple):
    """A mean, and the sample standard deviations around it; None where there is but one value."""

    mean: float
    over_seeds: float | None
    over_trainings: float | None


class Interval(NamedTuple):
    """The mean of paired differences and the ends of its interval; None where there is one pair."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Row:
    """A method with its settings on one forget set, and how it stands to retrain and baseline.

    A row without runs is of what was run on other forget sets only.
    """

    label: str
    method: str
    settings: dict  # {name: text}
    runs: tuple = ()  # records, of one training seed or several
    values: dict = field(default_factory=dict)  # {column of VALUES: Spread} of what records hold
    deterministic: bool = False  # no score but ZRF depends on the unlearning seed
    # How many pairs there are of a run and the retrain of the same seeds. A deterministic run is
    # paired with the retrains of all unlearning seeds.
    pairs: int = 0
    gaps: dict = field(default_factory=dict)  # {column of SCORES: Interval of the differences}
    distance: float | None = None  # mean over pairs and scores of |difference|, points
    tug_of_war: float | None = None  # mean over pairs of the product of 1 - |difference|, 0 to 1
    speed_up: float | None = None  # retrain's seconds over the method's
    collapsed: int = 0  # runs
    unchanged: int = 0  # runs that were to forget but left D_f within a point of the baseline's


Sections = dict[str, list[Row]]  # {what is forgotten: rows}
Summaries = dict[Setup, Sections]


def summarise(records: list[dict]) -> Summaries:
    """The rows of every setup. All of its sections have rows of the same labels."""
    runs = frame.of_records(records)
    summaries = {}
    for setup, of_setup in runs.groupby("setup", sort=False):
        summaries[setup] = _sections(of_setup, lookup.task(setup.task))
    return summaries


def _sections(runs, task):
    """{what is forgotten: rows} of the runs of one setup."""
    runs = runs.assign(deterministic=goals.is_deterministic(runs, task))
    runs = goals.with_verdicts(runs, task)
    values = _values(runs)
    pairs = dict(list(goals.pairs(runs).groupby("variant")))
    rows = {}
    for (forgotten, variant), of_row in runs.groupby(["forget", "variant"], sort=False):
        first = of_row.iloc[0]
        rows[forgotten, first["label"]] = Row(
            label=first["label"],
            method=first["method"],
            settings=dict(first["settings"]),
            runs=tuple(of_row["record"]),
            values=values[variant],
            deterministic=bool(first["deterministic"]),
            collapsed=int(of_row["collapsed"].sum()),
            unchanged=int(of_row["unchanged"].sum()),
            **_against_goal(of_row, pairs.get(variant)),
        )
    return _arranged(runs, rows)


def _arranged(runs, rows):
    """{what is forgotten: rows} with a row for every label: retrain, baseline, the others by name.

    rows: {(what is forgotten, label): row}.
    """
    first = ["is_goal", "is_original"]
    ascending = [False, False, True, *[True] * len(frame.DIALS)]
    labels = runs.drop_duplicates("label")
    labels = labels.sort_values([*first, "method", *frame.DIALS], ascending=ascending)
    missing = {}
    for label, method, settings in labels[["label", "method", "settings"]].values:
        missing[label] = Row(label, method, dict(settings))
    sections = {}
    for forgotten in runs["forget"].unique():
        sections[forgotten] = [rows.get((forgotten, label), missing[label]) for label in missing]
    return sections


def _values(runs):
    """{variant: {column: Spread}} of the numbers that the records hold."""
    values = {variant: {} for variant in runs["variant"]}
    for name in VALUES:
        recorded = runs.dropna(subset=name)
        by_training = recorded.groupby(["variant", "training"], sort=False)[name].agg(list)
        by_variant = by_training.groupby(level="variant", sort=False).agg(list)
        for variant, lists in by_variant.items():
            values[variant][name] = spread(lists)
    return values


def _against_goal(runs, pairs):
    """The fields of a row that its pairs with retrains give; none where it has none."""
    if pairs is None:
        return {}
    # A deterministic run is paired once, but its seconds were taken as often as it was run.
    timed = runs if runs["deterministic"].all() else pairs
    seconds = statistics.fmean(timed["seconds"])
    goal_seconds = statistics.fmean(pairs["seconds of goal"])
    distances = pairs[list(SCORES)].abs().to_numpy()
    return {
        "pairs": len(pairs),
        "gaps": {name: interval(pairs[name].tolist()) for name in SCORES},
        "distance": statistics.fmean(distances.ravel()),
        "tug_of_war": statistics.fmean(pairs["tug of war"]),
        "speed_up": goal_seconds / seconds if seconds else None,
    }


def spread(by_training: list[list[float]]) -> Spread:
    """The Spread of the values over unlearning seeds, a list for each training seed.

    With several trainings the mean is that of their means, and so is the deviation over seeds.
    """
    means = [statistics.fmean(values) for values in by_training]
    deviations = [statistics.stdev(values) for values in by_training if len(values) > 1]
    return Spread(
        statistics.fmean(means),
        statistics.fmean(deviations) if deviations else None,
        statistics.stdev(means) if len(means) > 1 else None,
    )


def interval(differences: list[float]) -> Interval:
    """The mean of paired differences with its interval by Student's t."""
    mean, count = statistics.fmean(differences), len(differences)
    if count < 2:
        return Interval(mean, None, None)
    quantile = stats.t.ppf(QUANTILE, count - 1)
    half = quantile * statistics.stdev(differences) / count**0.5
    return Interval(mean, mean - half, mean + half)
