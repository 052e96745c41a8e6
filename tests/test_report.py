"""report.py on records made by hand."""

import csv
import html.parser
import itertools
import json
import random
import re

import pytest
import scipy.stats
from conftest import call

import panels
import plots
import provenance
import records
import report
from common import UserError
from methods import METHODS
from summaries import interval, over_classes, tables


def record(method, seed, d_r, d_f, mia, *, task="full_class", forget="7", alpha=None, selected=None, seconds=1.0, full=None,
           training=0, commit="c" * 40, data="d" * 64, test=90.0):  # fmt: skip
    config = {"net": "Net", "dataset": "Set", "train_seed": training, "protocol": "paper", "method": method, "seed": seed,
              "forget": forget, "b": 64, "alpha": alpha, "lambda": alpha and 1, "importance": "batch", "set": {},
              "numerics": "fp32"}  # fmt: skip
    return {"task": task, "config": config, "scores": {"RetainTestAcc": d_r, "Df": d_f, "MIA": mia, "TestAcc": test, "ZRF": 1},
            "seconds": {"method": seconds, "evaluation": 1, "full_importance": full}, "selected": selected, "device": "a CPU",
            "commit": commit, "collapse": [], "weights_hash": f"{training}" * 64, "data_hash": data,
            "entropy_histogram": [3, 1] + [0] * 18, **({"selected_by_name": {"a": 0.1, "b": 0.2}} if selected else {})}  # fmt: skip


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
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n") if line.startswith("| ")]


def test_tables_by_hand():
    rows = cells_of(report.markdown(tables(MADE)))
    assert [row[0] for row in rows[2:6]] == ["retrain", "baseline", "amnesiac", "ssd"]  # retrain first
    assert rows[2][1:] == ["94.50 ± 0.71", "0.00 ± 0.00", "22.00 ± 2.83", "", "", "60", "", "", "", "2", ""]
    # one run beside both retrains: 1, 96 and 77 points from one, 0, 96 and 73 from the other. ToW: (0.99 * 0.04 + 0.04) / 2
    assert rows[3][1:] == ["95.00", "96.00", "97.00", "57.17", "0.040", "", "", "", "", "1, deterministic", ""]
    # 9.1, 0, 6 points and 1, 0, 2; 84.9 is 10.1 below the baseline's 95; (0.909 + 0.99) / 2
    assert rows[4][4:] == ["3.02", "0.950", "1", "60x", "", "", "2", "1 of 2"]
    # 4, 0, 19 points and 3, 2, 20; (0.96 * 1 * 0.9 + 0.97 * 0.98 * 1) / 2
    assert rows[5][1:] == ["91.00 ± 1.41", "1.00 ± 1.41", "2.50 ± 2.12", "8.00", "0.907", "1", "60x", "2", "2", "2", ""]
    # differences -4 and -3: t(1, 0.975) = 12.706, times 0.7071 / sqrt(2); +0 and +2; -19 and -20
    assert rows[6] == ["method", "D_r - retrain's", "D_f - retrain's", "MIA - retrain's", "pairs"]
    assert rows[10] == ["ssd", "-3.50 [-9.85, +2.85]", "+1.00 [-11.71, +13.71]", "-19.50 [-25.85, -13.15]", "2"]
    # differences 1 and 0; 96 twice; 77 and 73
    assert rows[8] == ["baseline", "+0.50 [-5.85, +6.85]", "+96.00 [+96.00, +96.00]", "+75.00 [+49.59, +100.41]", "2"]
    assert [row[0] for row in rows[13:15]] == ["ssd (alpha 5)", "ssd (alpha 10)"]  # never averaged together
    assert [row[4] for row in rows[13:15]] == ["", ""]  # no retrain, no distance


def test_a_class_named_1_is_not_measured_against_class_11():
    made = [record("retrain", 0, 90, 5, 20, forget="1"), record("retrain", 0, 90, 60, 20, forget="11")]
    made += [record("ssd", 0, 90, 5, 20, forget="1", alpha=10)]
    ((_, ssd),) = [rows[:2] for name, rows in next(iter(tables(made).values())).items() if name == "1"]
    assert ssd.gaps["D_f %"][0] == 0 and ssd.pairs == 1


