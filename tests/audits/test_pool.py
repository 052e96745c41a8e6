"""Pools: what is aligned, left out and refused. Records and outputs are made by hand."""

import json

import pytest
import torch
from handmade import record
from handmade_pool import write_pool, written

from audits import AUDITS, tables
from audits.halves import halvings, measured
from audits.missing import spans, ways_out
from audits.pool import aligned, pools
from audits.results import AS_RETRAIN, WORSE, Refusal, results_of
from runs import outputs, records


def audited(folder):
    return results_of(pools(records.read_all(folder), folder))


def verdicts(result):
    """{audit: verdict on its first number} of what was measured."""
    texts = {}
    for name, columns in result.audits.items():
        if not isinstance(columns, Refusal):
            texts[name] = next(iter(columns.values())).verdict
    return texts


# ---- the acceptance test: a retrain passes, the original fails ----


def test_networks_of_retrains_law_pass_and_networks_that_remember_fail(tmp_path):
    write_pool(tmp_path, finetune=0.0, ssd=6.0)
    as_retrain, as_original = audited(tmp_path)
    assert (as_retrain.label, as_original.label) == ("finetune", "ssd")
    assert set(verdicts(as_retrain).values()) == {AS_RETRAIN}
    for name in ("u_lira", "klom", "neurips", "within_class"):
        assert verdicts(as_original)[name] == WORSE


def test_the_floor_of_u_lira_is_a_half_and_the_ceiling_is_high(tmp_path):
    write_pool(tmp_path, networks=16, ssd=0.0)
    (result,) = audited(tmp_path)
    auc = result.audits["u_lira"]["AUC"]
    assert auc.floor.low < 0.5 < auc.floor.high
    assert auc.ceiling.mean > 0.9
    assert auc.side == 8


# ---- which networks count ----


def test_a_missing_member_is_left_out_of_that_pair_only(tmp_path):
    write_pool(tmp_path, networks=10, ssd=0.0, finetune=0.0)
    (tmp_path / "ssd-3-0.json").unlink()
    finetune, ssd = audited(tmp_path)
    assert finetune.seeds == list(range(10))
    assert finetune.lacking == []
    assert ssd.seeds == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert ssd.lacking == [3]
    (sentence,) = ways_out([ssd])
    assert "ssd" in sentence
    assert "-train_seed 3" in sentence
    assert "-outputs" in sentence


def test_damaged_outputs_are_never_read(tmp_path):
    write_pool(tmp_path, networks=10, ssd=0.0)
    path = tmp_path / "ssd-5-0.outputs.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    (result,) = audited(tmp_path)
    assert result.lacking == [5]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_outputs_that_are_not_finite_are_left_out(tmp_path, value):
    write_pool(tmp_path, networks=10, ssd=0.0)
    path = tmp_path / "ssd-2-0.json"
    entry = json.loads(path.read_text())
    tensors = outputs.read(outputs.path_of(path), entry["outputs"]["checksum"])
    tensors["forget_logits"][0, 0] = value
    entry["outputs"] |= outputs.write(path, tensors)
    path.write_text(json.dumps(entry))
    (result,) = audited(tmp_path)
    assert result.lacking == [2]


def test_of_several_unlearning_seeds_the_lowest_counts(tmp_path):
    write_pool(tmp_path, networks=2, finetune=0.0)
    written(tmp_path, "finetune", 0, seed=1)
    (pool,) = pools(records.read_all(tmp_path), tmp_path)
    seeds = [entry["config"]["seed"] for entry in pool.candidates["finetune"].values()]
    assert seeds == [0, 0]


def test_other_forget_sets_are_other_pools(tmp_path):
    write_pool(tmp_path, networks=2, ssd=0.0)
    for path in list(tmp_path.glob("*-1-0.json")):
        entry = json.loads(path.read_text())
        entry["forget_hash"] = "e" * 64
        path.write_text(json.dumps(entry))
    headings = [pool.heading for pool in pools(records.read_all(tmp_path), tmp_path)]
    assert headings == ["Forgotten: 7", "Forgotten: 7 (forget set 2)"]


