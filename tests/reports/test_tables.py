"""What the tables show, in Markdown, LaTeX and CSV."""

import csv
import io
import re

from handmade import FEW_RECORDS, cells_by_method, cells_of, markdown_of, only_setup, record

from reports import formats, tables
from reports.legend import LEGEND
from reports.summary import summarise
from runs.records import short

GAPS = ["method", "D_r - retrain's", "D_f - retrain's", "MIA - retrain's", "pairs"]


def csv_rows(records):
    text = formats.csv(summarise(records))
    return list(csv.DictReader(io.StringIO(text, newline="")))


def table_after(text, heading):
    """The lines of the first table after a heading, without its head."""
    _, _, rest = text.partition(heading)
    _, _, *lines = cells_of(rest.split("\n\n")[1])
    return lines


# ---- by hand ----


def test_a_table_by_hand():
    retrain, baseline, amnesiac, ssd = cells_of(markdown_of(FEW_RECORDS))[2:6]
    scores = ["94.50 ± 0.71", "0.00 ± 0.00", "22.00 ± 2.83"]
    assert retrain == ["retrain", *scores, "", "", "60", "", "", "", "2", ""]

    # One run next to both retrains: 1, 96 and 77 points from one, 0, 96 and 73 from the other.
    # ToW: (0.99 * 0.04 + 0.04) / 2.
    scores = ["95.00", "96.00", "97.00", "57.17", "0.040"]
    assert baseline == ["baseline", *scores, "", "", "", "", "1, deterministic", ""]

    # 9.1, 0, 6 points and 1, 0, 2; 84.9 is 10.1 below the baseline's 95. ToW: (0.909 + 0.99) / 2.
    assert amnesiac[4:] == ["3.02", "0.950", "1", "60x", "", "", "2", "COLLAPSED 1 of 2"]

    # 4, 0, 19 points and 3, 2, 20. ToW: (0.96 * 1 * 0.9 + 0.97 * 0.98 * 1) / 2.
    scores = ["91.00 ± 1.41", "1.00 ± 1.41", "2.50 ± 2.12", "8.00", "0.907"]
    assert ssd == ["ssd", *scores, "1", "60x", "2", "2", "2", ""]


def test_differences_to_retrain_by_hand():
    head, _, baseline, _, ssd = cells_of(markdown_of(FEW_RECORDS))[6:11]
    assert head == GAPS
    # Differences 1 and 0; 96 twice; 77 and 73.
    intervals = ["+0.50 [-5.85, +6.85]", "+96.00 [+96.00, +96.00]", "+75.00 [+49.59, +100.41]"]
    assert baseline == ["baseline", *intervals, "2"]
    # Differences -4 and -3: t(1, 0.975) = 12.706, times 0.7071 / sqrt(2); +0 and +2; -19 and -20.
    intervals = ["-3.50 [-9.85, +2.85]", "+1.00 [-11.71, +13.71]", "-19.50 [-25.85, -13.15]"]
    assert ssd == ["ssd", *intervals, "2"]


def test_without_retrain_there_is_no_distance():
    five, ten = table_after(markdown_of(FEW_RECORDS), "### Forgotten: 0.1 of the training images")
    assert (five[0], ten[0]) == ("ssd (alpha 5)", "ssd (alpha 10)")  # never averaged together
    assert (five[4], ten[4]) == ("", "")


def test_the_spread_over_trainings_is_apart():
    runs = [
        record("finetune", 0, 60, 0, 0, training=0),
        record("finetune", 1, 62, 0, 0, training=0),
        record("finetune", 0, 50, 0, 0, training=1),
        record("finetune", 1, 54, 0, 0, training=1),
    ]
    cells = cells_by_method(markdown_of(runs))["finetune"]
    assert cells["D_r %"] == "56.50 ± 2.12 ± 6.36 (trainings)"
    assert cells["n"] == "4"


def test_what_was_not_run_is_missing():
    runs = [*FEW_RECORDS, record("baseline", 0, 95, 96, 97, forget="8")]
    missing = [cells[0] for cells in cells_of(markdown_of(runs)) if cells[1] == "missing"]
    assert missing == ["retrain", "amnesiac", "ssd"] * 2  # of class 8, and of the average


def test_several_runs_of_a_deterministic_method_are_counted():
    runs = [record("baseline", seed, 95, 96, 97) for seed in (0, 1)]
    cells = cells_by_method(markdown_of(runs))["baseline"]
    assert (cells["D_r %"], cells["n"]) == ("95.00", "2, deterministic")