def test_interval_against_scipy():
    values = [1.0, 2.5, -0.5, 3.0, 0.2]
    wanted = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((sum(values) / 5, wanted.low, wanted.high))


def test_training_seeds_and_classes_are_apart_from_seeds():
    made = [record("finetune", seed, value, 0, 0, training=training, forget=forget)
            for forget, shift in (("7", 0), ("8", 30))
            for training, values in ((0, (60, 62)), (1, (50, 54)))
            for seed, value in enumerate(v + shift for v in values)]  # fmt: skip
    found = tables(made)
    ((row,), _) = next(iter(found.values())).values()
    # 61 and 52: mean 56.5, standard deviation 6.36; over seeds 1.41 and 2.83: mean 2.12
    assert (row.values["D_r %"].mean, row.values["D_r %"].over_seeds) == pytest.approx((56.5, 2.1213), abs=1e-4)
    assert row.values["D_r %"].over_trainings == pytest.approx(6.3640, abs=1e-4)
    rows = cells_of(report.markdown(found))
    assert rows[2][1] == "56.50 ± 2.12 ± 6.36 (trainings)" and rows[2][-2] == "4"
    assert rows[-1][:2] == ["finetune", "71.50 ± 21.21"]  # 56.5 and 86.5: over classes, and it says so
    assert "± is over classes, not over seeds" in report.markdown(found)


def test_deterministic_missing_and_mixed_are_said():
    made = [*MADE, record("baseline", 1, 95, 96, 97), record("baseline", 0, 95, 96, 97, forget="8", commit="e" * 40)]
    text = report.markdown(tables(made))
    rows = cells_of(text)
    assert rows[3][1] == "95.00" and rows[3][-2] == "2, deterministic"
    missing = [row for row in rows if row[1] == "missing"]
    assert [row[0] for row in missing] == ["retrain", "amnesiac", "ssd", "retrain", "amnesiac", "ssd"]  # class 8, the average
    assert "code ccccccc, eeeeeee (several versions are averaged)" in text
    other_data = [record("finetune", 0, 90, 0, 0), record("finetune", 1, 50, 0, 0, data="e" * 64)]
    assert [row[:2] for row in cells_of(report.markdown(tables(other_data)))[2:4]] == [
        ["finetune (data dddddd)", "90.00"], ["finetune (data eeeeee)", "50.00"]]  # fmt: skip


def test_command_and_days_head_a_table():
    same, on = "python forget_x_main.py -net Net -data 'a b' -method", "2026-11-2"
    made = [{**record("ssd", 0, 1, 1, 1), "command": f"{same} ssd -seed 0 -lambda -1 -gpu", "date": on + "4"},
            {**record("jit", 1, 1, 1, 1), "command": f"{same} jit -seed 1 -gpu", "date": on + "5"}]  # fmt: skip
    assert provenance.command_of(made) == "python forget_x_main.py -net Net -data 'a b' -method METHOD -seed SEED [-lambda -1] -gpu"
    text = report.markdown(tables([*made, record("baseline", 0, 1, 1, 1)]))
    assert "\n    python forget_x_main.py -net Net" in text and "; 2026-11-24 to 2026-11-25; code" in text
    text = report.markdown(tables([record("baseline", 0, 1, 1, 1)]))
    assert "python forget" not in text and "on a CPU; code" in text  # records of before
    assert "<code>python forget_x_main.py" in report.page.page(report.blocks(tables(made)), {})


def test_script_writes_tables_and_figures(results, tmp_path):
    done = call("report.py", results, "--html", tmp_path / "page.html", cwd=results)
    assert done.returncode == 0, done.stderr
    figures = [f"report-{task}-Net-Set-paper-{name}.{kind}" for task in ("full_class", "random")
               for name in ("entropy", "layers", "scores", "trade-off") if (task, name) != ("random", "layers")
               for kind in ("pdf", "png")]  # fmt: skip
    assert sorted(path.name for path in results.glob("report*")) == sorted([*figures, "report.csv", "report.md", "report.tex"])
    assert (results / "report.md").read_text().strip() in done.stdout
    with open(results / "report.csv") as file:
        rows = list(csv.DictReader(file))
    ssd = next(row for row in rows if row["method"] == "ssd")
    assert float(ssd["MIA % mean"]) == 2.5 and float(ssd["MIA % std over seeds"]) == pytest.approx(2.1213, abs=1e-4)
    assert ssd["n"] == "2" and float(ssd["D_r % - retrain's low"]) == pytest.approx(-9.853, abs=1e-3) and ssd["alpha"] == "10"


