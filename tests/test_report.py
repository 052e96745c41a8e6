"""report.py on records made by hand."""

import copy
import csv
import html.parser
import inspect
import io
import itertools
import json
import os
import random
import re
import subprocess
import sys
import typing

import pytest
import scipy.stats
from conftest import ROOT, call
from matplotlib.text import Text
from PIL import Image

import report
from common.errors import UserError
from methods import METHODS
from reports import figures as plots
from reports import provenance, style
from reports.summary import interval, over_classes, tables
from runs import records


def record(
    method,
    seed,
    d_r,
    d_f,
    mia,
    *,
    task="full_class",
    forget="7",
    alpha=None,
    selected=None,
    seconds=1.0,
    full=None,
    training=0,
    commit="c" * 40,
    data="d" * 64,
    test=90.0,
):
    config = {
        "net": "Net",
        "dataset": "Set",
        "train_seed": training,
        "protocol": "paper",
        "method": method,
        "seed": seed,
        "forget": forget,
        "b": 64,
        "alpha": alpha,
        "lambda": alpha and 1,
        "importance": "batch",
        "set": {},
        "numerics": "fp32",
    }
    return {
        "task": task,
        "config": config,
        "scores": {"RetainTestAcc": d_r, "Df": d_f, "MIA": mia, "TestAcc": test, "ZRF": 1},
        "seconds": {"method": seconds, "evaluation": 1, "full_importance": full},
        "selected": selected,
        "device": "a CPU",
        "commit": commit,
        "collapse": [],
        "weights_hash": f"{training}" * 64,
        "data_hash": data,
        "entropy_histogram": [3, 1] + [0] * 18,
        **({"selected_by_name": {"a": 0.1, "b": 0.2}} if selected else {}),
    }


MADE = [
    record("ssd", 0, 90, 0, 1, alpha=10, selected=0.01, full=2.0, test=80.0),
    record("ssd", 1, 92, 2, 4, alpha=10, selected=0.03, full=2.0),
    record("baseline", 0, 95, 96, 97, seconds=0.0),
    record("retrain", 0, 94, 0, 20, seconds=50),
    record("retrain", 1, 95, 0, 24, seconds=70),
    record("ssd", 0, 80, 90, 50, task="random", forget="0.1", alpha=10),
    record("amnesiac", 0, 84.9, 0, 26),
    record("amnesiac", 1, 94, 0, 26),
    record("ssd", 0, 85, 95, 55, task="random", forget="0.1", alpha=5),
]


@pytest.fixture
def results(tmp_path):
    for number, entry in enumerate(MADE):
        records.write(tmp_path / entry["task"] / f"{9 - number}.json", entry)
    return tmp_path


