"""-recipe fast through the scripts: which network it makes, who finds it, what a record says."""

import pytest
from helpers import DIGITS, QUIET, assert_refused, call, records_of

import pretrain_model
import report
from common.errors import UserError
from runs import checkpoints

FAST = (*DIGITS, "-recipe", "fast", "-epochs", "1")
FORGET = (*DIGITS, "-recipe", "fast", "-forget_class", "3", *QUIET)


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ((), "fast"),
        (("-validation",), "fast-validation"),
        (("-corruption", "patch", "-corrupt_count", "50"), "fast-patch50"),
        (("-protocol", "released"), "fast-released"),
    ],
)
def test_its_network_has_a_name_of_its_own(tmp_path, monkeypatch, flags, name):
    monkeypatch.chdir(tmp_path)
    metadata = pretrain_model.main([*FAST, *flags])
    path = f"checkpoints/ResNet18Slim-Digits-seed0-{name}.safetensors"
    assert checkpoints.read_metadata(path) == metadata
    assert metadata["recipe"]["name"] == "fast"
    assert metadata["epochs"] == 1


def test_a_sweep_trains_retrains_and_reports_by_it(tmp_path, monkeypatch):
    """A table of its own: a network by another recipe is another network."""
    lines = []
    for method in ("retrain", "baseline"):
        lines.append(" ".join(["forget_full_class_main.py", *FORGET, "-method", method]))
    assert call("pretrain_model.py", *FAST, cwd=tmp_path).returncode == 0
    done = call("sweep.py", cwd=tmp_path, input="\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 1
    records = records_of(tmp_path).values()
    for record in records:
        assert record["config"]["recipe"]["name"] == "fast"
    (retrained,) = [record for record in records if record["config"]["method"] == "retrain"]
    recipe = retrained["config"]["recipe"]
    for name in ("lr", "sizes", "label_smoothing", "nesterov", "epochs"):
        assert retrained["config"]["hyperparameters"][name] == recipe[name]
    monkeypatch.chdir(tmp_path)
    report.main(["results"])
    assert "(protocol paper, recipe fast)" in (tmp_path / "results" / "report.md").read_text()
    figures = list((tmp_path / "results").glob("*.svg"))
    assert figures and all("-paper-fast-" in path.name for path in figures)


def test_a_sweep_adds_the_training_of_a_fast_network(tmp_path):
    line = " ".join(["forget_full_class_main.py", *FORGET, "-method", "baseline"])
    done = call("sweep.py", "--dry-run", cwd=tmp_path, input=line)
    (training,) = [line for line in done.stdout.splitlines() if "pretrain_model.py" in line]
    assert "-recipe fast" in training


def test_a_network_by_the_other_recipe_is_not_replaced(tmp_path):
    out = ("-out", "a.safetensors")
    assert call("pretrain_model.py", *FAST, *out, cwd=tmp_path).returncode == 0
    other = call("pretrain_model.py", *DIGITS, "-epochs", "1", *out, cwd=tmp_path)
    assert_refused(other, "recipe", "-force")


def test_a_warm_up_without_end_is_refused():
    args = pretrain_model.arguments([*map(str, FAST), "-warm", "1"])
    with pytest.raises(UserError, match="take a smaller one"):
        pretrain_model.chosen_recipe(args)