def test_four_alphas_are_a_curve():
    entries = [record("baseline", 0, 95, 96, 97), record("retrain", 0, 94, 0, 20), record("assd", 0, 93, 1, 9, selected=0.01)]
    entries[2]["adaptive_alpha"] = 3.5
    entries += [record("ssd", 0, 80 + alpha, 9 * alpha, 5, alpha=alpha, selected=0.1 / alpha) for alpha in (10, 2, 1)]
    ((key, sections),) = tables(entries).items()
    assert "alpha" not in plots.figures(key, sections)
    entries.append(record("ssd", 0, 84, 36, 5, alpha=4, selected=0.025))
    entries[-1]["sizes"] = entries[-2]["sizes"] = {"D": 50, "D_f": 5}
    ((key, sections),) = tables(entries).items()
    figures = plots.figures(key, sections)
    (axis,) = figures["alpha"].axes
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.get_lines()}
    drawn = {bars.get_label(): list(bars.lines[0].get_data()[1]) for bars in axis.containers}
    assert drawn["D_f: what is forgotten"] == [9, 18, 36, 90] and drawn["D_r: what is kept"] == [81, 82, 84, 90]
    assert lines["ceiling |D| / |D_f|"][0] == [10, 10] and lines["D_f of retrain"][1] == [0, 0]
    assert lines["D_r of ASSD, at its alpha"] == ([3.5], [93]) and lines["parameters selected"] == ([1, 2, 4, 10], [10, 5, 2.5, 1])
    assert ([1, 2, 4], [81, 82, 84]) in lines.values()  # the crosses: more than 10 points below the baseline
    figures["alpha"].canvas.draw()
    shown = [text.get_text() for text in axis.get_xticklabels(minor=True) if text.get_text()]
    assert {"2", "5"} <= set(shown) and float(shown[0]) < 1  # not 2 x 10^0


def test_lines_from_points_to_names_do_not_cross():
    draw = random.Random(0)
    entries = [record(method, 0, 80 + 9 * draw.random(), 90 * draw.random() ** 4, 5) for method in METHODS]
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
    entries = [record(method, 0, 80, 5, 5, task=task, alpha=alpha, selected=0.1) for method, alpha in runs]
    for entry in entries:
        entry["config"].update(net="ResNet18Slim", dataset="Folder", data="data/a folder of a long name", protocol="released")
    ((key, sections),) = tables(entries).items()
    for name, figure in plots.figures(key, sections).items():
        figure.canvas.draw()
        box = figure._suptitle.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width and "long" in figure._suptitle.get_text(), name


def test_a_mean_is_over_all_classes_or_missing():
    entries = [record("ssd", 0, 80, 5, 5, forget=name, alpha=alpha) for name in "abc" for alpha in (5.0, 10.0)]
    ((key, sections),) = tables([*entries, *(record("jit", 0, 9, 9, 9, forget=name) for name in "bc")]).items()
    assert list(over_classes(sections)) == ["ssd (alpha 5)", "ssd (alpha 10)"]  # not jit, of two in three
    rows = cells_of(report.markdown({key: sections}))[-3:]
    assert [row[1] for row in rows] == ["missing", "80.00 ± 0.00", "80.00 ± 0.00"]


def test_overview_is_the_mean_over_classes():
    entries = [record(method, 0, kept + bird, forgotten * bird, 5, forget=name) for name, bird in (("bird", 2), ("cat", 0))
               for method, kept, forgotten in (("retrain", 90, 1), ("ssd", 80, 5), ("finetune", 91, 30))]  # fmt: skip
    ((key, sections),) = tables([*entries, record("jit", 0, 10, 10, 5, forget="cat")]).items()
    (axis,) = plots.overview("title", sections).axes
    drawn = {bars.get_label(): bars.lines[0].get_xydata().tolist() for bars in axis.containers}
    assert drawn == {"retrain": [[91, 1]], "ssd": [[81, 5]], "finetune": [[92, 30]]}  # jit was not run on both
    assert {text.get_text(): text.xy for text in axis.texts} == {"finetune": (92, 30), "ssd": (81, 5), "retrain": (91, 1)}
    (axis,) = plots.overview("title", {"cat": sections["cat"], "again": sections["cat"]}).axes  # jit at 10, retrain at 90
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
    assert "overview" in plots.figures(key, tables(entries)[key]) and "overview" not in plots.figures(key, {"cat": sections["cat"]})


