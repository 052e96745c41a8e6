"""Records into numbers: what is averaged over what, with which spread, and how far it is from retrain.

Nothing here reads a file or draws. Over unlearning seeds, over training seeds and over classes are
three things: the first is the ± of a row, the second a ± of its own, the third a row of its own.
"""

import math
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from scipy import stats

from runs import records

SCORES = {"D_r %": "RetainTestAcc", "D_f %": "Df", "MIA %": "MIA"}


TASKS = {
    "full_class": "Forget one class",
    "sub_class": "Forget one sub-class",
    "random": "Forget random images",
    "corrupted": "Heal corrupted training data",
}


AVERAGED = {
    "full_class": "classes",
    "sub_class": "sub-classes",
}  # over what a task's tables average


SETTINGS = ("b", "alpha", "lambda", "importance", "numerics")


ALWAYS_COMPARED = (*SETTINGS, "data", "after", "weights")  # the others are hyper-parameters


NOT_RECORDED = "hyper-parameters"  # a setting of its own where an older record lacks them


OLD_TOLERANCE = 1e-4  # scikit-learn's default, by which MIA was fitted before records named one


FIRST = {"retrain": 0, "baseline": 1}  # the rest by name


class Spread(NamedTuple):
    """A mean with what it is over: n values, their sample standard deviation (None for one), and between trainings."""

    mean: float
    over_seeds: float | None
    over_trainings: float | None


@dataclass(frozen=True)
class Row:
    """One method on one forgotten class: its records and what they say beside those of retrain and baseline."""

    label: str
    method: str
    settings: dict  # {name: text}
    runs: tuple  # records, of one training seed or several
    values: dict  # {column: Spread}: D_r %, D_f %, MIA %, attack %, seconds, I_D s, selected %
    deterministic: bool  # no score but ZRF depends on the unlearning seed
    # {column: (mean, low, high) of the differences to the retrain of the same seeds}, ends None for
    # one pair
    gaps: dict
    # runs with the retrain of their own seeds; a deterministic run stands beside those of all
    # unlearning seeds
    pairs: int
    distance: float | None  # mean over runs and scores of |difference to retrain|, points
    tug_of_war: (
        float | None
    )  # mean over runs of (1 - |D_r gap|) (1 - |D_f gap|) (1 - |test gap|), 0 to 1
    speed_up: float | None  # retrain's seconds over the method's, over the same pairs
    collapsed: int
    unchanged: int  # runs that were to forget and have left D_f within a point of the baseline's


def spread(values_by_training):
    """Spread of {training seed: values over unlearning seeds}; with several trainings ± over seeds is their mean."""
    means = [statistics.fmean(values) for values in values_by_training.values()]
    within = [statistics.stdev(values) for values in values_by_training.values() if len(values) > 1]
    return Spread(
        statistics.fmean(means),
        statistics.fmean(within) if within else None,
        statistics.stdev(means) if len(means) > 1 else None,
    )


def interval(differences):
    """(mean, low, high) of paired differences by Student's t at 95 %; ends None for one pair."""
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return mean, None, None
    half = (
        stats.t.ppf(0.975, len(differences) - 1)
        * statistics.stdev(differences)
        / len(differences) ** 0.5
    )
    return mean, mean - half, mean + half


class Table(NamedTuple):
    """What the runs of one table share."""

    task: str
    net: str
    dataset: str
    protocol: str
    validation: bool  # scored on images parted from the training images, and not on test images
    folder: str  # the name of a folder of images, empty for other data sets


class Variant(NamedTuple):
    """Runs that differ in their seeds alone."""

    method: str
    settings: dict  # {name: text}
    runs: dict  # {(training seed, unlearning seed): record}

    def any_run(self):
        return next(iter(self.runs.values()))


def tables(found):
    """{Table: {forgotten: [Row, ...]}}; a method that a class lacks has a Row without runs.

    found: records. Tables of trials on validation images come last. Of one run that is there twice
    the record counts whose MIA was fitted more finely, then the later one.
    """
    networks, runs, groups = {}, {}, {}
    for record in found:
        networks.setdefault(_training_of(record), set()).add(record["weights_hash"])
    for record in sorted(found, key=_place_of_table):
        config, texts = record["config"], settings(record)
        if len(networks[_training_of(record)]) > 1:
            texts["weights"] = record["weights_hash"][:6]
        kind = _table_of(record), config["forget"], config["method"], tuple(texts.items())
        by_seeds = runs.setdefault(kind, {})
        seeds = config["train_seed"], config["seed"]
        if seeds not in by_seeds or _newness(record) >= _newness(by_seeds[seeds]):
            by_seeds[seeds] = record
    for (table, forgotten, method, texts), by_seeds in runs.items():
        sections = groups.setdefault(table, {})
        sections.setdefault(forgotten, []).append(Variant(method, dict(texts), by_seeds))
    return {table: _with_missing(_rows_of(sections)) for table, sections in groups.items()}