def cells_of(text):
    """The Markdown rows as lists of cells."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.split("\n")
        if line.startswith("| ")
    ]


def test_tables_by_hand():
    rows = cells_of(report.markdown(tables(MADE)))
    assert [row[0] for row in rows[2:6]] == [
        "retrain",
        "baseline",
        "amnesiac",
        "ssd",
    ]  # retrain first
    assert rows[2][1:] == [
        "94.50 ± 0.71",
        "0.00 ± 0.00",
        "22.00 ± 2.83",
        "",
        "",
        "60",
        "",
        "",
        "",
        "2",
        "",
    ]
    # one run beside both retrains: 1, 96 and 77 points from one, 0, 96 and 73 from the other. ToW: (0.99 * 0.04 + 0.04) / 2
    assert rows[3][1:] == [
        "95.00",
        "96.00",
        "97.00",
        "57.17",
        "0.040",
        "",
        "",
        "",
        "",
        "1, deterministic",
        "",
    ]
    # 9.1, 0, 6 points and 1, 0, 2; 84.9 is 10.1 below the baseline's 95; (0.909 + 0.99) / 2
    assert rows[4][4:] == ["3.02", "0.950", "1", "60x", "", "", "2", "COLLAPSED 1 of 2"]
    # 4, 0, 19 points and 3, 2, 20; (0.96 * 1 * 0.9 + 0.97 * 0.98 * 1) / 2
    assert rows[5][1:] == [
        "91.00 ± 1.41",
        "1.00 ± 1.41",
        "2.50 ± 2.12",
        "8.00",
        "0.907",
        "1",
        "60x",
        "2",
        "2",
        "2",
        "",
    ]
    # differences -4 and -3: t(1, 0.975) = 12.706, times 0.7071 / sqrt(2); +0 and +2; -19 and -20
    assert rows[6] == ["method", "D_r - retrain's", "D_f - retrain's", "MIA - retrain's", "pairs"]
    assert rows[10] == [
        "ssd",
        "-3.50 [-9.85, +2.85]",
        "+1.00 [-11.71, +13.71]",
        "-19.50 [-25.85, -13.15]",
        "2",
    ]
    # differences 1 and 0; 96 twice; 77 and 73
    assert rows[8] == [
        "baseline",
        "+0.50 [-5.85, +6.85]",
        "+96.00 [+96.00, +96.00]",
        "+75.00 [+49.59, +100.41]",
        "2",
    ]
    assert [row[0] for row in rows[13:15]] == [
        "ssd (alpha 5)",
        "ssd (alpha 10)",
    ]  # never averaged together
    assert [row[4] for row in rows[13:15]] == ["", ""]  # no retrain, no distance


def test_a_class_named_1_is_not_measured_against_class_11():
    made = [
        record("retrain", 0, 90, 5, 20, forget="1"),
        record("retrain", 0, 90, 60, 20, forget="11"),
    ]
    made += [record("ssd", 0, 90, 5, 20, forget="1", alpha=10)]
    ((_, ssd),) = [
        rows[:2] for name, rows in next(iter(tables(made).values())).items() if name == "1"
    ]
    assert ssd.gaps["D_f %"][0] == 0 and ssd.pairs == 1


def test_interval_against_scipy():
    values = [1.0, 2.5, -0.5, 3.0, 0.2]
    wanted = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((sum(values) / 5, wanted.low, wanted.high))


def test_training_seeds_and_classes_are_apart_from_seeds():
    made = [
        record("finetune", seed, value, 0, 0, training=training, forget=forget)
        for forget, shift in (("7", 0), ("8", 30))
        for training, values in ((0, (60, 62)), (1, (50, 54)))
        for seed, value in enumerate(v + shift for v in values)
    ]
    found = tables(made)
    ((row,), _) = next(iter(found.values())).values()
    # 61 and 52: mean 56.5, standard deviation 6.36; over seeds 1.41 and 2.83: mean 2.12
    assert (row.values["D_r %"].mean, row.values["D_r %"].over_seeds) == pytest.approx(
        (56.5, 2.1213), abs=1e-4
    )
    assert row.values["D_r %"].over_trainings == pytest.approx(6.3640, abs=1e-4)
    rows = cells_of(report.markdown(found))
    assert rows[2][1] == "56.50 ± 2.12 ± 6.36 (trainings)" and rows[2][-2] == "4"
    assert rows[-1][:2] == [
        "finetune",
        "71.50 ± 21.21",
    ]  # 56.5 and 86.5: over classes, and it says so
    assert "± is over classes, not over seeds" in report.markdown(found)


def test_deterministic_missing_and_mixed_are_said():
    made = [
        *MADE,
        record("baseline", 1, 95, 96, 97),
        record("baseline", 0, 95, 96, 97, forget="8", commit="e" * 40),
    ]
    text = report.markdown(tables(made))
    rows = cells_of(text)
    assert rows[3][1] == "95.00" and rows[3][-2] == "2, deterministic"
    missing = [row for row in rows if row[1] == "missing"]
    assert [row[0] for row in missing] == [
        "retrain",
        "amnesiac",
        "ssd",
        "retrain",
        "amnesiac",
        "ssd",
    ]  # class 8, the average
    assert "code ccccccc, eeeeeee (several versions are averaged)" in text
    other_data = [record("finetune", 0, 90, 0, 0), record("finetune", 1, 50, 0, 0, data="e" * 64)]
    assert [row[:2] for row in cells_of(report.markdown(tables(other_data)))[2:4]] == [
        ["finetune (data dddddd)", "90.00"],
        ["finetune (data eeeeee)", "50.00"],
    ]


def test_command_and_days_head_a_table():
    same, on = "python forget_x_main.py -net Net -data 'a b' -method", "2026-11-2"
    made = [
        {
            **record("ssd", 0, 1, 1, 1),
            "command": f"{same} ssd -seed 0 -lambda -1 -gpu",
            "date": on + "4",
        },
        {**record("jit", 1, 1, 1, 1), "command": f"{same} jit -seed 1 -gpu", "date": on + "5"},
    ]
    assert (
        provenance.command_of(made)
        == "python forget_x_main.py -net Net -data 'a b' -method METHOD -seed SEED [-lambda -1] -gpu"
    )
    text = report.markdown(tables([*made, record("baseline", 0, 1, 1, 1)]))
    assert (
        "\n    python forget_x_main.py -net Net" in text
        and "; 2026-11-24 to 2026-11-25; code" in text
    )
    text = report.markdown(tables([record("baseline", 0, 1, 1, 1)]))
    assert "python forget" not in text and "on a CPU; code" in text  # records of before
    assert "<code>python forget_x_main.py" in report.page.page(report.blocks(tables(made)), {})


def test_script_writes_tables_and_figures(results, tmp_path):
    done = call("report.py", results, "--html", tmp_path / "page.html", cwd=results)
    assert done.returncode == 0, done.stderr
    figures = [
        f"report-{task}-Net-Set-paper-{name}.{kind}"
        for task in ("full_class", "random")
        for name in ("entropy", "layers", "scores", "trade-off")
        if (task, name) != ("random", "layers")
        for kind in ("pdf", "png")
    ]
    assert sorted(path.name for path in results.glob("report*")) == sorted(
        [*figures, "report.csv", "report.md", "report.tex"]
    )
    assert (results / "report.md").read_text().strip() in done.stdout
    with open(results / "report.csv") as file:
        rows = list(csv.DictReader(file))
    ssd = next(row for row in rows if row["method"] == "ssd")
    assert float(ssd["MIA % mean"]) == 2.5 and float(ssd["MIA % std over seeds"]) == pytest.approx(
        2.1213, abs=1e-4
    )
    assert (
        ssd["n"] == "2"
        and float(ssd["D_r % - retrain's low"]) == pytest.approx(-9.853, abs=1e-3)
        and ssd["alpha"] == "10"
    )


def test_four_alphas_are_a_curve():
    entries = [
        record("baseline", 0, 95, 96, 97),
        record("retrain", 0, 94, 0, 20),
        record("assd", 0, 93, 1, 9, selected=0.01),
    ]
    entries[2]["adaptive_alpha"] = 3.5
    entries += [
        record("ssd", 0, 80 + alpha, 9 * alpha, 5, alpha=alpha, selected=0.1 / alpha)
        for alpha in (10, 2, 1)
    ]
    ((key, sections),) = tables(entries).items()
    assert "alpha" not in plots.figures(key, sections)
    entries.append(record("ssd", 0, 84, 36, 5, alpha=4, selected=0.025))
    entries[-1]["sizes"] = entries[-2]["sizes"] = {"D": 50, "D_f": 5}
    ((key, sections),) = tables(entries).items()
    figures = plots.figures(key, sections)
    (axis,) = figures["alpha"].axes
    lines = {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in axis.get_lines()
    }
    drawn = {bars.get_label(): list(bars.lines[0].get_data()[1]) for bars in axis.containers}
    assert drawn["D_f: what is forgotten"] == [9, 18, 36, 90] and drawn["D_r: what is kept"] == [
        81,
        82,
        84,
        90,
    ]
    assert lines["ceiling |D| / |D_f|"][0] == [10, 10] and lines["D_f of retrain"][1] == [0, 0]
    assert lines["D_r of ASSD, at its alpha"] == ([3.5], [93]) and lines["parameters selected"] == (
        [1, 2, 4, 10],
        [10, 5, 2.5, 1],
    )
    assert (
        [1, 2, 4],
        [81, 82, 84],
    ) in lines.values()  # the crosses: more than 10 points below the baseline
    figures["alpha"].canvas.draw()
    shown = [text.get_text() for text in axis.get_xticklabels(minor=True) if text.get_text()]
    assert {"2", "5"} <= set(shown) and float(shown[0]) < 1  # not 2 x 10^0


def test_lines_from_points_to_names_do_not_cross():
    draw = random.Random(0)
    entries = [
        record(method, 0, 80 + 9 * draw.random(), 90 * draw.random() ** 4, 5) for method in METHODS
    ]
    ((key, sections),) = tables(entries).items()
    (axis,) = plots.figures(key, sections)["trade-off"].axes
    lines = [(*axis.transLimits.transform(text.xy), *text.get_position()) for text in axis.texts]
    assert len({line[3] for line in lines}) == len(METHODS)  # each name has a place of its own

    def side(line, x, y):
        return (line[2] - line[0]) * (y - line[1]) > (line[3] - line[1]) * (x - line[0])

    def cross(a, b):
        return side(a, *b[:2]) != side(a, *b[2:]) and side(b, *a[:2]) != side(b, *a[2:])

    assert not any(cross(a, b) for a, b in itertools.combinations(lines, 2))


@pytest.mark.parametrize("task", ["full_class", "random"])
def test_titles_fit_their_figures(task):
    runs = [("retrain", None), ("assd", None), *(("ssd", alpha) for alpha in (1, 2, 3, 4))]
    entries = [
        record(method, 0, 80, 5, 5, task=task, alpha=alpha, selected=0.1) for method, alpha in runs
    ]
    for entry in entries:
        entry["config"].update(
            net="ResNet18Slim",
            dataset="Folder",
            data="data/a folder of a long name",
            protocol="released",
        )
    ((key, sections),) = tables(entries).items()
    for name, figure in plots.figures(key, sections).items():
        figure.canvas.draw()
        box = figure._suptitle.get_window_extent()
        assert (
            box.x0 >= 0 and box.x1 <= figure.bbox.width and "long" in figure._suptitle.get_text()
        ), name


def test_a_mean_is_over_all_classes_or_missing():
    entries = [
        record("ssd", 0, 80, 5, 5, forget=name, alpha=alpha)
        for name in "abc"
        for alpha in (5.0, 10.0)
    ]
    ((key, sections),) = tables(
        [*entries, *(record("jit", 0, 9, 9, 9, forget=name) for name in "bc")]
    ).items()
    assert list(over_classes(sections)) == [
        "ssd (alpha 5)",
        "ssd (alpha 10)",
    ]  # not jit, of two in three
    rows = cells_of(report.markdown({key: sections}))[-3:]
    assert [row[1] for row in rows] == ["missing", "80.00 ± 0.00", "80.00 ± 0.00"]


def test_overview_is_the_mean_over_classes():
    entries = [
        record(method, 0, kept + bird, forgotten * bird, 5, forget=name)
        for name, bird in (("bird", 2), ("cat", 0))
        for method, kept, forgotten in (("retrain", 90, 1), ("ssd", 80, 5), ("finetune", 91, 30))
    ]
    ((key, sections),) = tables([*entries, record("jit", 0, 10, 10, 5, forget="cat")]).items()
    (axis,) = plots.overview("title", sections).axes
    drawn = {bars.get_label(): bars.lines[0].get_xydata().tolist() for bars in axis.containers}
    assert drawn == {
        "retrain": [[91, 1]],
        "ssd": [[81, 5]],
        "finetune": [[92, 30]],
    }  # jit was not run on both
    assert {text.get_text(): text.xy for text in axis.texts} == {
        "finetune": (92, 30),
        "ssd": (81, 5),
        "retrain": (91, 1),
    }
    (axis,) = plots.overview(
        "title", {"cat": sections["cat"], "again": sections["cat"]}
    ).axes  # jit at 10, retrain at 90
    assert "jit (10)" in [text.get_text() for text in axis.texts] and axis.get_xlim()[0] > 70
    averaged = {row[0]: row[1:] for row in cells_of(report.markdown(tables(entries)))[-3:]}
    assert averaged["ssd"] == [
        "81.00 ± 1.41",
        "5.00 ± 7.07",
        "5.00 ± 0.00",
        "4.67",
        "1",
    ]  # 10, 8, 0 and 10, 0, 0 points from retrain
    assert averaged["retrain"][3:] == ["", "1"]
    assert "overview" in plots.figures(
        key, tables(entries)[key]
    ) and "overview" not in plots.figures(key, {"cat": sections["cat"]})


def test_html_page_is_whole_and_latex_balanced(results, tmp_path):
    class Checker(html.parser.HTMLParser):
        opened, closed, pictures, cells = [], [], 0, 0

        def handle_starttag(self, tag, attributes):
            self.opened.append(tag)
            self.pictures += tag == "img" and dict(attributes)["src"].startswith(
                "data:image/png;base64,"
            )
            self.cells += tag == "td"

        def handle_endtag(self, tag):
            self.closed.append(tag)

    report.main([str(results), "--html", str(tmp_path / "page.html")])
    page, checker = (tmp_path / "page.html").read_text(), Checker()
    checker.feed(page)
    assert checker.pictures == 7 and "http" not in page
    for tag in ("table", "tr", "h2", "h3", "p", "div", "thead"):
        assert checker.opened.count(tag) == checker.closed.count(tag) > 0, tag
    rows = cells_of((results / "report.md").read_text())
    assert checker.cells == sum(
        len(row) for row in rows if row[0] != "method" and not row[0].startswith("---")
    )
    latex = (results / "report.tex").read_text()
    assert (
        latex.count("\\begin{tabular}")
        == latex.count("\\bottomrule")
        == latex.count("\\midrule")
        > 0
    )
    for line in latex.split("\n"):
        assert line.startswith("%") or not re.search(r"(?<!\\)[%_#]", line), line


def test_collapse_is_said():
    scores = {"RetainTestAcc": 84.0, "Df": 0.0}
    assert records.collapse("full_class", scores, 95.0, 30.0) == [
        "D_r 84.00 % is 11.0 points below the original's",
        "D_f 0.00 % is 30.0 points below retrain's",
    ]
    assert (
        records.collapse("full_class", scores, 94.0, 10.0)
        == records.collapse("random", scores, None, None)
        == []
    )
    assert len(records.collapse("corrupted", scores, 95.0, 30.0)) == 1  # D_r alone


def test_numbers_are_short_and_have_no_exponent():
    assert [records.short(value) for value in (1523.4, 999.7, 999.2, 78.04, 0.000179)] == [
        "1523",
        "1000",
        "999",
        "78",
        "0.000179",
    ]


def test_no_records_is_an_error_and_other_files_are_left_out(tmp_path, capsys):
    with pytest.raises(UserError, match="run an experiment"):
        records.read_all(tmp_path)
    (tmp_path / "torn.json").write_text(json.dumps(record("ssd", 0, 1, 2, 3))[:50])
    (tmp_path / "foreign.json").write_text('{"task": "nope", "config": {}, "scores": {}}')
    for name in ("torn.json", "foreign.json"):
        with pytest.raises(UserError, match=name):
            records.read(tmp_path / name)
    with pytest.raises(UserError, match="run an experiment"):
        records.read_all(tmp_path)
    records.write(tmp_path / "whole.json", record("ssd", 0, 1, 2, 3))
    assert len(records.read_all(tmp_path)) == 1
    assert capsys.readouterr().err.count("left out: ") == 4


def test_record_path_is_determined_by_the_identity(tmp_path):
    paths = [
        identity.path_of(tmp_path, "random", "name", identity)
        for identity in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2, "b": 2})
    ]
    assert paths[0] == paths[1] != paths[2] and paths[0].parent == tmp_path / "random"


DAMAGE = [
    lambda r: r.update(config=None),
    lambda r: r.update(config=[]),
    lambda r: r.update(scores={}),
    lambda r: r["scores"].update(MIA=None),
    lambda r: r["scores"].update(MIA=float("nan")),
    lambda r: r.update(seconds={}),
    lambda r: r["seconds"].update(method=None),
    lambda r: r.pop("commit"),
    lambda r: r.pop("device"),
    lambda r: r["config"].update(set="lr=1"),
    lambda r: r["config"].update(set={"lr": "x"}),
    lambda r: r["config"].update(train_seed=None),
    lambda r: r.update(data_hash=None),
    lambda r: r.update(task=[1]),
    lambda r: r.update(task="../../evil"),
    lambda r: r["config"].update(net="../evil"),
    lambda r: r.update(entropy_histogram=[0] * 20),
    lambda r: r.update(entropy_histogram=[1]),
    lambda r: r["config"].update(forget=None),
    lambda r: r.update(task="corrupted"),
    lambda r: r["scores"].update(AttackSuccess=None),
    lambda r: r["scores"].update(Df=1e308),
    lambda r: r["scores"].update(Df=100.1),
    lambda r: r["scores"].update(MIA=-0.1),
    lambda r: r["scores"].update(TestAcc=True),
    lambda r: r["scores"].update(TestAcc=10**400),
    lambda r: r["scores"].update(AttackSuccess=101),
    lambda r: r["scores"].update(ZRF=0.3),  # by the paper at least 1 - ln 2 = 0.307
    lambda r: r["scores"].update(ZRF=1.01),
    lambda r: r["seconds"].update(method=-1),
    lambda r: r["seconds"].update(evaluation=1e308),
    lambda r: r["seconds"].update(full_importance=-1),
    lambda r: r.update(selected=1.5),
    lambda r: r.update(selected_by_name={"a": 2}),
    lambda r: r.update(adaptive_alpha=-1),
    lambda r: r.update(sizes={"D": 10, "D_f": 0}),
    lambda r: r.update(sizes={"D": 10, "D_f": 11}),
    lambda r: r.update(sizes={"D": 10}),
    lambda r: r.update(entropy_histogram=[-1] * 10 + [2] * 10),
    lambda r: r.update(command="python x 'oops"),
    lambda r: r.update(command=["python"]),
    lambda r: r.update(date="yesterday"),
    lambda r: r.update(unchanged="D_f"),
    lambda r: r.update(collapse=[1]),
    lambda r: r.update(forgotten_before=["cat"]),
    lambda r: r["config"].update(alpha="abc"),
    lambda r: r["config"].update(alpha=-1),
    lambda r: r["config"].update({"alpha": 1, "lambda": None}),
    lambda r: r["config"].update(seed=-1),
    lambda r: r["config"].update(train_seed=2**64),
    lambda r: r["config"].update(b=0),
    lambda r: r["config"].update(b=64.5),
    lambda r: r["config"].update(importance=[1]),
    lambda r: r["config"].update(dataset="Folder"),
    lambda r: r["config"].update(net="N" * 300),
    lambda r: r["config"].update(set={"lr": float("inf")}),
    lambda r: r["config"].update(hyperparameters={"lr": float("nan")}),
    lambda r: r["config"].update(hyperparameters=[0.1]),
    lambda r: r["config"].update(mia={"tol": "small"}),
    lambda r: r["config"].update(validation="yes"),
    lambda r: r["config"].update(
        corruption="patch", corrupt_count=5, known_share=0.5
    ),  # of a task that heals nothing
    lambda r: (
        r.update(task="corrupted"),
        r["config"].update(corruption="a b", corrupt_count=5, known_share=0.5),
    ),
    lambda r: (
        r.update(task="corrupted"),
        r["config"].update(corruption="patch", corrupt_count=0, known_share=0.5),
    ),
    lambda r: (
        r.update(task="corrupted"),
        r["config"].update(corruption="patch", corrupt_count=5, known_share=0),
    ),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_left_out_and_the_rest_reported(tmp_path, damage, capsys):
    broken = record("ssd", 0, 1, 2, 3)
    damage(broken)
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    records.write(tmp_path / "whole.json", record("ssd", 0, 1, 2, 3))
    assert len(records.read_all(tmp_path)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("left out: ") and "broken.json is no record of this version (" in line


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scores": {"Df": 1e308}}, "scores.Df is 1e+308; it must be a number from 0 to 100"),
        (
            {"config": {"alpha": "abc"}},
            "config.alpha is 'abc'; it must be a finite number of at least 0, or null",
        ),
        ({"command": "python x 'oops"}, "command is"),
        ({"device": None}, "device is None; it must be a text"),
    ],
)
def test_the_reason_names_the_field(tmp_path, changes, field):
    broken = record("ssd", 0, 1, 2, 3)
    for name, value in changes.items():
        broken[name] = {**broken[name], **value} if isinstance(value, dict) else value
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    with pytest.raises(UserError, match=re.escape(field)):
        records.read(tmp_path / "broken.json")


def test_released_zrf_has_no_lower_bound(tmp_path):
    released = record("ssd", 0, 1, 2, 3)
    released["scores"]["ZRF"] = -2.5
    released["config"]["protocol"] = "released"
    records.write(tmp_path / "released.json", released)
    assert records.read(tmp_path / "released.json")["scores"]["ZRF"] == -2.5
    released["config"].update(protocol="paper", departures=["zrf_by_elementwise_kl"])
    records.write(tmp_path / "released.json", released)
    assert records.read(tmp_path / "released.json")["scores"]["ZRF"] == -2.5
    released["config"]["departures"] = []
    records.write(tmp_path / "released.json", released)
    with pytest.raises(UserError, match="ZRF"):
        records.read(tmp_path / "released.json")


def test_words_that_methods_take_are_sound(tmp_path):
    """Every -set value that is a word may stand in a record."""
    words = 0
    for method, entry_of in METHODS.items():
        for name, parameter in entry_of.parameters.items():
            for value in typing.get_args(parameter.annotation):
                if isinstance(value, str):
                    entry = record(method, 0, 1, 2, 3)
                    entry["config"]["set"] = {name: value}
                    records.write(tmp_path / "record.json", entry)
                    assert records.read(tmp_path / "record.json")["config"]["set"] == {name: value}
                    words += 1
    assert words >= 4  # D and D_r of two methods


def full_record():
    """A record with every field that readers know."""
    entry = record("ssd", 0, 90, 5, 10, alpha=10.0, selected=0.1, full=2.0)
    entry["config"] |= {
        "dataset": "Folder",
        "data": "data/own",
        "validation": False,
        "duplicates": "keep",
        "departures": [],
        "hyperparameters": {"lr": 0.1, "milestones": [1, 2]},
        "recipe": {"epochs": 2},
        "set": {"lr": 0.1},
        "mia": {"C": 2.0, "tol": 1e-10, "max_iter": 100},
    }
    entry |= {
        "command": "python x.py -net Net",
        "date": "2026-11-26",
        "sizes": {"D": 50, "D_f": 5},
        "adaptive_alpha": 3.0,
        "subsample": {"retain": 5, "forget": 5},
        "duplicates": {"groups": 0},
        "class_accuracy": {"cat": 1.0, "owl": None},
        "unchanged": [],
        "forgotten_before": [{"forget": "dog", "method": "ssd"}],
        "test_hash": "e" * 64,
    }
    return entry


def places(value, at=()):
    """The place of every value in nested dictionaries and lists, as keys."""
    if at:
        yield at
    if isinstance(value, dict):
        for name, part in value.items():
            yield from places(part, (*at, name))
    elif isinstance(value, list):
        yield from places(value[0], (*at, 0)) if value else ()


ODD = [
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


def test_whatever_stands_in_a_record_the_report_goes_on(tmp_path):
    """Each value of a record is replaced by odd ones: it is refused with one line, or it is reported."""
    beside = [record("retrain", 0, 94, 0, 20), record("baseline", 0, 95, 96, 97)]
    for entry in beside:
        entry["config"].update(dataset="Folder", data="data/own")
    refused, reported = 0, 0
    for place in places(full_record()):
        for value in ODD:
            entry = full_record()
            inner = entry
            for name in place[:-1]:
                inner = inner[name]
            inner[place[-1]] = value
            (tmp_path / "odd.json").write_text(json.dumps(entry))
            try:
                entry = records.read(tmp_path / "odd.json")
            except UserError as error:
                assert "\n" not in str(error)
                refused += 1
                continue
            assert records.readable(entry)
            all_tables = tables([*copy.deepcopy(beside), entry])
            for write in (report.markdown, report.latex, report.csv_text):
                assert report.encoded(write(all_tables))
            reported += 1
    assert refused > 1000 and reported > 250


def test_a_link_to_nothing_is_left_out(tmp_path, capsys):
    records.write(tmp_path / "whole.json", record("ssd", 0, 1, 2, 3))
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    assert len(records.read_all(tmp_path)) == 1
    assert "left out: " in capsys.readouterr().err


def test_absurdly_nested_json_is_left_out(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="cannot be read"):
        records.read(tmp_path / "deep.json")


def test_no_run_disappears_behind_another():
    """Another network by the same training seed, settings that differ in the eighth digit: rows of their own."""
    other = record("ssd", 0, 50, 0, 1)
    other["weights_hash"] = "f" * 64
    rows = cells_of(report.markdown(tables([record("ssd", 0, 90, 0, 1), other])))
    assert sorted(row[0] for row in rows if row[0].startswith("ssd")) == [
        "ssd (weights 000000)",
        "ssd (weights ffffff)",
    ]
    near = [record("finetune", 0, value, 0, 1) for value in (90, 50)]
    near[0]["config"]["set"], near[1]["config"]["set"] = {"lr": 0.01}, {"lr": 0.01000001}
    assert {row[0] for row in cells_of(report.markdown(tables(near)))[2:4]} == {
        "finetune (lr 0.01)",
        "finetune (lr 0.01000001)",
    }


def test_a_page_replaces_only_a_page(results, tmp_path):
    path = next(results.rglob("*.json"))
    before = path.read_bytes()
    for target, words in ((path, "no page"), (results, "no page"), ("", "no page")):
        with pytest.raises(UserError, match=words):
            report.main([str(results), "--html", str(target)])
    assert path.read_bytes() == before
    for _ in range(2):
        report.main([str(results), "--html", str(tmp_path / "page.html")])


def test_tex_escapes_what_tex_reads():
    assert (
        report._tex('<a|b>"…')
        == "\\textless{}a\\textbar{}b\\textgreater{}\\textquotedbl{}\\ldots{}"
    )
    assert report._tex("a_b^c{d}~\\$&#% ±") == (
        "a\\_b\\textasciicircum{}c\\{d\\}\\textasciitilde{}\\textbackslash{}\\$\\&\\#\\% $\\pm$"
    )


def test_titles_part_evenly():
    """No line is longer than there is room for, and no word is left alone where it need not be."""
    parts = style._parted(
        "Forget random images: ResNet18Slim on Folder cifar10-jpeg, over alpha.", 65
    )
    assert parts == ["Forget random images: ResNet18Slim", "on Folder cifar10-jpeg, over alpha."]
    assert style._parted("It fits.", 65) == ["It fits."] and style._parted("", 65) == []


def test_only_classes_are_averaged():
    """Two shares of random images are no two classes: no mean over them, and no figure of it."""
    for task, told in (
        ("random", None),
        ("full_class", "2 forgotten classes"),
        ("sub_class", "2 forgotten sub-classes"),
    ):
        entries = [
            record(method, 0, 90, 5, 5, task=task, forget=forget)
            for method in ("retrain", "jit")
            for forget in "ab"
        ]
        ((key, sections),) = tables(entries).items()
        text = report.markdown({key: sections})
        assert ("Averaged over" in text) == (told is not None)
        assert ("overview" in plots.figures(key, sections)) == (told is not None)
        if told:
            assert f"Averaged over the {told}; ± is over" in text


def test_trials_on_validation_images_stand_apart():
    """They are a table of their own, behind the test results, and no goals of these."""
    entries = [
        record("retrain", 0, 90, 0, 20),
        record("ssd", 0, 80, 0, 20, alpha=10),
        record("baseline", 0, 95, 96, 97),
    ]
    trials = copy.deepcopy(entries[:2])
    for entry in trials:
        entry["config"]["validation"] = True
    trials[0]["scores"]["RetainTestAcc"] = 84
    found = tables([*trials, *entries])
    assert [key.validation for key in found] == [False, True]
    text = report.markdown(found)
    titles = re.findall("## .*?Forget one class.*", text)
    assert titles == [
        "## Forget one class: Net on Set (protocol paper)",
        "## Trials on validation images. Forget one class: Net on Set (protocol paper)",
    ]
    gaps = [
        row[1] for row in cells_of(text) if row[0] == "ssd" and row[-1] == "1" and len(row) == 5
    ]
    assert gaps == ["-10.00", "-4.00"]  # each to its own retrain
    verdicts = [row[-1] for row in cells_of(text) if row[0] == "ssd" and len(row) == 12]
    assert verdicts == ["COLLAPSED", ""]  # the baseline belongs to the test results alone
    rows = list(csv.DictReader(report.csv_text(found).splitlines()))
    assert {row["images"] for row in rows} == {"test", "validation"}
    names = [name for _, name, _ in report.drawings(found)]
    assert (
        len(names) == len(set(names))
        and "report-full_class-Net-Set-paper-validation-scores" in names
    )


def test_folders_of_images_are_tables_of_their_own():
    entries = [record("ssd", 0, value, 0, 20) for value in (90, 50)]
    for entry, folder in zip(entries, ("data/my own", "else/my_own"), strict=True):
        entry["config"].update(dataset="Folder", data=folder)
    found = tables(entries)
    assert [
        next(iter(sections.values()))[0].values["D_r %"].mean for sections in found.values()
    ] == [90, 50]
    assert [provenance.title_of(key) for key in found] == [
        "Forget one class: Net on Folder my own (protocol paper)",
        "Forget one class: Net on Folder my_own (protocol paper)",
    ]
    names = {name for _, name, _ in report.drawings(found)}
    assert len(names) == 6 and "report-full_class-Net-Folder-paper-my_own-scores" in names
    ((_, name, _), *_) = report.drawings({key: found[key] for key in list(found)[:1]})
    assert (
        name == "report-full_class-Net-Folder-paper-scores"
    )  # the folder is named only where there are several


def with_settings(method, value, given=None, **hyperparameters):
    entry = record(method, 0, value, 0, 20)
    entry["config"].update(hyperparameters=hyperparameters, set=given or {})
    return entry


def labels(entries):
    """{label: D_r} of the rows of one section."""
    ((_, sections),) = tables(entries).items()
    (rows,) = sections.values()
    return {row.label: row.values["D_r %"].mean for row in rows}


def test_hyperparameters_in_effect_set_rows_apart():
    """A default that has changed is another row, though nothing was given with -set; what was given is named too."""
    entries = [
        with_settings("finetune", 90, lr=0.1, epochs=5),
        with_settings("finetune", 50, lr=0.1, epochs=10),
    ]
    assert labels(entries) == {"finetune (epochs 5)": 90, "finetune (epochs 10)": 50}
    assert labels([with_settings("finetune", 90, {"lr": 0.2}, lr=0.2, epochs=5)]) == {
        "finetune (lr 0.2)": 90
    }
    nested = [
        with_settings("retrain", 90, milestones=[1, 2]),
        with_settings("retrain", 50, milestones=[1, 3]),
    ]
    assert labels(nested) == {"retrain (milestones [1, 2])": 90, "retrain (milestones [1, 3])": 50}
    # the same numbers were in effect, whatever was given: one row, of two seeds
    same = [
        with_settings("finetune", 90, lr=0.1),
        with_settings("finetune", 50, {"lr": 0.1}, lr=0.1),
    ]
    same[1]["config"]["seed"] = 1
    assert list(labels(same).values()) == [70]


def test_records_without_hyperparameters_fall_back_to_what_was_set():
    old = [record("finetune", 0, value, 0, 20) for value in (90, 50)]
    old[0]["config"]["set"], old[1]["config"]["set"] = {"lr": 0.1}, {"lr": 0.2}
    assert labels(old) == {"finetune (lr 0.1)": 90, "finetune (lr 0.2)": 50}
    mixed = [record("finetune", 0, 90, 0, 20), with_settings("finetune", 50, lr=0.1, epochs=10)]
    assert labels(mixed) == {"finetune (hyper-parameters not recorded)": 90, "finetune": 50}
    assert labels([record("baseline", 0, 90, 0, 20), with_settings("baseline", 50)]) == {
        "baseline": 50
    }  # it has none


def test_the_goal_is_the_retrain_with_nothing_set():
    goals = [
        with_settings("retrain", 90, epochs=20),
        with_settings("retrain", 50, {"epochs": 1}, epochs=1),
    ]
    ((_, sections),) = tables([*goals, record("jit", 0, 88, 0, 20)]).items()
    (jit,) = [row for row in sections["7"] if row.method == "jit"]
    assert jit.pairs == 1 and jit.gaps["D_r %"][0] == -2
    ((_, sections),) = tables([goals[1], record("jit", 0, 88, 0, 20)]).items()
    (jit,) = [row for row in sections["7"] if row.method == "jit"]
    assert jit.gaps["D_r %"][0] == 38  # there is no other


def test_how_mia_was_fitted_is_said():
    fine = {"C": 2.0, "tol": 1e-10, "max_iter": 1000}
    entries = [record("finetune", seed, 90, 0, 20) for seed in range(3)]
    for entry in entries:
        entry["config"]["mia"] = fine
    assert "MIA was fitted" not in report.markdown(tables(entries))
    del entries[0]["config"]["mia"]
    text = report.markdown(tables(entries))
    assert (
        "MIA was fitted at tolerance 1e-10 in 2 of 3 runs, at tolerance 0.0001 in 1 of 3 runs"
        in text
    )
    assert "MIA was fitted at tolerance 0.0001 in all 9 runs" in provenance.made_by(
        [record("jit", 0, 1, 1, 1)] * 9
    )
    entries[1]["config"]["mia"] = {**fine, "C": 1.0}
    assert "MIA was fitted with C 1, max_iter 1000 or C 2, max_iter 1000" in report.markdown(
        tables(entries)
    )


@pytest.mark.parametrize("order", [1, -1])
def test_of_one_run_the_finer_fit_counts(order):
    old, new = record("finetune", 0, 90, 0, 20), record("finetune", 0, 90, 0, 25)
    new["config"]["mia"] = {"C": 2.0, "tol": 1e-10, "max_iter": 1000}
    (sections,) = tables([old, new][::order]).values()
    assert [row.values["MIA %"].mean for row in sections["7"]] == [25]


def test_unchanged_is_said():
    """The record says it, or where it is of an older version, the baseline tells."""
    made = [
        record("baseline", 0, 95, 96, 97),
        record("retrain", 0, 94, 0, 20),
        record("ntk", 0, 95, 95.1, 90),
        record("jit", 0, 95, 94.9, 90),
        record("scrub", 0, 95, 50, 90),
        record("scrub", 1, 70, 96.5, 90),
        record("salun", 0, 70, 96.5, 90),
    ]
    head, _, *rows = [row for row in cells_of(report.markdown(tables(made))) if len(row) == 12]
    assert head[-1] == "verdict"
    assert {row[0]: row[-1] for row in rows} == {
        "retrain": "",
        "baseline": "",
        "jit": "",
        "ntk": "UNCHANGED",
        "salun": "COLLAPSED, UNCHANGED",
        "scrub": "COLLAPSED 1 of 2, UNCHANGED 1 of 2",
    }
    told = [{**record("jit", seed, 95, 50, 90), "unchanged": ["D_f"]} for seed in (0, 1)]
    quiet = [{**record("ntk", 0, 95, 96, 90), "unchanged": []}, record("baseline", 0, 95, 96, 97)]
    text = report.markdown(tables([*told, *quiet]))
    assert [row[-1] for row in cells_of(text) if row[0] in ("jit", "ntk")] == [
        "UNCHANGED",
        "",
    ]  # what the record says counts
    page = report.page.page(report.blocks(tables(told)), {})
    assert (
        "<td>UNCHANGED</tr>" in page
        and "<table class=runs>" in page
        and "table.runs td:last-child { color" in page
    )
    (row,) = csv.DictReader(report.csv_text(tables(told)).splitlines())
    assert row["collapsed"] == "0" and row["unchanged"] == "2"
    assert "UNCHANGED" in report.LEGEND and "COLLAPSED" in report.LEGEND


def test_means_over_classes_are_of_one_setting():
    """What was run by other settings, or from another network, for one class is not averaged with the rest."""
    entries = [with_settings("finetune", 90, epochs=5), with_settings("finetune", 50, epochs=10)]
    entries += [
        record("ssd", 0, 90, 0, 20),
        record("ssd", 0, 50, 0, 20),
        record("jit", 0, 90, 0, 20),
        record("jit", 0, 50, 0, 20),
    ]
    for entry in entries[1::2]:
        entry["config"]["forget"] = "8"
    entries[3].update(weights_hash="f" * 64, forgotten_before=[{"forget": "7", "method": "ssd"}])
    (sections,) = tables(entries).values()
    assert {name: means["D_r %"][0] for name, means in over_classes(sections).items()} == {
        "jit": 70
    }
    assert {row.label for row in sections["7"]} == {
        "finetune (epochs 5)",
        "finetune (epochs 10)",
        "ssd",
        "ssd (after 7)",
        "jit",
    }


def test_other_corruptions_are_other_data_by_nature():
    entries = [
        record("potion", 0, 90, 50, 5, task="corrupted", forget=kind, data=kind * 64)
        for kind in "ab"
    ]
    for entry in entries:
        entry["config"].update(
            corruption=entry["config"]["forget"], corrupt_count=5, known_share=0.5
        )
        entry["weights_hash"] = entry["data_hash"]
    (sections,) = tables(entries).values()
    assert [row.label for rows in sections.values() for row in rows] == ["potion", "potion"]


def test_networks_that_had_forgotten_before_stand_apart():
    first, second = record("ssd", 0, 90, 0, 20, alpha=10), record("ssd", 1, 50, 0, 20, alpha=10)
    second.update(
        weights_hash="f" * 64,
        forgotten_before=[{"forget": "cat", "method": "ssd"}, {"forget": "owl", "method": "jit"}],
    )
    assert labels([first, second]) == {"ssd": 90, "ssd (after cat, owl)": 50}
    assert (
        "Forgotten before: 1 of 2 runs from a network that had forgotten cat, owl"
        in provenance.made_by([first, second])
    )
    baseline = record("baseline", 0, 95, 96, 97)
    ((_, sections),) = tables([baseline, first, second]).items()
    assert [row.collapsed for row in sections["7"]] == [
        0,
        0,
        0,
    ]  # the second's original is not the baseline


def test_handling_of_identical_images_is_said_where_it_differs():
    entries = [record("jit", seed, 90, 0, 20) for seed in range(3)]
    for entry, handling in zip(entries, ("keep", "keep", "drop_test"), strict=True):
        entry["config"]["duplicates"] = handling
    assert "Identical images: drop_test in 1 runs, keep in 2 runs" in provenance.made_by(entries)
    assert "Identical images" not in provenance.made_by(entries[:2])


def size_of(figure):
    """The larger one of a figure's width and height, in pixels."""
    return max(figure.get_size_inches()) * style.DOTS_PER_INCH


