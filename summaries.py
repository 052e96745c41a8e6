"""Records into numbers: what is averaged over what, with which spread, and how far it is from retrain.

Nothing here reads a file or draws. Over unlearning seeds, over training seeds and over classes are three things: the
first is the ± of a row, the second a ± of its own, the third a row of its own.
"""

import math
import statistics
from dataclasses import dataclass
from typing import NamedTuple

from scipy import stats

import records

SCORES = {"D_r %": "RetainTestAcc", "D_f %": "Df", "MIA %": "MIA"}
TASKS = {"full_class": "Forget one class", "sub_class": "Forget one sub-class", "random": "Forget random images",
         "corrupted": "Heal corrupted training data"}  # fmt: skip
SETTINGS = ("b", "alpha", "lambda", "importance", "numerics")
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
    runs: tuple  # records, of one training seed or several
    values: dict  # {column: Spread}: D_r %, D_f %, MIA %, attack %, seconds, I_D s, selected %
    deterministic: bool  # no score but ZRF depends on the unlearning seed
    gaps: dict  # {column: (mean, low, high) of the differences to the retrain of the same seeds}, ends None for one pair
    pairs: int  # runs with the retrain of their own seeds; a deterministic run stands beside those of all unlearning seeds
    distance: float | None  # mean over runs and scores of |difference to retrain|, points
    tug_of_war: float | None  # mean over runs of (1 - |D_r gap|) (1 - |D_f gap|) (1 - |test gap|), 0 to 1
    speed_up: float | None  # retrain's seconds over the method's, over the same pairs
    collapsed: int


def spread(values_by_training):
    """Spread of {training seed: values over unlearning seeds}; with several trainings ± over seeds is their mean."""
    means = [statistics.fmean(values) for values in values_by_training.values()]
    within = [statistics.stdev(values) for values in values_by_training.values() if len(values) > 1]
    return Spread(statistics.fmean(means), statistics.fmean(within) if within else None,
                  statistics.stdev(means) if len(means) > 1 else None)  # fmt: skip


def interval(differences):
    """(mean, low, high) of paired differences by Student's t at 95 %; ends None for one pair."""
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return mean, None, None
    half = stats.t.ppf(0.975, len(differences) - 1) * statistics.stdev(differences) / len(differences) ** 0.5
    return mean, mean - half, mean + half


class Variant(NamedTuple):
    """Runs that differ in their seeds alone."""

    method: str
    settings: dict  # {name: text}
    runs: dict  # {(training seed, unlearning seed): record}

    def any_run(self):
        return next(iter(self.runs.values()))


def tables(found):
    """{(task, net, dataset, protocol): {forgotten: [Row, ...]}}; a method that a class lacks has a Row without runs."""

    def trained(record):
        return tuple(record["config"][name] for name in ("net", "dataset", "train_seed"))

    networks, runs, groups = {}, {}, {}
    for record in found:
        networks.setdefault(trained(record), set()).add(record["weights_hash"])
    for record in sorted(found, key=lambda record: [*TASKS, record["task"]].index(record["task"])):
        config, mine = record["config"], settings(record)
        if len(networks[trained(record)]) > 1:
            mine["weights"] = record["weights_hash"][:6]
        table = record["task"], config["net"], config["dataset"], config["protocol"]
        kind = table, config["forget"], config["method"], tuple(mine.items())
        runs.setdefault(kind, {})[config["train_seed"], config["seed"]] = record  # one run counts once
    for (table, forgotten, method, mine), by_seeds in runs.items():
        groups.setdefault(table, {}).setdefault(forgotten, []).append(Variant(method, dict(mine), by_seeds))
    return {table: _with_missing({name: _rows(variants, _goals(variants, sections)) for name, variants in sections.items()})
            for table, sections in groups.items()}  # fmt: skip


def _goals(variants, sections):
    """Where a section's retrain is: its own; for corrupted data, where it was run, the one that has the truly clean set."""
    mine, _ = corrupted(variants[0].any_run())
    for other in sections.values():
        corruption, share = corrupted(other[0].any_run())
        if share == 1 and corruption == mine and any(variant.method == "retrain" for variant in other):
            return other
    return variants


def corrupted(record):
    """(how many images are corrupted and how, the share of them that is known) of a run; (None, None) of other tasks."""
    config = record["config"]
    return (f"{config['corrupt_count']} {config['corruption']}", config["known_share"]) if "corruption" in config else (None, None)


def settings(record):
    """What sets two rows of one method apart, as texts; training seeds do not, another network by the same seed does."""
    config = record["config"]
    own = {name: _text(value) for name, value in config["set"].items()}
    data = record["data_hash"][:6] + record.get("test_hash", "")[:6]
    return {**{name: _text(config[name]) for name in SETTINGS}, "data": data, **own}


def _text(value):
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _rows(variants, goals):
    def place(variant):
        config = variant.any_run()["config"]
        return FIRST.get(variant.method, 2), variant.method, *[config[k] or 0 for k in ("b", "alpha", "lambda")]

    rows = []
    for variant in sorted(variants, key=place):
        mine, own = variant.settings, variant.any_run()["config"]["set"]
        others = [other.settings for other in variants if other.method == variant.method]
        differing = {k for other in others for k in {**mine, **other} if mine.get(k) != other.get(k)}
        said = ", ".join(f"{k} {v}" for k, v in mine.items() if k in differing or k in own)
        rows.append(_row(f"{variant.method} ({said})" if said else variant.method, variant, variants, goals))
    return rows


