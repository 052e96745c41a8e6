"""Figures class by class, and of forgotten images."""

import pytest
import torch
from drawn import fits_a_page, texts_of
from handmade import only_setup, record
from PIL import ImageColor

from reports.classes import class_accuracies, confusion
from reports.figures import figures
from reports.forgotten_images import grid
from reports.style import ORANGE, caption_of, saved
from runs import outputs


def with_classes(method, accuracies, predictions, seed=0, forget="cat"):
    run = record(method, seed, 90, 5, 5, forget=forget)
    run["class_accuracy"] = dict(zip(("cat", "dog", "owl"), accuracies, strict=True))
    run["forget_predictions"] = predictions
    return run


@pytest.fixture(scope="module")
def sections():
    runs = [
        with_classes("retrain", (0, 80, 90), {"owl": 6, "dog": 4}),
        with_classes("baseline", (90, 70, 95), {"cat": 9, "dog": 1}),
        with_classes("ssd", (2, 10, None), {"dog": 8, "cat": 2}),
        with_classes("ssd", (4, 30, None), {"dog": 10}, seed=1),
    ]
    return only_setup(runs)[1]


def numbers_of(axis):
    return axis.images[0].get_array().tolist()


def test_a_column_for_each_method_and_a_row_for_each_class(sections):
    axis = class_accuracies(sections).axes[0]
    table = numbers_of(axis)
    assert table[0] == [0, 90, 3]  # cat: retrain, baseline, ssd
    assert table[1] == [80, 70, 20]
    assert table[2][:2] == [90, 95]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["► cat", "dog", "owl"]


def test_what_the_forgotten_class_is_taken_for(sections):
    (axis,) = confusion(sections).axes
    names = [label.get_text() for label in axis.get_xticklabels()]
    assert names == ["cat", "owl", "dog"]  # its own, then as often as retrain's
    assert numbers_of(axis) == [[0, 60, 40], [90, 0, 10], [10, 0, 90]]
    assert {"60", "90"} <= texts_of(axis.figure)


def test_many_classes_fit_and_the_rare_ones_are_put_together():
    names = [f"class {number}" for number in range(100)]
    runs = []
    for method in ("retrain", "ssd"):
        run = record(method, 0, 90, 5, 5, forget="class 3")
        run["class_accuracy"] = dict.fromkeys(names, 50.0)
        run["forget_predictions"] = {name: 100 - place for place, name in enumerate(names)}
        runs.append(run)
    drawn = figures(*only_setup(runs))
    assert fits_a_page(drawn["classes"])
    named = [label.get_text() for label in drawn["classes"].axes[0].get_yticklabels()]
    assert named == ["► class 3"]
    last = drawn["confusion"].axes[0].get_xticklabels()[-1].get_text()
    assert last == "92 others"


def test_records_without_either_have_no_such_figure():
    assert not {"classes", "confusion"} & figures(*only_setup([record("ssd", 0, 9, 5, 5)])).keys()


def test_random_images_have_no_confusion():
    run = with_classes("ssd", (1, 2, 3), {"cat": 1})
    run["task"] = "random"
    assert "confusion" not in figures(*only_setup([run]))


def test_the_own_class_has_a_column_also_where_no_network_says_it():
    runs = [with_classes("retrain", (0, 80, 90), {"owl": 6, "dog": 4})]
    runs.append(with_classes("ssd", (0, 80, 90), {"dog": 1}))
    (axis,) = confusion(only_setup(runs)[1]).axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["cat", "owl", "dog"]
    assert [cells[0] for cells in numbers_of(axis)] == [0, 0]


def test_what_has_no_class_of_its_own_is_not_said_to(sections):
    """A sub-class: the network's answers are coarse classes."""
    of_sub_class = {"rocket": sections["cat"]}
    assert "arrow" not in caption_of(class_accuracies(of_sub_class))
    assert "arrow" in caption_of(class_accuracies(sections))


def test_classes_that_only_some_records_have_get_a_row():
    runs = [with_classes("ssd", (1, 2, 3), {}), record("jit", 0, 90, 5, 5, forget="cat")]
    runs[1]["class_accuracy"] = {"cat": 5.0, "eel": 6.0}
    table = numbers_of(class_accuracies(only_setup(runs)[1]).axes[0])
    of_jit = [cells[0] for cells in table]  # cat, eel, dog, owl
    assert of_jit == [5, 6, None, None]


# ---- forgotten images ----


def kept_run(folder, method, logits, positions=(4, 7)):
    """A run of two forgotten images of the class dog, one red and one blue."""
    run = with_classes(method, (1, 2, 3), {"cat": 1})
    red, blue = (torch.tensor(ImageColor.getrgb(name)) for name in ("red", "blue"))
    pixels = torch.stack([red, blue]).view(2, 3, 1, 1).expand(2, 3, 8, 8)
    tensors = {
        "forget_logits": torch.tensor(logits),
        "forget_labels": torch.tensor([1, 1]),
        "forget_positions": torch.tensor(positions),
        "forget_pixels": pixels.to(torch.uint8).contiguous(),
    }
    run["outputs"] = outputs.write(folder / f"{method}.json", tensors)
    return run


def grid_of(folder, runs):
    _, sections = only_setup(runs)
    files = {path.name: path for path in folder.glob("*.safetensors")}
    return grid("cat", sections["cat"], files)


def test_each_network_says_what_it_takes_an_image_for(tmp_path):
    runs = [
        kept_run(tmp_path, "retrain", [[0.0, 0.0, 9.0], [0.0, 9.0, 0.0]]),
        kept_run(tmp_path, "ssd", [[5.0, 0.0, 0.0], [0.0, 5.0, 0.0]]),
    ]
    figure = grid_of(tmp_path, runs)
    picture, by_retrain, by_ssd = figure.axes[:3]
    assert picture.images[0].get_array()[0, 0].tolist() == [255, 0, 0]
    assert [axis.get_title() for axis in (by_retrain, by_ssd)] == ["retrain", "ssd"]
    assert by_retrain.texts[0].get_text() == "owl\n100 %"
    assert by_ssd.texts[0].get_text() == "cat\n99 %"
    still_known = figure.axes[5].texts[0]
    assert (still_known.get_text(), still_known.get_color()) == ("dog\n99 %", ORANGE)
    assert "Forget cat" in caption_of(figure)
    assert saved(figure, "pdf")


def test_networks_of_other_images_are_not_put_next_to_these(tmp_path):
    logits = [[0.0, 0.0, 9.0], [0.0, 9.0, 0.0]]
    runs = [kept_run(tmp_path, name, logits) for name in ("retrain", "ssd")]
    runs.append(kept_run(tmp_path, "jit", logits, positions=(4, 8)))
    titles = {axis.get_title() for axis in grid_of(tmp_path, runs).axes}
    assert titles == {"", "retrain", "ssd"}


def test_a_record_that_names_other_classes_than_its_logits_is_left_out(tmp_path):
    logits = [[0.0, 0.0, 9.0], [0.0, 9.0, 0.0]]
    runs = [kept_run(tmp_path, name, logits) for name in ("retrain", "ssd")]
    runs[1]["class_accuracy"] = {"cat": 1.0}
    assert grid_of(tmp_path, runs) is None


def test_without_kept_images_there_is_no_grid(tmp_path):
    runs = [
        kept_run(tmp_path, "retrain", [[1.0, 0.0, 0.0]] * 2),
        with_classes("ssd", (1, 2, 3), {}),
    ]
    assert grid_of(tmp_path, runs) is None
