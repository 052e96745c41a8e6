"""Records that something has changed: refused with a reason, or of no harm to a report."""

import copy
import json
import re
import typing

import pytest
from handmade import record

from common.errors import UserError
from methods import METHODS
from reports import formats, tables
from reports.summary import summarise
from runs import records

CORRUPTED = {"corruption": "patch", "corrupt_count": 5, "known_share": 0.5}
SUITABILITY = {
    "denominator": "D",
    "overlap": 0.4,
    "overlap_by_layer": {"conv1": 0.8, "fc": 0.1},
    "selected": {"1": 0.5, "5": 0.1, "10": 0},
    "ceiling": 10.0,
    "adaptive_alpha": 3.0,
}


def set_to(value, *place):
    """Damage that puts the value at this place of a record."""

    def damage(entry):
        part = entry
        for name in place[:-1]:
            part = part[name]
        part[place[-1]] = value

    return damage


def without(name):
    return lambda entry: entry.pop(name)


def corrupted(**config):
    """A record of the task corrupted, with this configuration."""

    def damage(entry):
        entry["task"] = "corrupted"
        entry["config"].update(config)

    return damage


def suitable(**damage):
    """A record whose suitability has these values."""
    return set_to({**SUITABILITY, **damage}, "suitability")


DAMAGE = [
    # of another kind, or missing
    set_to(None, "config"),
    set_to([], "config"),
    set_to({}, "scores"),
    set_to({}, "seconds"),
    without("commit"),
    without("device"),
    set_to(None, "data_hash"),
    set_to([1], "task"),
    set_to("../../evil", "task"),
    set_to("D_f", "unchanged"),
    set_to([1], "collapse"),
    set_to(["cat"], "forgotten_before"),
    set_to("python x 'oops", "command"),
    set_to(["python"], "command"),
    set_to("yesterday", "date"),
    # scores
    set_to(None, "scores", "MIA"),
    set_to(float("nan"), "scores", "MIA"),
    set_to(-0.1, "scores", "MIA"),
    set_to(None, "scores", "AttackSuccess"),
    set_to(101, "scores", "AttackSuccess"),
    set_to(1e308, "scores", "Df"),
    set_to(100.1, "scores", "Df"),
    set_to(True, "scores", "TestAcc"),
    set_to(10**400, "scores", "TestAcc"),
    set_to(0.3, "scores", "ZRF"),  # by the paper at least 1 - ln 2 = 0.307
    set_to(1.01, "scores", "ZRF"),
    # times, counts and shares
    set_to(None, "seconds", "method"),
    set_to(-1, "seconds", "method"),
    set_to(1e308, "seconds", "evaluation"),
    set_to(-1, "seconds", "full_importance"),
    set_to(1.5, "selected"),
    set_to({"a": 2}, "selected_by_name"),
    set_to(-1, "adaptive_alpha"),
    suitable(overlap=1.01),
    suitable(overlap=float("nan")),
    suitable(overlap_by_layer={"fc": -0.1}),
    suitable(selected={"1": 1.5}),
    suitable(selected={"-1": 0.5}),
    suitable(selected={"inf": 0.5}),
    suitable(selected={"many": 0.5}),
    suitable(ceiling=0.9),
    suitable(adaptive_alpha=-1),
    suitable(denominator=None),
    set_to({"D": 10, "D_f": 0}, "sizes"),
    set_to({"D": 10, "D_f": 11}, "sizes"),
    set_to({"D": 10}, "sizes"),
    set_to([0] * 20, "entropy_histogram"),
    set_to([1], "entropy_histogram"),
    set_to([-1] * 10 + [2] * 10, "entropy_histogram"),
    # the configuration
    set_to("lr=1", "config", "set"),
    set_to({"lr": float("inf")}, "config", "set"),
    set_to({"lr": float("nan")}, "config", "hyperparameters"),
    set_to([0.1], "config", "hyperparameters"),
    set_to(None, "config", "train_seed"),
    set_to(2**64, "config", "train_seed"),
    set_to(-1, "config", "seed"),
    set_to("../evil", "config", "net"),
    set_to("N" * 300, "config", "net"),
    set_to("Folder", "config", "dataset"),  # whose folder is not named
    set_to(None, "config", "forget"),
    set_to("abc", "config", "alpha"),
    set_to(-1, "config", "alpha"),
    set_to(1, "config", "alpha"),  # without lambda
    set_to(0, "config", "b"),
    set_to(64.5, "config", "b"),
    set_to([1], "config", "importance"),
    set_to({"tol": "small"}, "config", "mia"),
    set_to("yes", "config", "validation"),
    # corrupted data
    set_to("corrupted", "task"),
    set_to("patch", "config", "corruption"),  # of a task that heals nothing
    corrupted(**CORRUPTED | {"corruption": "a b"}),
    corrupted(**CORRUPTED | {"corrupt_count": 0}),
    corrupted(**CORRUPTED | {"known_share": 0}),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_left_out_and_the_rest_is_read(tmp_path, damage, capsys):
    broken = record("ssd", 0, 1, 2, 3)
    damage(broken)
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    records.write(tmp_path / "whole.json", record("ssd", 0, 1, 2, 3))
    assert len(records.read_all(tmp_path)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("left out: ")
    assert "broken.json is no record of this version (" in line


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            set_to(1e308, "scores", "Df"),
            "scores.Df is 1e+308: Input should be less than or equal to 100",
        ),
        (
            set_to("abc", "config", "alpha"),
            "config.alpha is 'abc': Input should be a valid number",
        ),
        (set_to("python x 'oops", "command"), "command is"),
        (set_to(None, "device"), "device is None: Input should be a valid string"),
        (set_to(None, "date"), "date is null; it must be missing"),
    ],
)
def test_the_reason_names_the_field(tmp_path, damage, reason):
    broken = record("ssd", 0, 1, 2, 3)
    damage(broken)
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(UserError, match=re.escape(reason)):
        records.read(path)