def drawn_texts(figure):
    """Every text of a figure, none of which is read as mathematics."""
    found = figure.findobj(Text)
    assert not any(text.get_parse_math() for text in found)
    return {text.get_text() for text in found}


def suptitle(figure):
    return " ".join(figure.get_suptitle().split())


def test_figures_have_a_largest_size_and_say_what_they_leave_out():
    entries = []
    for number in range(8):
        forget = f"class {number}"
        entries += [
            record("retrain", 0, 94, 0, 20, forget=forget),
            record("baseline", 0, 95, 96, 97, forget=forget),
        ]
        for trial in range(40):
            entry = record("finetune", 0, 94, trial, 20, forget=forget, selected=0.1)
            entry["config"]["set"] = {"lr": 0.1 + trial}
            entries.append(entry)
    ((key, sections),) = tables(entries).items()
    figures = plots.figures(key, sections)
    assert {"scores", "trade-off", "entropy", "layers", "overview"} <= figures.keys()
    for name, figure in figures.items():
        assert size_of(figure) <= 3000, name
    omitted = "Drawn: 20 of 42 rows, the nearest to retrain; the first 3 of 8 forget sets (the tables have all)"
    assert omitted in suptitle(figures["scores"])
    assert "22 of 42 rows" in suptitle(figures["overview"]) and "22 of 42 rows" in suptitle(
        figures["trade-off"]
    )
    assert "first 5 of 8 forget sets" in suptitle(
        figures["entropy"]
    ) and "14 of 40 rows" in suptitle(figures["layers"])
    # of the rows retrain, baseline and the 18 that are nearest to retrain
    shown = [text.get_text() for text in figures["scores"].axes[0].get_yticklabels()]
    assert shown == [
        "retrain",
        "baseline",
        *[f"finetune (lr {0.1 + trial:.12g})" for trial in range(18)],
    ]
    few = plots.figures(key, {name: sections[name][:5] for name in ("class 0", "class 1")})
    assert not any("Drawn" in suptitle(figure) for figure in few.values())


