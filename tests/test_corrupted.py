"""Reports of corrupted training data."""

import json

from test_report import cells_of, record

import report
from reports import figures
from reports.summary import tables


def made(method, seed, share, clean, healed, attack):
    entry = record(
        method,
        seed,
        clean,
        healed,
        50,
        task="corrupted",
        forget=f"50 patch known {share}",
        data="e" * 64,
    )
    entry["scores"]["AttackSuccess"] = attack
    entry["config"].update(corruption="patch", corrupt_count=50, known_share=share)
    return entry


def test_report_by_hand():
    entries = [
        made("retrain", 0, 0.1, 95, 20, 70),
        made("retrain", 0, 1, 95, 90, 0),
        made("potion", 0, 0.1, 90, 80, 5),
        made("potion", 1, 0.1, 92, 84, 7),
        made("potion", 0, 1, 91, 88, 1),
        made("baseline", 0, 1, 95, 4, 95),
    ]
    entries += [made("baseline", 0, 0.5, 95, 5, 95), made("baseline", 1, 0.5, 95, 5, 95)]
    entries.insert(
        0, made("retrain", 0, 1, 95, 40, 0)
    )  # by another corruption, and no goal of theirs
    entries[0]["config"].update(corruption="label", forget="50 label known 1")
    ((key, sections),) = tables(json.loads(json.dumps(entries))).items()
    text = report.markdown({key: sections})
    assert "## Heal corrupted training data: Net on Set" in text and "Averaged over" not in text
    rows = cells_of(text)
    head = next(row for row in rows if "attack %" in row)
    assert head[1:5] == ["clean %", "healed %", "MIA %", "attack %"]
    (potion,) = [row for row in rows if row[0] == "potion" and row[1].startswith("91.00 ±")]
    assert potion[2] == "82.00 ± 2.83" and potion[4] == "6.0 ± 1.4"
    assert (
        potion[5] == "5.00"
    )  # against the truly clean retrain of the same seed: |90 - 95|, |80 - 90|, 0
    assert ["potion", "82.0 ± 2.8 (91.0 ± 1.4)", "missing", "88.0 (91.0)"] in rows and [
        "method",
        "10 %",
        "50 %",
        "100 %",
    ] in rows
    assert ["baseline", "missing", "5.0 ± 0.0 (95.0 ± 0.0)", "4.0 (95.0)"] in rows
    assert "1, deterministic" not in text  # which images are known is drawn by the seed
    (figure,) = figures.figures(key, sections).values()
    healed, clean, attack = (
        {
            bars.get_label(): [list(map(float, values)) for values in bars.lines[0].get_data()]
            for bars in axis.containers
        }
        for axis in figure.axes[3:]
    )
    assert healed["potion"] == [[10, 100], [82, 88]] and clean["retrain"] == [[10, 100], [95, 95]]
    assert attack["baseline"] == [[50, 100], [95, 95]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "retrain",
        "baseline",
        "potion",
    ]
