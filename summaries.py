"""Records into numbers: what is averaged over what, with which spread, and how far it is from retrain.

Nothing here reads a file or draws. Over unlearning seeds, over training seeds and over classes are three things: the
first is the ± of a row, the second a ± of its own, the third a row of its own.
"""

import statistics
from dataclasses import dataclass
from pathlib import Path
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


def tables(found):
    """{(task, net, dataset, protocol): {forgotten: [Row, ...]}}; a method that a class lacks has a Row without runs."""
    groups, networks = {}, {}
    for record in found:
        networks.setdefault(_training(record), set()).add(record["weights_hash"])
    for record in sorted(found, key=lambda record: [*TASKS, record["task"]].index(record["task"])):
        config = record["config"]
        section = groups.setdefault((record["task"], config["net"], config["dataset"], config["protocol"]), {})
        mine = settings(record)
        if len(networks[_training(record)]) > 1:
            mine["weights"] = record["weights_hash"][:6]
        variant = section.setdefault(config["forget"], {}).setdefault((config["method"], tuple(mine.items())), {})
        variant[config["train_seed"], config["seed"]] = record  # one run counts once
    return {key: _with_missing({name: _rows(variants, _goals(variants, sections)) for name, variants in sections.items()})
            for key, sections in groups.items()}  # fmt: skip


def title_of(key, sections):
    """What a table, by its (task, net, dataset, protocol), is called; a folder of images by its name."""
    task, net, dataset, protocol = key
    if dataset == "Folder":
        folders = {Path(run["config"]["data"]).name for rows in sections.values() for row in rows for run in row.runs}
        dataset = f"Folder {', '.join(sorted(folders))}"
    return f"{TASKS.get(task, task)}: {net} on {dataset} (protocol {protocol})"


def _goals(variants, sections):
    """Where a section's retrain is: its own; for corrupted data, where it was run, the one that has the truly clean set."""
    for other in sections.values():
        (corruption, share), (mine, _) = (corrupted(next(iter(next(iter(part.values())).values()))) for part in (other, variants))
        if share == 1 and corruption == mine and any(method == "retrain" for method, _ in other):
            return other
    return variants


def corrupted(record):
    """(how many images are corrupted and how, the share of them that is known) of a run; (None, None) of other tasks."""
    config = record["config"]
    return (f"{config['corrupt_count']} {config['corruption']}", config["known_share"]) if "corruption" in config else (None, None)


def _training(record):
    return tuple(record["config"][name] for name in ("net", "dataset", "train_seed"))


def settings(record):
    """What sets two rows of one method apart, as texts; training seeds do not, another network by the same seed does."""
    config = record["config"]
    own = {name: _text(value) for name, value in config["set"].items()}
    data = record["data_hash"][:6] + record.get("test_hash", "")[:6]
    return {**{name: _text(config[name]) for name in SETTINGS}, "data": data, **own}


def _text(value):
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _rows(variants, goals):
    def size(variant):
        (method, _), runs = variant
        config = next(iter(runs.values()))["config"]
        return FIRST.get(method, 2), method, *[config[k] or 0 for k in ("b", "alpha", "lambda")]

    rows = []
    for (method, mine), runs in sorted(variants.items(), key=size):
        others = [dict(other) for name, other in variants if name == method]
        own = next(iter(runs.values()))["config"]["set"]
        differing = {k for other in others for k in {**dict(mine), **other} if dict(mine).get(k) != other.get(k)}
        said = ", ".join(f"{k} {v}" for k, v in mine if k in differing or k in own)
        rows.append(_row(f"{method} ({said})" if said else method, method, runs, variants, goals))
    return rows


def _row(label, method, runs, variants, goals):
    deterministic = _deterministic(runs)
    once = {training: record for (training, _), record in runs.items()}.values() if deterministic else runs.values()
    pairs = [(record, goal) for record in once for goal in _others("retrain", record, goals, any_seed=deterministic)]
    gaps = {name: [run["scores"][score] - goal["scores"][score] for run, goal in pairs] for name, score in SCORES.items()}
    tests = [run["scores"]["TestAcc"] - goal["scores"]["TestAcc"] for run, goal in pairs]
    wars = [(1 - abs(r) / 100) * (1 - abs(f) / 100) * (1 - abs(t) / 100)
            for r, f, t in zip(gaps["D_r %"], gaps["D_f %"], tests, strict=True)]  # fmt: skip
    own, goals = ([run["seconds"]["method"] for run in part] for part in (list(zip(*pairs, strict=True)) or ((), ())))
    seconds = statistics.fmean(run["seconds"]["method"] for run in runs.values()) if deterministic else sum(own) / max(1, len(own))
    return Row(
        label, method, tuple(runs.values()), _values(runs), deterministic,
        {name: interval(values) for name, values in gaps.items() if values}, len(pairs),
        statistics.fmean(abs(value) for values in gaps.values() for value in values) if pairs else None,
        statistics.fmean(wars) if pairs else None, statistics.fmean(goals) / seconds if pairs and seconds else None,
        sum(bool(_collapse(record, variants)) for record in runs.values()),
    )  # fmt: skip


def _others(method, record, variants, any_seed):
    """The method's records by the same network, data, batch size and numerics, by the same unlearning seed or by any."""
    mine, config = settings(record), record["config"]
    return [other for (name, theirs), runs in variants.items() for (training, seed), other in runs.items()
            if name == method and training == config["train_seed"] and (any_seed or seed == config["seed"])
            and other["weights_hash"] == record["weights_hash"]
            and all(dict(theirs)[k] == mine[k] for k in ("b", "data", "numerics"))]  # fmt: skip


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
    """{label: {column: (mean, sample standard deviation over classes)}} of the methods that were run on every class, two or more.

    "distance" is a column too.
    """
    by_label = {}
    for row in (row for rows in sections.values() for row in rows if row.runs):
        distance = {} if row.distance is None else {"distance": row.distance}
        by_label.setdefault(row.label, []).append({name: value.mean for name, value in row.values.items()} | distance)
    return {label: {name: (statistics.fmean(found[name] for found in values), statistics.stdev(found[name] for found in values))
                    for name in values[0] if all(name in found for found in values)}
            for label, values in by_label.items() if len(values) == len(sections)}  # fmt: skip