def test_figures_over_alpha_have_a_largest_size():
    entries = []
    for number in range(9):
        for method in ("ssd", "lfssd"):
            for denominator, alpha in itertools.product(range(6), (1.0, 2.0, 4.0, 8.0)):
                entry = record(
                    method, 0, 90, 5, 5, forget=f"class {number}", alpha=alpha, selected=0.1
                )
                entry["config"]["set"] = {"lr": 1.0 + denominator}
                entries.append(entry)
    ((key, sections),) = tables(entries).items()
    figure = plots.figures(key, sections)["alpha"]
    assert size_of(figure) <= 3000
    assert "8 of 12 methods and settings; the first 7 of 9 forget sets" in suptitle(figure)


def test_figures_of_corrupted_data_have_a_largest_size():
    entries = []
    for corruption, trial in itertools.product("abcdefghij", range(20)):
        entry = record("ssd", 0, 90, 50, 5, task="corrupted", forget=corruption, alpha=1.0 + trial)
        entry["config"].update(corruption=corruption, corrupt_count=5, known_share=0.5)
        entries.append(entry)
    ((key, sections),) = tables(entries).items()
    (figure,) = plots.figures(key, sections).values()
    width, height = Image.open(io.BytesIO(style.saved(figure, "png"))).size
    assert max(width, height) <= 3000 and max(width, height) == pytest.approx(
        size_of(figure), abs=1
    )
    assert "14 of 20 rows" in suptitle(figure) and "7 of 10 corruptions" in suptitle(figure)


