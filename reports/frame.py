"""Records into a data frame with a line per run, and what tells its runs apart.

Three words, from wide to narrow. Runs of one *setup* (task, network, data, protocol) share a table.
Runs of one *variant* (a method with its settings on one forget set) share a row of it. The *label*
is what the row is called.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.files import sha256
from learning.recipes import PUBLISHED
from reports import lookup
from reports.texts import shown
from runs.identity import ROW

# {column: name in a record} of the scores whose distance to retrain counts, and of those that only
# have a column, where some record holds them.
SCORES = {"D_r %": "RetainTestAcc", "D_f %": "Df", "MIA %": "MIA"}
MORE_SCORES = {"attack %": "AttackSuccess", "REM Healed %": "Healed", "REM Utility %": "Utility"}
# Columns of which a row has the mean.
VALUES = [*SCORES, *MORE_SCORES, "seconds", "I_D s", "selected %"]
DIALS = ["b", "alpha", "lambda"]  # by which the rows of a method are sorted
ALWAYS_COMPARED = {*ROW, "data", "after", "weights"}  # the other settings are hyper-parameters
NOT_RECORDED = "hyper-parameters"  # a setting of its own where an older record lacks them
OLD_TOLERANCE = 1e-4  # scikit-learn's default, by which MIA was fitted before records named one

# Names from users may hold bytes that are no text, which strings in Arrow's memory cannot.
pd.options.mode.string_storage = "python"


@dataclass(frozen=True)
class Setup:
    """What the runs of one table share."""

    task: str
    net: str
    dataset: str
    protocol: str
    validation: bool  # scored on a part of the training images in place of the test images
    folder: str  # the name of a folder of images; empty for other data sets
    recipe: str  # by which the networks were trained, by name

    @property
    def columns(self) -> dict[str, str]:
        """{column: text} of it in a flat table, as report.csv and audit.csv have them."""
        return {
            "task": self.task,
            "net": self.net,
            "dataset": self.dataset,
            "folder": self.folder,
            "protocol": self.protocol,
            "recipe": self.recipe,
            "images": "validation" if self.validation else "test",
        }

    @property
    def title(self) -> str:
        """What its table is called."""
        dataset = f"{self.dataset} {_told_apart(self.folder, 60)}".strip()
        task = lookup.task(self.task).title
        recipe = "" if self.recipe == PUBLISHED else f", recipe {_told_apart(self.recipe, 20)}"
        title = f"{task}: {self.net} on {dataset} (protocol {self.protocol}{recipe})"
        return f"Trials on validation images. {title}" if self.validation else title


def _told_apart(name, letters):
    """A name in so many letters; one that is shortened bears letters of its hash."""
    text = shown(name, letters)
    if text == name:
        return text
    return f"{text} {sha256(name.encode(errors='backslashreplace'))[:4]}"


def of_records(records: list[dict]) -> pd.DataFrame:
    """A line per run, in the order of the tables; of runs that were done twice the newest.

    Columns: those of `_about` and `_numbers`; `settings`, pairs of a name and a text; `variant`, a
    number, one for each setup, forget set, method and settings; and the `label`.
    """
    records = sorted(records, key=_place)
    lines = [{**_about(record), **_numbers(record)} for record in records]
    runs = pd.DataFrame(lines, dtype=object)  # as objects nothing is converted
    runs = runs.astype(dict.fromkeys(_numbers(records[0]), float))
    runs = runs.astype(dict.fromkeys(["is_original", "is_goal", "draws_for_class"], bool))
    runs["settings"] = _settings_of(runs)
    runs["variant"] = runs.groupby(["setup", "forget", "method", "settings"], sort=False).ngroup()
    runs["unusual"] = runs.groupby("variant")["unusual"].transform("min")
    runs = _newest(runs)
    runs["label"] = runs["variant"].map(_labels(runs))
    return runs


def _about(record):
    """What tells which runs belong together."""
    config = record["config"]
    method = lookup.method(config["method"])
    corruption, known_share = corruption_of(record)
    return {
        "record": record,
        "setup": _setup_of(record),
        "forget": config["forget"],
        "corruption": corruption,
        "known_share": known_share,
        "method": config["method"],
        "is_original": method.is_original,
        "is_goal": method.is_goal,
        "draws_for_class": method.draws_for_class,
        "given": config["set"],
        # Of two goals that a run could have the one with nothing set counts, then the one whose
        # hyper-parameters are recorded.
        "unusual": 2 * bool(config["set"]) + ("hyperparameters" not in config),
        "training": config["train_seed"],
        "seed": config["seed"],
        "weights": record["weights_hash"],
        "data": _data_of(record),
        "after": forgotten_before(record),
        "numerics": config["numerics"],
        "date": record.get("date", ""),
    }


def _numbers(record):
    """VALUES, DIALS, and what else is compared as a number; None where a record has none."""
    scores, seconds, selected = record["scores"], record["seconds"], record["selected"]
    numbers = {
        "test %": scores["TestAcc"],
        "seconds": seconds["method"],
        "I_D s": seconds["full_importance"],
        "selected %": None if selected is None else 100 * selected,
        "mia_tolerance": mia_tolerance(record),
    }
    for name, score in {**SCORES, **MORE_SCORES}.items():
        numbers[name] = scores.get(score)
    for name in DIALS:
        numbers[name] = record["config"][name] or 0
    return numbers


def _setup_of(record):
    config = record["config"]
    return Setup(
        task=record["task"],
        net=config["net"],
        dataset=config["dataset"],
        protocol=config["protocol"],
        validation=config.get("validation", False),
        folder=Path(config["data"]).name if config["dataset"] == "Folder" else "",
        recipe=str((config.get("recipe") or {}).get("name", PUBLISHED)),
    )


def _place(record):
    """Trials on validation images come after the tests; within either the tasks have an order."""
    setup = _setup_of(record)
    return setup.validation, lookup.place_of_task(setup.task)


def _newest(runs):
    """Of several records of one run that with the finest fit of MIA, of equal ones the youngest."""
    by_age = runs.sort_values(["mia_tolerance", "date"], ascending=[False, True])
    newest = by_age.drop_duplicates(["variant", "training", "seed"], keep="last")
    return newest.sort_values(["variant", "training", "seed"])


# ---- parts of a record ----


def corruption_of(record: dict) -> tuple:
    """(how many images are corrupted and how, the share of them that is known); None where none."""
    config = record["config"]
    if "corruption" not in config:
        return None, None
    return f"{config['corrupt_count']} {config['corruption']}", config["known_share"]


def _data_of(record):
    """The images, by the first letters of their hashes.

    Of corrupted data only the test images: each training seed corrupts other training images.
    """
    of_test = record.get("test_hash", "")[:6]
    if "corruption" in record["config"]:
        return of_test
    return record["data_hash"][:6] + of_test


def forgotten_before(record: dict) -> str:
    """What the network had forgotten before this run; empty where it had nothing."""
    return ", ".join(earlier["forget"] for earlier in record.get("forgotten_before", []))


def mia_tolerance(record: dict) -> float:
    """The tolerance at which the fit of the membership inference attack stopped."""
    return record["config"].get("mia", {}).get("tol", OLD_TOLERANCE)


# ---- what tells the rows of one method apart ----


def _settings_of(runs):
    """The settings of every run as pairs of a name and a text, in the order of a label.

    A training seed is none of them. Another network by the same training seed is one.
    """
    networks = runs.groupby(["setup", "training", "after"], sort=False)["weights"]
    several = networks.transform("nunique") > 1
    settings = []
    for record, is_one_of_several in zip(runs["record"], several, strict=True):
        texts = _settings_in(record)
        if is_one_of_several:
            texts["weights"] = record["weights_hash"][:6]
        settings.append(tuple(texts.items()))
    return settings


def _settings_in(record):
    """{name: text} of the settings that a record holds."""
    config = record["config"]
    texts = {name: _text(config.get(name)) for name in ROW}
    texts["data"] = _data_of(record)
    if earlier := forgotten_before(record):
        texts["after"] = earlier
    if lookup.method(config["method"]).is_original:  # doing nothing has no hyper-parameters
        return texts
    if "hyperparameters" not in config:
        texts[NOT_RECORDED] = "not recorded"
    for name, value in config.get("hyperparameters", config["set"]).items():
        if name != "batch_size" or value != config["b"]:
            texts[name] = _text(value)
    return texts


def _text(value):
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _labels(runs):
    """{variant: label}: the method with the settings that differ between its rows or were given.

    One label means one setting in every section of a table, so that means over sections are means
    of the same.
    """
    variants = runs.drop_duplicates("variant")
    labels = {}
    for (_, method), in_table in variants.groupby(["setup", "method"], sort=False):
        differing = _differing(in_table["settings"])
        if in_table["corruption"].notna().any():
            differing -= {"data", "weights"}  # by nature: what is corrupted is other data
        for _, in_section in in_table.groupby("forget", sort=False):
            differing_here = differing | _differing(in_section["settings"])
            for variant, settings, given in in_section[["variant", "settings", "given"]].values:
                labels[variant] = _label(method, settings, differing_here.union(given))
    return labels


def _label(method, settings, named):
    parts = [f"{name} {text}" for name, text in settings if name in named]
    return f"{method} ({', '.join(parts)})" if parts else method


def _differing(settings):
    """The names of the settings that are not the same in all of these.

    Hyper-parameters that some have not recorded count as one name.
    """
    all_settings = [dict(pairs) for pairs in settings]
    recorded = [texts for texts in all_settings if NOT_RECORDED not in texts]
    unrecorded = [texts for texts in all_settings if NOT_RECORDED in texts]
    names = _unequal(recorded) | _unequal(unrecorded)
    if recorded and unrecorded:
        names |= _unequal(all_settings) & {*ALWAYS_COMPARED, NOT_RECORDED}
    return names


def _unequal(all_settings):
    """The names that have not one and the same text in all of these."""
    texts = {}
    for settings in all_settings:
        for name, text in settings.items():
            texts.setdefault(name, []).append(text)
    unequal = set()
    for name, of_name in texts.items():
        if len(of_name) < len(all_settings) or len(set(of_name)) > 1:
            unequal.add(name)
    return unequal