def _table_of(record):
    config = record["config"]
    return Table(
        task=record["task"],
        net=config["net"],
        dataset=config["dataset"],
        protocol=config["protocol"],
        validation=config.get("validation", False),
        folder=Path(config["data"]).name if config["dataset"] == "Folder" else "",
    )


def _place_of_table(record):
    table = _table_of(record)
    return table.validation, [*TASKS, table.task].index(table.task)


def _training_of(record):
    """What tells one trained network from another: where it is the same, one network is expected."""
    return _table_of(record), record["config"]["train_seed"], forgotten_before(record)


def _newness(record):
    return -mia_tolerance(record), record.get("date", "")


def _rows_of(sections):
    """{forgotten: rows} of {forgotten: variants}."""
    every_variant = [variant for variants in sections.values() for variant in variants]
    rows = {}
    for forgotten, variants in sections.items():
        labels = [_label(variant, variants, every_variant) for variant in variants]
        rows[forgotten] = _rows(variants, labels, _goals(variants, sections))
    return rows


def _goals(variants, sections):
    """Where a section's retrain is: its own; for corrupted data, where it was run, the one that has the truly clean set."""
    mine, _ = corrupted(variants[0].any_run())
    for other in sections.values():
        corruption, share = corrupted(other[0].any_run())
        if (
            share == 1
            and corruption == mine
            and any(variant.method == "retrain" for variant in other)
        ):
            return other
    return variants


def corrupted(record):
    """(how many images are corrupted and how, the share of them that is known) of a run; (None, None) of other tasks."""
    config = record["config"]
    return (
        (f"{config['corrupt_count']} {config['corruption']}", config["known_share"])
        if "corruption" in config
        else (None, None)
    )


def forgotten_before(record):
    """What the network had forgotten before this run, as a text; empty where it had nothing."""
    return ", ".join(earlier["forget"] for earlier in record.get("forgotten_before", []))


def mia_tolerance(record):
    """The tolerance at which the fit of the membership inference attack stopped."""
    return record["config"].get("mia", {}).get("tol", OLD_TOLERANCE)


def settings(record):
    """What sets two rows of one method apart, as texts; training seeds do not, another network by the same seed does."""
    config = record["config"]
    texts = {name: _text(config[name]) for name in SETTINGS}
    texts["data"] = record["data_hash"][:6] + record.get("test_hash", "")[:6]
    if earlier := forgotten_before(record):
        texts["after"] = earlier
    if config["method"] == "baseline":  # doing nothing has no hyper-parameters
        return texts
    if "hyperparameters" not in config:
        texts[NOT_RECORDED] = "not recorded"
    for name, value in config.get("hyperparameters", config["set"]).items():
        if name != "batch_size" or value != config["b"]:
            texts[name] = _text(value)
    return texts


def _text(value):
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _rows(variants, labels, goals):
    def place(labelled):
        variant, _ = labelled
        config = variant.any_run()["config"]
        dials = [config[name] or 0 for name in ("b", "alpha", "lambda")]
        return FIRST.get(variant.method, 2), variant.method, *dials

    ordered = sorted(zip(variants, labels, strict=True), key=place)
    return [_row(label, variant, variants, goals) for variant, label in ordered]


def _label(variant, section, table):
    """The method with those settings that differ between its rows or were given with -set.

    section, table: all variants of either. One label means one setting in every section, so that
    means over sections are means of the same. The images differ with what is corrupted.
    """
    in_section = [other.settings for other in section if other.method == variant.method]
    in_table = [other.settings for other in table if other.method == variant.method]
    elsewhere = _differing(in_table)
    if "corruption" in variant.any_run()["config"]:
        elsewhere -= {"data", "weights"}
    given = set(variant.any_run()["config"]["set"])
    named = _differing(in_section) | elsewhere | given
    told = [f"{name} {text}" for name, text in variant.settings.items() if name in named]
    return f"{variant.method} ({', '.join(told)})" if told else variant.method