def test_a_tuning_of_many_forget_sets_has_a_largest_size():
    point = {"D_r %": 90, "D_f %": 5, "MIA %": 5}
    figure = plots.tuning(
        "ssd", [f"${n}_$" for n in range(9)], [([point] * 9, 1.0)], [point] * 9, [point] * 9
    )
    assert (
        size_of(figure) <= 3000
        and "forget $0_$" in drawn_texts(figure)
        and "first 4 of 9 forget sets" in suptitle(figure)
    )


def test_rows_of_a_sweep_over_alpha_are_drawn_or_said():
    base = [record("retrain", 0, 94, 0, 20), record("baseline", 0, 95, 96, 97)]
    for count, drawn in ((5, True), (13, False)):
        sweep = [record("ssd", 0, 90, alpha, 5, alpha=alpha) for alpha in range(1, count + 1)]
        ((key, sections),) = tables([*base, *sweep]).items()
        figures = plots.figures(key, sections)
        rows = [text.get_text() for text in figures["scores"].axes[0].get_yticklabels()]
        assert ("ssd (alpha 3, lambda 1)" in rows or "ssd (alpha 3)" in rows) == drawn
        for name in ("scores", "trade-off"):
            assert (
                "ssd: 13 rows are drawn in the figure over alpha" in suptitle(figures[name])
            ) != drawn


