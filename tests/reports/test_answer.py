"""The answer of a page, and the dots of its plot."""

from handmade import only_setup, record

from reports import tables
from reports.answer import answer
from reports.dots import HEIGHT, LEFT, MOST_DOTS, WIDTH, plot
from reports.page import views


def runs_on(forget, scores):
    return [record(name, 0, d_r, d_f, 5, forget=forget) for name, d_r, d_f in scores]


def answer_of(runs):
    return answer(*only_setup(runs))


def test_an_answer_by_hand():
    runs = runs_on("cat", [("retrain", 90, 0), ("ssd", 89, 2), ("jit", 92, 30), ("scrub", 70, 0)])
    runs += runs_on("dog", [("retrain", 90, 0), ("ssd", 89, 1), ("jit", 90, 1), ("scrub", 70, 0)])
    said = answer_of(runs)
    assert said.sentences == [
        "Within 2 points of retrain in D_f and in D_r, on all 2 forget sets: ssd.",
        "Nearest to retrain: ssd, 0.8 points away, 1 times as fast.",
        "Have not forgotten on some forget set (D_f more than 10 points above retrain's): jit.",
        "Collapsed in some run: none.",
        "From 8 runs on one trained network: do not rank methods that are close.",
    ]
    table = said.table.set_index("method")
    assert list(table.index) == ["ssd", "jit", "scrub"]
    assert list(table["close"]) == ["2 of 2", "1 of 2", "0 of 2"]
    assert table.loc["jit", "D_f - retrain's"] == "+15.5"
    assert table.loc["scrub", "D_r - retrain's"] == "-20.0"


def test_a_method_that_lacks_a_forget_set_is_not_said_to_be_close():
    runs = runs_on("cat", [("retrain", 90, 0), ("ssd", 90, 0)])
    runs += runs_on("dog", [("retrain", 9, 0)])
    assert answer_of(runs).sentences[0].endswith("on all 2 forget sets: none.")


def test_a_forget_set_without_a_retrain_does_not_count():
    runs = runs_on("cat", [("retrain", 90, 0), ("ssd", 90, 0)])
    runs += runs_on("dog", [("retrain", 90, 0), ("ssd", 90, 0)]) + runs_on("owl", [("ssd", 9, 9)])
    first = answer_of(runs).sentences[0]
    assert first.endswith("on all 2 forget sets that have a retrain: ssd.")


def test_a_sentence_names_eight_methods_at_most():
    names = ("jit", "scrub", "salun", "amnesiac", "finetune", "fisher", "ntk", "unsir", "assd")
    scores = [(name, 90, 50) for name in (*names, "ssd")]
    said = answer_of(runs_on("cat", [("retrain", 90, 0), *scores]))
    assert said.sentences[2].endswith(", and 2 more.")


def test_collapses_and_trained_networks_are_counted():
    runs = []
    for training in (0, 1):
        runs.append(record("retrain", 0, 90, 50, 5, training=training))
        runs.append(record("baseline", 0, 90, 95, 5, training=training))
        runs.append(record("ssd", 0, 20, 0, 5, training=training))
    said = answer_of(runs)
    assert "Collapsed in some run: ssd." in said.sentences
    assert said.sentences[-1] == "From 6 runs on 2 trained networks."
    assert said.table["verdict"].tolist() == ["COLLAPSED 2"]


def test_healed_data_have_their_own_words():
    healed = {"task": "corrupted", "forget": "5 patch known 1", "corruption": "patch"}
    healed |= {"corrupt_count": 5, "known_share": 1.0}
    runs = [record(name, 0, 90, 80, 5, **healed) for name in ("retrain", "potion")]
    setup, sections = only_setup(runs)
    table = answer(setup, sections).table
    assert {"clean - retrain's", "healed - retrain's"} <= set(table)
    (view,) = views(tables.chapters({setup: sections}), {}, {setup: sections})
    assert view.plots == []


def test_without_a_retrain_there_is_no_answer():
    assert answer_of([record("ssd", 0, 90, 0, 5)]) is None


# ---- dots ----


def dots_of(runs):
    (rows,) = only_setup(runs)[1].values()
    drawn = plot(rows)
    return drawn, {dot.label: dot for dot in drawn.dots}


def test_dots_lie_where_their_scores_are():
    runs = [record("retrain", 0, 90, 0, 5), record("ssd", 0, 80, 0, 5), record("jit", 0, 90, 50, 5)]
    drawn, dots = dots_of(runs)
    assert dots["ssd"].y == dots["retrain"].y > dots["jit"].y
    assert dots["ssd"].x < dots["retrain"].x == dots["jit"].x
    assert {dot.kind for dot in drawn.dots} == {"goal", "ssd"}
    ticks = {text: x for x, text in drawn.x_ticks}
    assert ticks["80"] == dots["ssd"].x
    assert not drawn.off_scale


def test_a_collapsed_method_lies_on_the_left_edge():
    drawn, dots = dots_of([record("retrain", 0, 90, 0, 5), record("scrub", 0, 9, 0, 5)])
    assert drawn.off_scale
    assert LEFT <= dots["scrub"].x < LEFT + 20
    assert dots["scrub"].about.startswith("D_r 9.0 %")  # and says its true number
    for dot in drawn.dots:
        assert 0 < dot.x < WIDTH
        assert 0 < dot.y < HEIGHT


def test_the_dots_nearest_to_retrain_are_drawn_and_the_others_counted():
    runs = [record("retrain", 0, 90, 0, 5)]
    for trial in range(MOST_DOTS + 5):
        runs.append(record("finetune", 0, 90, 95 - trial, 5, set={"lr": 1.0 + trial}))
    drawn, dots = dots_of(runs)
    assert len(drawn.dots) == MOST_DOTS
    assert f"finetune (lr {MOST_DOTS + 5})" in dots
    assert "finetune (lr 1)" not in dots
    assert drawn.not_drawn.startswith(f"Drawn: {MOST_DOTS} of {MOST_DOTS + 6} rows, the nearest")