def _row(label, variant, variants, goals):
    runs, deterministic = variant.runs, _deterministic(variant.runs)
    once = {training: record for (training, _), record in runs.items()}.values() if deterministic else runs.values()
    pairs = [(record, goal) for record in once for goal in _others("retrain", record, goals, any_seed=deterministic)]
    gaps = {name: [run["scores"][score] - goal["scores"][score] for run, goal in pairs] for name, score in SCORES.items()}
    return Row(
        label=label, method=variant.method, runs=tuple(runs.values()), values=_values(runs), deterministic=deterministic,
        gaps={name: interval(values) for name, values in gaps.items() if values}, pairs=len(pairs),
        distance=statistics.fmean(abs(value) for values in gaps.values() for value in values) if pairs else None,
        tug_of_war=statistics.fmean(_tug_of_war(*pair) for pair in pairs) if pairs else None,
        speed_up=_speed_up(pairs, runs.values() if deterministic else [run for run, _ in pairs]) if pairs else None,
        collapsed=sum(bool(_collapse(record, variants)) for record in runs.values()),
    )  # fmt: skip


def _tug_of_war(run, goal):
    return math.prod(1 - abs(run["scores"][score] - goal["scores"][score]) / 100 for score in ("RetainTestAcc", "Df", "TestAcc"))


def _speed_up(pairs, runs):
    """retrain's mean seconds over the runs'; None where these took none."""
    seconds = statistics.fmean(run["seconds"]["method"] for run in runs)
    return statistics.fmean(goal["seconds"]["method"] for _, goal in pairs) / seconds if seconds else None


def _others(method, record, variants, any_seed):
    """The method's records by the same network, data, batch size and numerics, by the same unlearning seed or by any."""
    mine, config = settings(record), record["config"]
    return [other for variant in variants for (training, seed), other in variant.runs.items()
            if variant.method == method and training == config["train_seed"] and (any_seed or seed == config["seed"])
            and other["weights_hash"] == record["weights_hash"]
            and all(variant.settings[k] == mine[k] for k in ("b", "data", "numerics"))]  # fmt: skip


def _collapse(record, variants):
    baseline = _others("baseline", record, variants, any_seed=record["task"] in ("full_class", "sub_class"))
    retrain = _others("retrain", record, variants, any_seed=False)
    goals = [found[0]["scores"][score] if found else None for found, score in ((baseline, "RetainTestAcc"), (retrain, "Df"))]
    return records.collapse(record["task"], record["scores"], *goals) or record["collapse"]


def _values(runs):
    columns = {name: lambda run, score=score: run["scores"][score] for name, score in SCORES.items()}
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
    if drawn or any(run["config"]["method"] != "baseline" and run["selected"] is None for run in runs.values()):
        return False
    by_training = {}
    for (training, _), run in runs.items():
        by_training.setdefault(training, []).append([run["scores"][score] for score in SCORES.values()])
    return all(scores.count(scores[0]) == len(scores) for scores in by_training.values())


def _with_missing(sections):
    labels = {row.label: row for rows in sections.values() for row in rows}
    ordered = sorted(labels.values(), key=lambda row: (FIRST.get(row.method, 2), row.method))
    empty = {label: Row(label, row.method, (), {}, False, {}, 0, None, None, None, 0) for label, row in labels.items()}
    return {name: [{row.label: row for row in rows}.get(row.label, empty[row.label]) for row in ordered]
            for name, rows in sections.items()}  # fmt: skip


def over_shares(sections):
    """{corruption: {label: {known share: values}}} of a table of corrupted data, shares ascending."""
    found = {}
    for row in (row for rows in sections.values() for row in rows if row.runs):
        corruption, share = corrupted(row.runs[0])
        found.setdefault(corruption, {}).setdefault(row.label, {})[share] = row.values
    return {corruption: {label: dict(sorted(shares.items())) for label, shares in labels.items()}
            for corruption, labels in found.items()}  # fmt: skip


def over_alphas(sections):
    """{what dampens, its other settings: {forgotten: rows by ascending alpha}} where four alphas or more were tried."""
    found = {}
    for forgotten, rows in sections.items():
        for row in rows:
            if row.runs and row.runs[0]["config"]["alpha"]:  # 0 has no place on a logarithmic axis
                own = {k: v for k, v in settings(row.runs[0]).items() if k not in ("alpha", "data")}
                found.setdefault((row.method, *own.values()), {}).setdefault(forgotten, []).append(row)
    series = {key: {name: rows for name, rows in by_name.items() if len(rows) > 3}
              for key, by_name in sorted(found.items(), key=lambda item: (item[0][0] != "ssd", *item[0]))}  # fmt: skip
    return {key: by_name for key, by_name in series.items() if by_name}


def over_classes(sections):
    """{label: {column or "distance": (mean, sample standard deviation)}} over two classes or more, of what was run on every one."""
    by_label = {}
    for row in (row for rows in sections.values() for row in rows if row.runs):
        distance = {} if row.distance is None else {"distance": row.distance}
        by_label.setdefault(row.label, []).append({name: value.mean for name, value in row.values.items()} | distance)
    return {label: {name: (statistics.fmean(found[name] for found in values), statistics.stdev(found[name] for found in values))
                    for name in values[0] if all(name in found for found in values)}
            for label, values in by_label.items() if len(values) == len(sections)}  # fmt: skip