# ---- files that are no records ----


def test_a_torn_and_a_foreign_file_are_no_records(tmp_path, capsys):
    torn, foreign = tmp_path / "torn.json", tmp_path / "foreign.json"
    torn.write_text(json.dumps(record("ssd", 0, 1, 2, 3))[:50])
    foreign.write_text('{"task": "nope", "config": {}, "scores": {}}')
    for path in (torn, foreign):
        with pytest.raises(UserError, match=path.name):
            records.read(path)
    records.write(tmp_path / "whole.json", record("ssd", 0, 1, 2, 3))
    assert len(records.read_all(tmp_path)) == 1
    assert capsys.readouterr().err.count("left out: ") == 2


def test_a_folder_without_a_record_is_an_error(tmp_path):
    with pytest.raises(UserError, match="run an experiment"):
        records.read_all(tmp_path)


def test_a_link_to_nothing_is_left_out(tmp_path, capsys):
    records.write(tmp_path / "whole.json", record("ssd", 0, 1, 2, 3))
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    assert len(records.read_all(tmp_path)) == 1
    assert "left out: " in capsys.readouterr().err


def test_absurdly_nested_json_is_no_record(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="cannot be read"):
        records.read(tmp_path / "deep.json")


# ---- what is sound though it looks odd ----


def test_the_released_zrf_has_no_lower_bound(tmp_path):
    path = tmp_path / "record.json"
    for setting in (
        {"protocol": "released"},
        {"protocol": "paper", "departures": ["zrf_by_elementwise_kl"]},
    ):
        released = record("ssd", 0, 1, 2, 3, **setting)
        released["scores"]["ZRF"] = -2.5
        records.write(path, released)
        assert records.read(path)["scores"]["ZRF"] == -2.5


def test_every_word_that_a_method_takes_may_stand_in_a_record(tmp_path):
    path = tmp_path / "record.json"
    words = []
    for method, entry in METHODS.items():
        for name, parameter in entry.parameters.items():
            choices = typing.get_args(parameter.annotation)
            words += [(method, name, word) for word in choices if isinstance(word, str)]
    assert len(words) >= 4  # D and D_r of two methods
    for method, name, word in words:
        records.write(path, record(method, 0, 1, 2, 3, set={name: word}))
        assert records.read(path)["config"]["set"] == {name: word}


# ---- every field, with every odd value ----


def full_record():
    """A record with every field that readers know."""
    entry = record(
        "ssd",
        0,
        90,
        5,
        10,
        alpha=10.0,
        selected=0.1,
        full=2.0,
        dataset="Folder",
        data="data/own",
        validation=False,
        duplicates="keep",
        departures=[],
        hyperparameters={"lr": 0.1, "milestones": [1, 2]},
        recipe={"epochs": 2},
        set={"lr": 0.1},
        mia={"C": 2.0, "tol": 1e-10, "max_iter": 100},
    )
    entry |= {
        "command": "python x.py -net Net",
        "date": "2026-11-26",
        "sizes": {"D": 50, "D_f": 5},
        "adaptive_alpha": 3.0,
        "suitability": copy.deepcopy(SUITABILITY),
        "subsample": {"retain": 5, "forget": 5},
        "duplicates": {"groups": 0},
        "class_accuracy": {"cat": 1.0, "owl": None},
        "unchanged": [],
        "forgotten_before": [{"forget": "dog", "method": "ssd"}],
        "test_hash": "e" * 64,
    }
    return entry


def places_in(value, place=()):
    """The place of every value in nested dictionaries and lists, as keys."""
    if place:
        yield place
    if isinstance(value, dict):
        for name, part in value.items():
            yield from places_in(part, (*place, name))
    elif isinstance(value, list) and value:
        yield from places_in(value[0], (*place, 0))


ODD_VALUES = [
    None,
    "",
    "$x_$",
    "a|b\n\r\t<b>",
    "\udce9",
    "y" * 5000,
    "python x 'oops",
    -1,
    0,
    1,
    2.5,
    1e-320,
    1e308,
    10**400,
    float("nan"),
    True,
    [],
    [None],
    {},
    {"a": None},
    [[[]]],
]


def odd_records():
    """Full records, each with one odd value; every one has an unlearning seed of its own."""
    for seed, place in enumerate(places_in(full_record())):
        for number, value in enumerate(ODD_VALUES):
            entry = full_record()
            entry["config"]["seed"] = len(ODD_VALUES) * seed + number
            set_to(value, *place)(entry)
            yield entry


@pytest.fixture(scope="module")
def sound_records(tmp_path_factory):
    """The odd records that can be read. The others are refused in one line."""
    path = tmp_path_factory.mktemp("odd") / "record.json"
    sound, refused = [], 0
    for entry in odd_records():
        path.write_text(json.dumps(entry))
        try:
            sound.append(records.read(path))
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 1000
    return sound


def test_an_odd_record_that_is_sound_can_be_shown(sound_records):
    assert len(sound_records) > 250
    for entry in sound_records:
        assert records.readable(entry)


def test_an_odd_record_that_is_sound_can_be_reported(sound_records):
    beside = [
        record("retrain", 0, 94, 0, 20, dataset="Folder", data="data/own"),
        record("baseline", 0, 95, 96, 97, dataset="Folder", data="data/own"),
    ]
    for start in range(0, len(sound_records), 10):
        summaries = summarise([*copy.deepcopy(beside), *sound_records[start : start + 10]])
        chapters = tables.chapters(summaries)
        assert formats.markdown(chapters)
        assert formats.latex(chapters)
        assert formats.csv(summaries)