def test_html_page_is_whole_and_latex_balanced(results, tmp_path):
    class Checker(html.parser.HTMLParser):
        opened, closed, pictures, cells = [], [], 0, 0

        def handle_starttag(self, tag, attributes):
            self.opened.append(tag)
            self.pictures += tag == "img" and dict(attributes)["src"].startswith("data:image/png;base64,")
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
    assert checker.cells == sum(len(row) for row in rows if row[0] != "method" and not row[0].startswith("---"))
    latex = (results / "report.tex").read_text()
    assert latex.count("\\begin{tabular}") == latex.count("\\bottomrule") == latex.count("\\midrule") > 0
    for line in latex.split("\n"):
        assert line.startswith("%") or not re.search(r"(?<!\\)[%_#]", line), line


def test_collapse_is_said():
    scores = {"RetainTestAcc": 84.0, "Df": 0.0}
    assert records.collapse("full_class", scores, 95.0, 30.0) == ["D_r 84.00 % is 11.0 points below the original's",
                                                    "D_f 0.00 % is 30.0 points below retrain's"]  # fmt: skip
    assert records.collapse("full_class", scores, 94.0, 10.0) == records.collapse("random", scores, None, None) == []
    assert len(records.collapse("corrupted", scores, 95.0, 30.0)) == 1  # D_r alone


def test_numbers_are_short_and_have_no_exponent():
    assert [records.short(value) for value in (1523.4, 999.7, 999.2, 78.04, 0.000179)] == ["1523", "1000", "999", "78", "0.000179"]


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
        records.path_of(tmp_path, "random", "name", identity) for identity in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2, "b": 2})
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
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_left_out_and_the_rest_reported(tmp_path, damage, capsys):
    broken = record("ssd", 0, 1, 2, 3)
    damage(broken)
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    records.write(tmp_path / "whole.json", record("ssd", 0, 1, 2, 3))
    assert len(records.read_all(tmp_path)) == 1 and "left out: " in capsys.readouterr().err


def test_absurdly_nested_json_is_left_out(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="cannot be read"):
        records.read(tmp_path / "deep.json")


def test_no_run_disappears_behind_another():
    """Another network by the same training seed, settings that differ in the eighth digit: rows of their own."""
    other = record("ssd", 0, 50, 0, 1)
    other["weights_hash"] = "f" * 64
    rows = cells_of(report.markdown(tables([record("ssd", 0, 90, 0, 1), other])))
    assert sorted(row[0] for row in rows if row[0].startswith("ssd")) == ["ssd (weights 000000)", "ssd (weights ffffff)"]
    near = [record("finetune", 0, value, 0, 1) for value in (90, 50)]
    near[0]["config"]["set"], near[1]["config"]["set"] = {"lr": 0.01}, {"lr": 0.01000001}
    assert {row[0] for row in cells_of(report.markdown(tables(near)))[2:4]} == {"finetune (lr 0.01)", "finetune (lr 0.01000001)"}


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
    assert report._tex("a_b^c{d}~\\$&#% ±") == (
        "a\\_b\\textasciicircum{}c\\{d\\}\\textasciitilde{}\\textbackslash{}\\$\\&\\#\\% $\\pm$"
    )


def test_titles_part_evenly():
    """No line is longer than there is room for, and no word is left alone where it need not be."""
    parts = panels._parted("Forget random images: ResNet18Slim on Folder cifar10-jpeg, over alpha.", 65)
    assert parts == ["Forget random images: ResNet18Slim", "on Folder cifar10-jpeg, over alpha."]
    assert panels._parted("It fits.", 65) == ["It fits."] and panels._parted("", 65) == []