def _differing(settings_of):
    """The names of the settings that are not the same in all of a list of settings.

    Hyper-parameters that some have not recorded count as one name.
    """
    recorded = [settings for settings in settings_of if NOT_RECORDED not in settings]
    unrecorded = [settings for settings in settings_of if NOT_RECORDED in settings]
    names = _unequal(recorded) | _unequal(unrecorded)
    if recorded and unrecorded:
        names |= _unequal(settings_of) & {*ALWAYS_COMPARED, NOT_RECORDED}
    return names


def _unequal(settings_of):
    """The names that are not the same in all of a list of settings."""
    unequal = set()
    for name in set().union(*settings_of):
        values = {settings.get(name) for settings in settings_of}
        if len(values) > 1:
            unequal.add(name)
    return unequal


def _row(label, variant, variants, goals):
    runs, deterministic = variant.runs, _deterministic(variant.runs)
    once = (
        {training: record for (training, _), record in runs.items()}.values()
        if deterministic
        else runs.values()
    )
    pairs = [
        (record, goal)
        for record in once
        for goal in _others("retrain", record, goals, any_seed=deterministic)
    ]
    gaps = {
        name: [run["scores"][score] - goal["scores"][score] for run, goal in pairs]
        for name, score in SCORES.items()
    }
    return Row(
        label=label,
        method=variant.method,
        settings=variant.settings,
        runs=tuple(runs.values()),
        values=_values(runs),
        deterministic=deterministic,
        gaps={name: interval(values) for name, values in gaps.items() if values},
        pairs=len(pairs),
        distance=statistics.fmean(abs(value) for values in gaps.values() for value in values)
        if pairs
        else None,
        tug_of_war=statistics.fmean(_tug_of_war(*pair) for pair in pairs) if pairs else None,
        speed_up=_speed_up(pairs, runs.values() if deterministic else [run for run, _ in pairs])
        if pairs
        else None,
        collapsed=sum(bool(_collapse(record, variants)) for record in runs.values()),
        unchanged=sum(bool(_unchanged(record, variants)) for record in runs.values()),
    )


def _tug_of_war(run, goal):
    return math.prod(
        1 - abs(run["scores"][score] - goal["scores"][score]) / 100
        for score in ("RetainTestAcc", "Df", "TestAcc")
    )


def _speed_up(pairs, runs):
    """retrain's mean seconds over the runs'; None where these took none."""
    seconds = statistics.fmean(run["seconds"]["method"] for run in runs)
    return (
        statistics.fmean(goal["seconds"]["method"] for _, goal in pairs) / seconds
        if seconds
        else None
    )


def _others(method, record, variants, any_seed):
    """The method's records by the same network, data, batch size and numerics, of one seed or of any.

    Where the method was run with several settings, those count where nothing was set, and of these
    the ones whose hyper-parameters are recorded.
    """
    mine, config = settings(record), record["config"]
    by_rank = {}
    for variant in variants:
        shared = all(variant.settings[name] == mine[name] for name in ("b", "data", "numerics"))
        if variant.method != method or not shared:
            continue
        rank = bool(variant.any_run()["config"]["set"]), NOT_RECORDED in variant.settings
        for (training, seed), other in variant.runs.items():
            same_seeds = training == config["train_seed"] and (any_seed or seed == config["seed"])
            if same_seeds and other["weights_hash"] == record["weights_hash"]:
                by_rank.setdefault(rank, []).append(other)
    return by_rank[min(by_rank)] if by_rank else []


def _collapse(record, variants):
    original, goal = _original(record, variants), _goal(record, variants)
    original_d_r = original["scores"]["RetainTestAcc"] if original else None
    goal_d_f = goal["scores"]["Df"] if goal else None
    found = records.collapse(record["task"], record["scores"], original_d_r, goal_d_f)
    return found or record["collapse"]


def _unchanged(record, variants):
    """What the record says; where it is of an older version, what the baseline's record tells."""
    if "unchanged" in record:
        return record["unchanged"]
    original, goal = _original(record, variants), _goal(record, variants)
    original_d_f = original["scores"]["Df"] if original else None
    goal_d_f = goal["scores"]["Df"] if goal else None
    return records.unchanged(record["config"]["method"], record["scores"], original_d_f, goal_d_f)