ODD_NAMES = [
    "$x_$",
    "a|b",
    "new\nline\r\ttab",
    "<b>&amp;</b>",
    "*x* _y_ `z` [l](u)",
    "\\frac{1}{2} 100% #1 ~^",
    "long " * 200,
    "\udce9",
    "  ",
    "$",
    "$$\\undefined$",
    "日本",
    "\x07bell",
]


def named(method, name, alpha=None):
    """A record in which all that a user can name has that name."""
    entry = record(method, 0, 80, 5, 5, alpha=alpha, forget=name, selected=0.1)
    entry["config"].update(dataset="Folder", data="data/$x_$", hyperparameters={"kind": name})
    entry.update(
        device=name,
        command=f"python x.py -data '{name}'",
        selected_by_name={name: 0.1, "$w_$": 0.2},
    )
    entry["forgotten_before"] = [{"forget": name}]
    return entry


def test_odd_names_break_no_table(tmp_path):
    """Names of classes, folders and devices are shown as they are, in every format."""
    entries = [named(method, name) for name in ODD_NAMES for method in ("retrain", "ssd")]
    found = tables(entries)
    text = report.markdown(found)
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1, block  # every line has the cells of the head
    assert (
        "\n### Forgotten: \\$x\\_\\$\n" in text
        and "### Forgotten: a\\|b" in text
        and "\n### Forgotten: new line tab\n" in text
    )
    page = report.page.page(report.blocks(found), {})
    assert "<h3>Forgotten: &lt;b&gt;&amp;amp;&lt;/b&gt;</h3>" in page and "<b>" not in page
    assert "Forgotten: \\udce9" in page  # a byte that is no text
    latex = report.latex(found)
    assert (
        "Forgotten: \\$x\\_\\$}" in latex
        and "\\textbackslash{}frac\\{1\\}\\{2\\} 100\\% \\#1" in latex
    )
    assert max(len(line) for line in latex.splitlines() if line.startswith("\\caption")) < 300
    names = {
        row["forget"] for row in csv.DictReader(io.StringIO(report.csv_text(found), newline=""))
    }
    assert names == set(ODD_NAMES)


