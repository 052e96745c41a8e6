"""Records: their schema, its page in docs, how they are written, read and judged."""

import copy
import json

import pytest
from helpers import ROOT

from common.errors import UserError
from runs import records, schema

PUBLISHED = ROOT / "published"


@pytest.fixture(scope="module")
def published():
    """A record of the repository."""
    path = next((PUBLISHED / "poison").rglob("*.json"))
    return json.loads(path.read_text())


def test_docs_show_the_schema():
    assert (ROOT / "docs" / "records.md").read_text() == schema.page() + "\n"


def test_every_published_record_is_sound():
    paths = sorted(PUBLISHED.glob("*/**/*.json"))
    assert len(paths) > 400
    for path in paths:
        assert schema.reason_against(json.loads(path.read_text())) == "", path


def test_a_later_versions_score_does_no_harm(published, tmp_path):
    record = copy.deepcopy(published)
    record["scores"]["KLoM"] = 5.5
    record["audit"] = {"floor": 0.19}
    records.write(tmp_path / "record.json", record)
    assert records.read(tmp_path / "record.json") == record


@pytest.mark.parametrize(
    ("part", "field", "value", "words"),
    [
        ("scores", "Df", 101, "scores.Df is 101"),
        ("scores", "Df", float("nan"), "scores.Df"),
        ("scores", "KLoM", "high", "scores.KLoM"),
        ("scores", "ZRF", 0.1, "1 - ln 2"),
        ("config", "seed", True, "config.seed is True"),
        ("config", "net", "a net", "config.net"),
        ("config", "lambda", None, "config.lambda"),
        ("seconds", "method", -1, "seconds.method is -1"),
        ("sizes", "D_f", 10**9, "D_f is larger"),
        (None, "command", "python 'x", "command"),
        (None, "date", "yesterday", "date"),
        (None, "entropy_histogram", [0] * 20, "entropy_histogram"),
    ],
)
def test_what_is_no_record_is_said_in_one_line(published, tmp_path, part, field, value, words):
    record = copy.deepcopy(published)
    record["config"].update(alpha=1.0, **{"lambda": 1.0})
    place = record if part is None else record[part]
    place[field] = value
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    with pytest.raises(UserError) as refused:
        records.read(path)
    message = str(refused.value)
    assert words in message and "-results" in message and "\n" not in message


def test_a_missing_field_is_named(published, tmp_path):
    record = copy.deepcopy(published)
    del record["scores"]["MIA"]
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"scores\.MIA is missing"):
        records.read(path)


def test_collapse_is_of_more_than_ten_points():
    scores = {"RetainTestAcc": 80.0, "Df": 20.0}
    assert records.collapse("full_class", scores, 90.0, 30.0) == []
    assert records.collapse("full_class", scores, None, None) == []
    d_r, d_f = records.collapse("full_class", scores, 90.5, 31.0)
    assert d_r == "D_r 80.00 % is 10.5 points below the original's"
    assert d_f == "D_f 20.00 % is 11.0 points below retrain's"
    # Healing raises D_f, so a low one is no collapse.
    assert records.collapse("corrupted", scores, 90.0, 31.0) == []


def test_unchanged_is_within_a_point_of_the_original():
    scores = {"Df": 99.0}
    assert records.unchanged("ssd", scores, 97.9, None) == []
    assert records.unchanged("ssd", scores, None, None) == []
    assert records.unchanged("ssd", scores, 100.0, 40.0) == ["D_f 99.00 % was 100.00 % before"]
    (sentence,) = records.unchanged("ssd", scores, 100.0, 99.5)
    assert sentence.endswith("there was little to forget")
    for method in ("baseline", "retrain"):
        assert records.unchanged(method, scores, 99.0, None) == []