def _original(record, variants):
    """The record of the network before it forgets, or None.

    Where a class is forgotten it is the same for every unlearning seed.
    """
    any_seed = record["task"] in AVERAGED
    return next(iter(_others("baseline", record, variants, any_seed)), None)


def _goal(record, variants):
    """The record of the retrain of the same seed, or None."""
    return next(iter(_others("retrain", record, variants, any_seed=False)), None)


def _values(runs):
    columns = {
        name: lambda run, score=score: run["scores"][score] for name, score in SCORES.items()
    }
    columns["attack %"] = lambda run: run["scores"].get("AttackSuccess")
    columns["seconds"] = lambda run: run["seconds"]["method"]
    columns["I_D s"] = lambda run: run["seconds"]["full_importance"]
    columns["selected %"] = lambda run: None if run["selected"] is None else 100 * run["selected"]
    values = {}
    for name, value in columns.items():
        by_training = {}
        for (training, _), run in runs.items():
            if value(run) is not None:
                by_training.setdefault(training, []).append(value(run))
        if by_training:
            values[name] = spread(by_training)
    return values


def _deterministic(runs):
    """Doing nothing and dampening draw no random number, and a class is the same for every seed; equal scores confirm it."""
    drawn = any(run["task"] in ("random", "corrupted") for run in runs.values())  # D_f itself is
    if drawn or any(
        run["config"]["method"] != "baseline" and run["selected"] is None for run in runs.values()
    ):
        return False
    by_training = {}
    for (training, _), run in runs.items():
        by_training.setdefault(training, []).append(
            [run["scores"][score] for score in SCORES.values()]
        )
    return all(scores.count(scores[0]) == len(scores) for scores in by_training.values())


def _with_missing(sections):
    labels = {row.label: row for rows in sections.values() for row in rows}
    ordered = sorted(labels.values(), key=lambda row: (FIRST.get(row.method, 2), row.method))
    empty = {label: _without_runs(row) for label, row in labels.items()}
    return {
        name: [{row.label: row for row in rows}.get(row.label, empty[row.label]) for row in ordered]
        for name, rows in sections.items()
    }


def _without_runs(row):
    goals = {"distance": None, "tug_of_war": None, "speed_up": None}
    counts = {"pairs": 0, "collapsed": 0, "unchanged": 0}
    return replace(row, runs=(), values={}, deterministic=False, gaps={}, **goals, **counts)


def over_shares(sections):
    """{corruption: {label: {known share: values}}} of a table of corrupted data, shares ascending."""
    found = {}
    for row in (row for rows in sections.values() for row in rows if row.runs):
        corruption, share = corrupted(row.runs[0])
        found.setdefault(corruption, {}).setdefault(row.label, {})[share] = row.values
    return {
        corruption: {label: dict(sorted(shares.items())) for label, shares in labels.items()}
        for corruption, labels in found.items()
    }


def over_alphas(sections):
    """{what dampens, its other settings: {forgotten: rows by ascending alpha}} where four alphas or more were tried."""
    found = {}
    for forgotten, rows in sections.items():
        for row in rows:
            if row.runs and row.runs[0]["config"]["alpha"]:  # 0 has no place on a logarithmic axis
                own = {k: v for k, v in row.settings.items() if k != "alpha"}
                found.setdefault((row.method, *own.values()), {}).setdefault(forgotten, []).append(
                    row
                )
    series = {
        key: {name: rows for name, rows in by_name.items() if len(rows) > 3}
        for key, by_name in sorted(found.items(), key=lambda item: (item[0][0] != "ssd", *item[0]))
    }
    return {key: by_name for key, by_name in series.items() if by_name}


def over_classes(sections):
    """{label: {column or "distance": (mean, sample standard deviation)}} over two classes or more, of what was run on every one."""
    by_label = {}
    for row in (row for rows in sections.values() for row in rows if row.runs):
        distance = {} if row.distance is None else {"distance": row.distance}
        by_label.setdefault(row.label, []).append(
            {name: value.mean for name, value in row.values.items()} | distance
        )
    return {
        label: {
            name: (
                statistics.fmean(found[name] for found in values),
                statistics.stdev(found[name] for found in values),
            )
            for name in values[0]
            if all(name in found for found in values)
        }
        for label, values in by_label.items()
        if len(values) == len(sections)
    }
