"""Which figures there are, how their files are called, and what goes for all of them."""

import pytest
from drawn import fits_a_page, texts_of
from handmade import only_setup, record
from matplotlib.text import Text

from reports.figures import drawings, figures
from reports.style import caption_of
from reports.summary import summarise


def names_of(runs):
    return [drawing.name for drawing in drawings(summarise(runs), {})]


# ---- which there are ----


def test_only_classes_have_an_overview():
    has_overview = {}
    for task in ("random", "full_class", "sub_class"):
        runs = []
        for forget in "ab":
            runs += [record(name, 0, 9, 5, 5, task=task, forget=forget) for name in ("jit", "ssd")]
        has_overview[task] = "overview" in figures(*only_setup(runs))
    assert has_overview == {"random": False, "full_class": True, "sub_class": True}


def test_one_class_has_no_overview():
    assert "overview" not in figures(*only_setup([record("jit", 0, 90, 5, 5)]))


def test_only_what_was_dampened_has_layers():
    assert "layers" not in figures(*only_setup([record("jit", 0, 90, 5, 5)]))
    assert "layers" in figures(*only_setup([record("ssd", 0, 90, 5, 5, selected=0.1)]))


def test_tasks_and_methods_of_another_version_are_drawn():
    runs = []
    for alpha in (1.0, 2.0, 4.0, 8.0):
        runs.append(record("later", 0, 9, 5, 5, task="later_task", alpha=alpha, selected=0.1))
    drawn = figures(*only_setup(runs))
    assert drawn.keys() == {"alpha", "scores", "trade-off", "entropy", "layers"}


# ---- names of files ----


def test_files_of_trials_on_validation_images_have_names_of_their_own():
    runs = [record("ssd", 0, 80, 0, 20), record("ssd", 0, 80, 0, 20, validation=True)]
    names = names_of(runs)
    assert len(names) == len(set(names))
    assert "report-full_class-Net-Set-paper-validation-scores" in names


def test_the_folder_is_named_only_where_there_are_several():
    own = record("ssd", 0, 90, 0, 20, dataset="Folder", data="data/my own")
    other = record("ssd", 0, 50, 0, 20, dataset="Folder", data="else/my_own")
    assert "report-full_class-Net-Folder-paper-scores" in names_of([own])
    names = names_of([own, other])
    assert "report-full_class-Net-Folder-paper-my_own-scores" in names
    assert len(set(names)) == 6


# ---- captions and size ----


def test_no_figure_has_a_title_that_its_caption_repeats():
    runs = [record("retrain", 0, 80, 5, 5), record("assd", 0, 80, 5, 5, selected=0.1)]
    for name, figure in figures(*only_setup(runs)).items():
        assert figure.get_suptitle() == "", name
        assert len(caption_of(figure)) > 40, name


def test_letters_have_eight_points(many_rows):
    """Names below a panel that would lie over each other have six or seven."""
    for name, figure in many_rows.items():
        sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()}
        assert max(sizes) == 8, name
        assert min(sizes) >= 6, name


@pytest.fixture(scope="module")
def many_rows():
    """The figures of 42 rows on 8 forget sets."""
    runs = []
    for number in range(8):
        forget = f"class {number}"
        runs.append(record("retrain", 0, 94, 0, 20, forget=forget))
        runs.append(record("baseline", 0, 95, 96, 97, forget=forget))
        for trial in range(40):
            lr = {"lr": 0.1 + trial}
            run = record("finetune", 0, 94, trial, 20, forget=forget, selected=0.1, set=lr)
            runs.append(run)
    return figures(*only_setup(runs))


def test_figures_fit_a_page(many_rows):
    assert {"scores", "trade-off", "entropy", "layers", "overview"} <= many_rows.keys()
    for name, figure in many_rows.items():
        assert fits_a_page(figure), name


def test_figures_say_what_they_leave_out(many_rows):
    omitted = (
        "Drawn: 20 of 42 rows, the nearest to retrain; the first 2 of 8 forget sets "
        "(the tables have all)."
    )
    assert omitted in caption_of(many_rows["scores"])
    assert "22 of 42 rows" in caption_of(many_rows["overview"])
    assert "22 of 42 rows" in caption_of(many_rows["trade-off"])
    assert "first 3 of 8 forget sets" in caption_of(many_rows["entropy"])
    assert "14 of 40 rows" in caption_of(many_rows["layers"])


def test_the_rows_nearest_to_retrain_are_drawn(many_rows):
    labels = [text.get_text() for text in many_rows["scores"].axes[0].get_yticklabels()]
    nearest = [f"finetune (lr {0.1 + trial:.12g})" for trial in range(18)]
    assert labels == ["retrain", "baseline", *nearest]


def test_figures_that_leave_out_nothing_do_not_speak_of_it():
    runs = []
    for forget in "ab":
        runs += [record(name, 0, 94, 5, 20, forget=forget) for name in ("retrain", "jit", "ssd")]
    for figure in figures(*only_setup(runs)).values():
        assert "Drawn" not in caption_of(figure)


# ---- scores and entropy ----


def test_scores_of_a_method_by_hand():
    runs = [record("retrain", 0, 94, 0, 20), record("jit", 0, 90, 5, 7, seconds=2)]
    runs.append(record("jit", 1, 92, 5, 7, seconds=4))
    d_r, _, _, seconds = figures(*only_setup(runs))["scores"].axes
    retrain, jit = d_r.containers
    assert retrain.lines[0].get_xydata().tolist() == [[94, 0]]
    assert jit.lines[0].get_xydata().tolist() == [[91, 1]]
    assert seconds.containers[1].lines[0].get_xydata().tolist() == [[3, 1]]


def test_entropy_of_the_original_and_of_retrain_stands_next_to_a_methods():
    runs = [record(name, 0, 90, 5, 5) for name in ("retrain", "baseline", "jit", "ssd")]
    figure = figures(*only_setup(runs))["entropy"]
    assert [axis.get_ylabel() for axis in figure.axes] == ["jit", "ssd"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["after", "baseline", "retrain"]


def test_tensors_are_named_below_the_last_panel():
    figure = figures(*only_setup([record("ssd", 0, 90, 5, 5, selected=0.1)]))["layers"]
    assert {"a", "b"} <= texts_of(figure)