@pytest.mark.filterwarnings("ignore:Glyph")  # the font has no Japanese; a box is drawn
def test_odd_names_break_no_figure(tmp_path):
    """Nothing that has a name from a user is read as mathematics: the script goes on to its page."""
    results = tmp_path / "results"
    for number, name in enumerate(("$x_$", " ".join(ODD_NAMES))):
        for method, alpha in (
            ("retrain", None),
            ("assd", None),
            *(("ssd", alpha) for alpha in (1.0, 2.0, 4.0, 8.0)),
        ):
            records.write(results / f"{number}-{method}-{alpha}.json", named(method, name, alpha))
        for kind in ("$k_$", name):  # two rows: their names say what differs
            entry = named("jit", name)
            entry["config"]["hyperparameters"] = {"kind": kind, "lr": 1}
            records.write(results / f"{number}-jit-{len(kind)}.json", entry)
    entry = record("ssd", 0, 80, 5, 5, task="corrupted", forget="5 é known $x_$")
    entry["config"].update(
        corruption="é", corrupt_count=5, known_share=0.5, dataset="Folder", data="$x_$"
    )
    records.write(results / "corrupted.json", entry)
    report.main([str(results), "--html", str(tmp_path / "page.html")])
    assert (tmp_path / "page.html").read_text().count(
        "<img"
    ) == 6  # no means over classes whose runs differ
    key, sections = next(iter(tables(records.read_all(results)).items()))
    texts = {name: drawn_texts(figure) for name, figure in plots.figures(key, sections).items()}
    assert all(
        "forget $x_$" in found or name in ("overview", "alpha") for name, found in texts.items()
    )
    assert "ssd: forget $x_$" in texts["alpha"] and "$w_$" in texts["layers"]


