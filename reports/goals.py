"""What runs are measured against: the original network, and the retrain that is the goal."""

import math

import pandas as pd

from reports.frame import SCORES
from runs import records

# A run agrees in these with the original that it started from, and with the goal.
SAME_START = ["training", "weights", "data", "b", "numerics"]
COMPARED = [*SCORES, "test %"]  # columns of which pairs hold the difference


def is_deterministic(runs, task):
    """For each run whether its variant draws no random number; equal scores confirm it."""
    if not task.forgets_class:  # the seed draws D_f
        return False
    by_training = runs.groupby(["variant", "training"])[list(SCORES)]
    equal = by_training.transform("nunique").eq(1).all(axis="columns")
    always_equal = equal.groupby(runs["variant"]).transform("all")
    return always_equal & ~runs["draws_for_class"]


def with_verdicts(runs, task):
    """The runs with two more columns: whether a run has collapsed, whether D_f is unchanged."""
    same = ["forget", *SAME_START]
    # Where a class is forgotten, the original has the same scores for every unlearning seed.
    same_original = same if task.forgets_class else [*same, "seed"]
    runs = _beside(runs, runs[runs["is_original"]], same_original, "original")
    runs = _beside(runs, runs[runs["is_goal"]], [*same, "seed"], "goal")
    collapsed, unchanged = [], []
    for run in runs.to_dict("records"):
        collapsed.append(_has_collapsed(run))
        unchanged.append(_has_changed_nothing(run))
    return runs.assign(collapsed=collapsed, unchanged=unchanged)


def _beside(runs, references, same, name):
    """The runs with the scores of the reference that agrees with each in the columns `same`.

    Its columns end in the name; they are NaN where there is none. Of several it is the first.
    """
    reference = _usual(references, same).drop_duplicates(same)
    scores = reference[[*same, *SCORES]]
    return runs.merge(scores, on=same, how="left", suffixes=("", f" of {name}"))


def _usual(references, same):
    """The references with the most usual settings, among those with equal columns `same`."""
    most_usual = references.groupby(same)["unusual"].transform("min")
    return references[references["unusual"] == most_usual]


def _has_collapsed(run):
    record = run["record"]
    original_d_r, goal_d_f = _or_none(run["D_r % of original"]), _or_none(run["D_f % of goal"])
    reasons = records.collapse(record["task"], record["scores"], original_d_r, goal_d_f)
    return bool(reasons or record["collapse"])


def _has_changed_nothing(run):
    """What the record says; where it is of an older version, what the baseline's record tells."""
    record = run["record"]
    if "unchanged" in record:
        return bool(record["unchanged"])
    original_d_f, goal_d_f = _or_none(run["D_f % of original"]), _or_none(run["D_f % of goal"])
    return bool(records.unchanged(run["method"], record["scores"], original_d_f, goal_d_f))


def _or_none(value):
    return None if math.isnan(value) else value


def pairs(runs):
    """A line for each pair of a run and the retrain that is its goal.

    Columns: the run's `variant` and `seconds`, `seconds of goal`, the differences in SCORES, and
    `tug of war`, the product of 1 - |difference| in D_r, D_f and the accuracy on all test images.
    """
    goals = runs[runs["is_goal"]]
    goals = goals.assign(goal_set=goals["forget"])
    runs = runs.assign(goal_set=_goal_sets(runs))
    same = ["goal_set", *SAME_START]
    drawn = runs[~runs["deterministic"]]
    fixed = runs[runs["deterministic"]]
    fixed = fixed.drop_duplicates(["variant", "training"], keep="last")
    pairs = pd.concat([_paired(drawn, goals, [*same, "seed"]), _paired(fixed, goals, same)])
    lost = pairs[["D_r %", "D_f %", "test %"]].abs() / 100
    return pairs.assign(**{"tug of war": (1 - lost).prod(axis="columns")})


def _goal_sets(runs):
    """For each run the forget set whose retrain is its goal.

    It is its own. For corrupted data it is that to which every corrupted image is known, where it
    was run: only this retrain has a training set without any.
    """
    clean = runs[runs["is_goal"] & (runs["known_share"] == 1)]
    clean_sets = clean.drop_duplicates("corruption").set_index("corruption")["forget"]
    goal_sets = runs["corruption"].map(clean_sets)
    return goal_sets.where(goal_sets.notna(), runs["forget"])


def _paired(runs, goals, same):
    """The pairs of runs and goals that agree in the columns `same`."""
    numbers = [*COMPARED, "seconds"]
    goals = _usual(goals, same)[[*same, *numbers]]
    runs = runs[["variant", *same, *numbers]]
    pairs = runs.merge(goals, on=same, suffixes=("", " of goal"))
    for name in COMPARED:
        pairs[name] -= pairs[f"{name} of goal"]
    return pairs[["variant", *numbers, "seconds of goal"]]