def test_networks_are_aligned_by_training_seed(tmp_path):
    write_pool(tmp_path, networks=3, ssd=0.0)
    (pool,) = pools(records.read_all(tmp_path), tmp_path)
    networks = aligned(pool, pool.candidates["ssd"])
    for kind in (networks.candidate, networks.retrained, networks.original):
        assert [entry["config"]["train_seed"] for entry in kind.records] == [0, 1, 2]


# ---- what is refused ----


@pytest.mark.parametrize("networks", [1, 2, 3])
def test_few_networks_are_refused_where_their_distribution_is_asked(tmp_path, networks):
    write_pool(tmp_path, networks=networks, ssd=0.0)
    (result,) = audited(tmp_path)
    assert result.audits["u_lira"] == Refusal(f"needs 8 trained networks, has {networks}")
    assert not isinstance(result.audits["within_class"], Refusal)
    (sentence,) = ways_out([result])
    assert "-train_seed 0-15" in sentence


def test_copies_of_one_network_are_one_draw(tmp_path):
    write_pool(tmp_path, networks=8, ssd=0.0)
    for path in tmp_path.glob("ssd-*.json"):
        entry = json.loads(path.read_text())
        entry["weights_hash"] = "a" * 64
        path.write_text(json.dumps(entry))
    (result,) = [each for each in audited(tmp_path) if "ssd" in each.label]
    reason = result.audits["u_lira"].reason
    assert reason == "several training seeds have one and the same network"


def test_audits_of_probes_need_them(tmp_path):
    write_pool(tmp_path, networks=8, ssd=0.0)
    (result,) = audited(tmp_path)
    assert "-probes" in result.audits["linear_probe"].reason


def test_records_without_outputs_make_no_pool(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(record("ssd", 0, 90.0, 0.0, 1.0)))
    assert pools(records.read_all(tmp_path), tmp_path) == []


# ---- halves ----


def test_halves_are_equal_and_apart():
    for count in (2, 5, 12):
        for first, second in halvings(count):
            assert len(first) == len(second) == count // 2
            assert not set(first) & set(second)


def test_a_single_network_has_a_value_and_no_interval(tmp_path):
    write_pool(tmp_path, networks=1, ssd=0.0)
    (pool,) = pools(records.read_all(tmp_path), tmp_path)
    networks = aligned(pool, pool.candidates["ssd"])
    kinds = (networks.candidate, networks.retrained, networks.original)
    auc = measured(AUDITS["within_class"], *kinds)["AUC"]
    assert auc.low == auc.mean == auc.high


def test_half_sampling_estimates_the_deviation_of_a_mean():
    values = torch.randn(64, generator=torch.Generator().manual_seed(0))
    means = torch.tensor([float(values[first].mean()) for first, _ in halvings(64)])
    assert means.std().item() == pytest.approx(values.std().item() / 8, rel=0.15)


# ---- tables ----


def test_the_overview_marks_what_is_worse_than_a_retrain(tmp_path):
    write_pool(tmp_path, networks=8, finetune=0.0, ssd=6.0)
    (chapter,) = tables.overviews(tables.chapters(audited(tmp_path)))
    (section,) = chapter.sections
    frame = section.frames[0].set_index("method")
    assert frame.loc["ssd", "U-LiRA: AUC"].endswith("†")
    assert not frame.loc["finetune", "U-LiRA: AUC"].endswith("†")
    assert frame.loc[tables.HELD_OUT, "networks"] == "4"
    assert frame.loc["ssd", "Linear probe: D_f %"] == "not measured"


def test_methods_with_fewer_networks_have_a_null_of_their_own(tmp_path):
    write_pool(tmp_path, networks=12, finetune=0.0, ssd=0.0)
    for training in range(8, 12):
        (tmp_path / f"ssd-{training}-0.json").unlink()
    (chapter,) = tables.overviews(tables.chapters(audited(tmp_path)))
    frame = chapter.sections[0].frames[0]
    nulls = frame[frame["method"] == tables.HELD_OUT]["networks"]
    assert nulls.tolist() == ["6", "4"]


def test_seeds_in_words():
    assert spans([3]) == "3"
    assert spans([3, 4, 5]) == "3-5"