def test_markdown_finds_nothing_in_a_text():
    assert report._md("a|b*c*`d`$e$~f~<g>") == "a\\|b\\*c\\*\\`d\\`\\$e\\$\\~f\\~\\<g>"
    assert report._md("__init__ bad_teacher _x_ &lt; a & b [l](u) \\|") == (
        "\\_\\_init\\_\\_ bad_teacher \\_x\\_ \\&lt; a & b [l]\\(u) \\\\\\|"
    )


def test_shown_texts_are_one_line_and_keep_both_ends():
    assert provenance.shown("a\n b\x00") == "a b?"
    assert provenance.shown("abcdefghijklmnopqrstuvwxyz", 10) == "abcdef…xyz"
    assert len(provenance.shown("x" * 1000, 100)) == 100


def test_a_terminal_without_our_signs_gets_the_page(results, tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = call(
        "report.py", results, "--html", tmp_path / "page.html", cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "94.50 ± 0.71" in (tmp_path / "page.html").read_text() and re.search(
        r"94\.50 \S+ 0\.71", done.stdout
    )


def test_the_page_is_written_before_anything_is_printed(results, tmp_path):
    """A reader that has left loses nothing that was to be kept."""
    command = [
        sys.executable,
        str(ROOT / "report.py"),
        str(results),
        "--html",
        str(tmp_path / "page.html"),
    ]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    assert done.returncode == 2 and (tmp_path / "page.html").exists()
