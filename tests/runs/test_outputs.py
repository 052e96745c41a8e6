"""-outputs and -probes: what is kept, of which images, and that a run without it is run again."""

import json
from dataclasses import replace

import pytest
import torch
from helpers import small_split, tiny_resnet

import metrics
from runs import outputs

SETTINGS = ("-net", "ResNet18Slim", "-dataset", "Digits", "-wandb", "disabled", "-method")


def logits_and_split(task):
    split = small_split(task)
    torch.manual_seed(0)
    return metrics.split_logits(tiny_resnet().eval(), split), split


@pytest.mark.parametrize("task", ["full_class", "sub_class", "random"])
def test_every_row_is_the_networks_answer_to_its_image(task):
    logits, split = logits_and_split(task)
    tensors = outputs.of_network(logits, split)
    for part in outputs.PARTS:
        of_training = part in ("forget", "retain")
        positions = tensors[f"{part}_positions"]
        answers = logits.train if of_training else logits.test
        images = split.train if of_training else split.test
        assert torch.equal(tensors[f"{part}_logits"], answers[positions])
        assert torch.equal(tensors[f"{part}_labels"], images.labels[positions])


def test_non_members_are_of_the_forgotten_classes_only():
    logits, split = logits_and_split("full_class")
    labels = outputs.of_network(logits, split)["same_classes_labels"]
    assert set(labels.tolist()) == {split.forget_class}
    assert len(labels) == int((split.test.labels == split.forget_class).sum())


def test_non_members_of_a_sub_class_are_of_the_sub_class():
    _, split = logits_and_split("sub_class")
    images = outputs.samples(split)["same_classes"]
    assert set(images.fine_labels.tolist()) == set(split.forget.fine_labels.tolist())


def test_non_members_of_random_images_are_of_their_classes():
    split = small_split("random")
    few = replace(split, forget=split.forget.take(torch.arange(3)))
    labels = outputs.samples(few)["same_classes"].labels
    assert set(labels.tolist()) == set(few.forget.labels.tolist())
    assert len(labels) == int(torch.isin(split.test.labels, few.forget.labels).sum())


def test_large_parts_are_sampled_alike_for_every_network(monkeypatch):
    monkeypatch.setattr(outputs, "MOST_IMAGES", 10)
    _, split = logits_and_split("full_class")
    first, second = outputs.samples(split)["retain"], outputs.samples(split)["retain"]
    assert len(first) == 10
    assert torch.equal(first.index, second.index)


def test_accuracies_are_those_of_all_images():
    logits, split = logits_and_split("full_class")
    right = logits.train.argmax(1) == split.train.labels
    goes = split.train.labels == split.forget_class
    accuracies = outputs.accuracies(logits, split)
    assert accuracies["forget"] == pytest.approx(100 * right[goes].double().mean().item())
    assert accuracies["retain"] == pytest.approx(100 * right[~goes].double().mean().item())


def test_a_file_of_another_run_is_not_read(tmp_path):
    kept = outputs.write(tmp_path / "a.json", {"x": torch.ones(2)})
    path = tmp_path / kept["file"]
    assert outputs.read(path, kept["checksum"])["x"].tolist() == [1, 1]
    assert outputs.read(path, "0" * 64) is None
    assert outputs.read(tmp_path / "gone", kept["checksum"]) is None


# ---- the script ----


def test_a_run_without_outputs_is_run_again_and_one_with_them_is_not(place, monkeypatch, capsys):
    import forget_full_class_main

    monkeypatch.chdir(place)
    flags = [*SETTINGS, "baseline", "-forget_class", "0", "-results", "of_outputs"]
    first = forget_full_class_main.main(flags)
    assert "outputs" not in first
    second = forget_full_class_main.main([*flags, "-outputs"])
    assert "it is run again" in capsys.readouterr().out
    assert second["scores"] == first["scores"]
    (path,) = (place / "of_outputs").rglob("*.json")
    assert json.loads(path.read_text()) == second
    kept = outputs.read(path.parent / second["outputs"]["file"], second["outputs"]["checksum"])
    assert kept["forget_logits"].dtype == torch.float32
    forget_full_class_main.main([*flags, "-outputs"])
    assert "done before" in capsys.readouterr().out
    third = forget_full_class_main.main([*flags, "-probes"])
    assert set(third["probes"]) == {"linear", "prototype", "relearning"}
    assert third["scores"] == first["scores"]
    outputs.path_of(path).unlink()
    forget_full_class_main.main([*flags, "-outputs"])
    assert outputs.path_of(path).is_file()


# ---- what the report shows ----


def test_the_first_forgotten_images_are_kept_as_they_are():
    logits, split = logits_and_split("full_class")
    tensors = outputs.of_network(logits, split)
    first = tensors["forget_positions"][: outputs.MOST_PICTURES]
    expected = split.train.pixels[split.train.index[first]]
    assert torch.equal(tensors["forget_pixels"], expected)


def test_large_images_are_kept_small():
    logits, split = logits_and_split("full_class")
    pixels = split.train.pixels.repeat_interleave(9, 2).repeat_interleave(9, 3)
    large = replace(split, forget=replace(split.forget, pixels=pixels))
    kept = outputs.of_network(logits, large)["forget_pixels"]
    assert kept.dtype == torch.uint8
    assert kept.shape[2:] == (outputs.MOST_SIDE, outputs.MOST_SIDE)
    assert abs(kept.float().mean() - pixels[split.forget.index[:12]].float().mean()) < 3