def test_verdicts():
    runs = [
        record("baseline", 0, 95, 96, 97),
        record("retrain", 0, 94, 0, 20),
        record("ntk", 0, 95, 95.1, 90),
        record("jit", 0, 95, 94.9, 90),
        record("scrub", 0, 95, 50, 90),
        record("scrub", 1, 70, 96.5, 90),
        record("salun", 0, 70, 96.5, 90),
    ]
    lines = cells_by_method(markdown_of(runs))
    assert {method: cells["verdict"] for method, cells in lines.items()} == {
        "retrain": "",
        "baseline": "",
        "jit": "",
        "ntk": "UNCHANGED",
        "salun": "COLLAPSED, UNCHANGED",
        "scrub": "COLLAPSED 1 of 2, UNCHANGED 1 of 2",
    }


def test_the_legend_explains_the_verdicts():
    assert {"COLLAPSED", "UNCHANGED"} <= LEGEND.keys()
    assert "- **COLLAPSED**: runs whose D_r" in markdown_of(FEW_RECORDS)


# ---- over several sections ----


def test_means_over_classes_by_hand():
    runs = []
    for forget, shift in (("bird", 2), ("cat", 0)):
        runs += [
            record("retrain", 0, 90 + shift, shift, 5, forget=forget),
            record("ssd", 0, 80 + shift, 5 * shift, 5, forget=forget),
        ]
    lines = table_after(markdown_of(runs), "### Averaged over the 2 forgotten classes")
    assert lines[0] == ["retrain", "91.00 ± 1.41", "1.00 ± 1.41", "5.00 ± 0.00", "", "1"]
    # 10, 8, 0 and 10, 0, 0 points from retrain
    assert lines[1] == ["ssd", "81.00 ± 1.41", "5.00 ± 7.07", "5.00 ± 0.00", "4.67", "1"]


def test_a_mean_over_classes_that_lacks_one_is_missing():
    runs = [record("ssd", 0, 80, 5, 5, forget=name) for name in "abc"]
    runs += [record("jit", 0, 9, 9, 9, forget=name) for name in "bc"]
    jit, ssd = table_after(markdown_of(runs), "### Averaged over the 3 forgotten classes")
    assert jit[:2] == ["jit", "missing"]
    assert ssd[:2] == ["ssd", "80.00 ± 0.00"]


def test_only_classes_are_averaged():
    """Two shares of random images are no two classes."""
    headings = {}
    for task in ("random", "full_class", "sub_class"):
        runs = [record("jit", 0, 90, 5, 5, task=task, forget=forget) for forget in "ab"]
        headings[task] = re.findall("### Averaged over .*", markdown_of(runs))
    assert headings == {
        "random": [],
        "full_class": [
            "### Averaged over the 2 forgotten classes; ± is over classes, not over seeds"
        ],
        "sub_class": [
            "### Averaged over the 2 forgotten sub-classes; ± is over sub-classes, not over seeds"
        ],
    }


def corrupted(method, seed, share, clean, healed, attack):
    run = record(
        method,
        seed,
        clean,
        healed,
        50,
        task="corrupted",
        forget=f"50 patch known {share}",
        corruption="patch",
        corrupt_count=50,
        known_share=share,
    )
    run["scores"]["AttackSuccess"] = attack
    return run


CORRUPTED = [
    corrupted("retrain", 0, 0.1, 95, 20, 70),
    corrupted("retrain", 0, 1, 95, 90, 0),
    corrupted("potion", 0, 0.1, 90, 80, 5),
    corrupted("potion", 1, 0.1, 92, 84, 7),
    corrupted("potion", 0, 1, 91, 88, 1),
    corrupted("baseline", 0, 1, 95, 4, 95),
    corrupted("baseline", 0, 0.5, 95, 5, 95),
    corrupted("baseline", 1, 0.5, 95, 5, 95),
]


def test_scores_of_corrupted_data_have_names_of_their_own():
    head, _, *_ = cells_of(markdown_of(CORRUPTED))
    assert head[1:5] == ["clean %", "healed %", "MIA %", "attack %"]


def test_corrupted_data_by_hand():
    potion = cells_by_method(markdown_of(CORRUPTED))["potion"]
    assert potion["healed %"] == "82.00 ± 2.83"
    assert potion["attack %"] == "6.0 ± 1.4"
    # Against the truly clean retrain of the same seed: |90 - 95|, |80 - 90|, 0.
    assert potion["distance"] == "5.00"
    assert potion["n"] == "2"  # not deterministic: the seed draws which images are known


def test_a_score_that_some_records_lack_has_a_column():
    run = record("potion", 0, 95, 0, 9)
    run["scores"]["AttackSuccess"] = 5
    cells = cells_by_method(markdown_of([record("retrain", 0, 95, 0, 9), run]))
    assert cells["potion"]["attack %"] == "5.0"
    assert cells["retrain"]["attack %"] == ""


def test_what_is_healed_over_the_known_share_by_hand():
    text = markdown_of(CORRUPTED)
    heading = "### Corrupted: 50 patch. Healed % (clean %), over the share of it that is known"
    head, _, *lines = cells_of(text[text.index(heading) :])
    assert head == ["method", "10 %", "50 %", "100 %"]
    assert ["potion", "82.0 ± 2.8 (91.0 ± 1.4)", "missing", "88.0 (91.0)"] in lines
    assert ["baseline", "missing", "5.0 ± 0.0 (95.0 ± 0.0)", "4.0 (95.0)"] in lines


# ---- headings ----


def test_headings():
    runs = [*FEW_RECORDS, record("ssd", 0, 80, 0, 20, alpha=10, validation=True)]
    headings = re.findall("^##+ .*", markdown_of(runs), re.M)
    assert headings == [
        "## Forget one class: Net on Set (protocol paper)",
        "### Forgotten: 7",
        "## Forget random images: Net on Set (protocol paper)",
        "### Forgotten: 0.1 of the training images",
        "## Trials on validation images. Forget one class: Net on Set (protocol paper)",
        "### Forgotten: 7",
    ]


def test_a_task_of_another_version_has_a_plain_heading():
    text = markdown_of([record("later", 0, 80, 90, 50, task="later_task", forget="x")])
    assert "## later_task: Net on Set (protocol paper)" in text
    assert "### Forgotten: x\n" in text
    assert cells_by_method(text)["later"]["D_r %"] == "80.00"


# ---- LaTeX ----


def test_latex_tables_are_balanced():
    latex = formats.latex(tables.chapters(summarise(FEW_RECORDS)))
    counts = {latex.count(word) for word in ("\\begin{tabular}", "\\midrule", "\\end{tabular}")}
    assert counts == {3}


def test_latex_reads_no_sign_as_a_command():
    latex = formats.latex(tables.chapters(summarise(FEW_RECORDS)))
    for line in latex.split("\n"):
        assert line.startswith("%") or not re.search(r"(?<!\\)[%_#]", line), line


def test_a_latex_table_by_hand():
    chapters = tables.chapters(summarise([record("jit", 0, 90, 5, 7, seconds=2)]))
    assert formats.latex(chapters).split("\n\n")[0].split("\n")[2:] == [
        "\\begin{table}",
        "\\caption{Forget one class: Net on Set (protocol paper). Forgotten: 7}",
        "\\begin{tabular}{lrrrrrrrrrrr}",
        "\\toprule",
        "method & D\\_r \\% & D\\_f \\% & MIA \\% & distance & ToW & seconds & faster & I\\_D s & "
        "selected \\% & n & verdict \\\\",
        "\\midrule",
        "jit & 90.00 & 5.00 & 7.00 &  &  & 2 &  &  &  & 1 &  \\\\",
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]


# ---- CSV ----


def test_csv_has_means_spreads_and_intervals():
    (ssd,) = [row for row in csv_rows(FEW_RECORDS) if row["method"] == "ssd" and row["n"] == "2"]
    assert ssd["alpha"] == "10"
    assert ssd["MIA % mean"] == "2.5"
    assert ssd["MIA % std over seeds"].startswith("2.1213")
    assert ssd["MIA % std over trainings"] == ""
    assert ssd["D_r % - retrain's low"].startswith("-9.853")


def test_csv_keeps_every_digit():
    (row,) = csv_rows([record("jit", 0, 1 / 3 + 90, 5, 5)])
    assert float(row["D_r % mean"]) == 1 / 3 + 90


def test_csv_tells_test_from_validation_images():
    runs = [record("jit", 0, 90, 5, 5), record("jit", 0, 90, 5, 5, validation=True)]
    assert [row["images"] for row in csv_rows(runs)] == ["test", "validation"]


def test_csv_counts_collapsed_and_unchanged_runs():
    runs = [{**record("jit", seed, 95, 50, 90), "unchanged": ["D_f"]} for seed in (0, 1)]
    (row,) = csv_rows(runs)
    assert (row["collapsed"], row["unchanged"]) == ("0", "2")


def test_csv_has_a_row_for_what_is_missing():
    runs = [*FEW_RECORDS, record("baseline", 0, 95, 96, 97, forget="8")]
    (row,) = [row for row in csv_rows(runs) if (row["forget"], row["method"]) == ("8", "ssd")]
    assert (row["n"], row["pairs"], row["D_r % mean"]) == ("0", "0", "")


def test_every_section_of_a_setup_has_the_same_rows():
    runs = [*FEW_RECORDS[:5], record("baseline", 0, 95, 96, 97, forget="8")]
    _, sections = only_setup(runs)
    for rows in sections.values():
        assert [row.label for row in rows] == ["retrain", "baseline", "ssd"]


def test_numbers_are_short_and_have_no_exponent():
    texts = [short(value) for value in (1523.4, 999.7, 999.2, 78.04, 0.000179)]
    assert texts == ["1523", "1000", "999", "78", "0.000179"]
