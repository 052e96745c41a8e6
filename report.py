"""Records into tables (Markdown, CSV) and plots (PNG).

    python report.py results

reads every record under results/, prints the tables and writes results/report.md, report.csv and a plot a task.
Rows are methods, retrain first: its values are what unlearning should reach. Mean ± standard deviation are over seeds.
"""

import argparse
import csv
import io
import statistics
from pathlib import Path

import records
from common import refuse, run_script, write_whole

SCORES = {"D_r %": "RetainTestAcc", "D_f %": "Df", "MIA %": "MIA"}
MEANING = {
    "D_r %": "accuracy on what is kept\n(test images, %)",
    "D_f %": "accuracy on what is forgotten\n(%)",
    "MIA %": "forgotten images judged\nto be members (%)",
}
TASKS = {"full_class": "one class", "sub_class": "one sub-class", "random": "random images"}
GROUP = ("net", "dataset", "train_seed", "protocol")
SETTINGS = ("b", "alpha", "lambda", "importance")


def grouped(found):
    """{(task, net, dataset, train_seed, protocol): {forgotten: {method label: its records, one a seed}}}.

    Each record gains "gap", its distance to retrain, and "collapse" anew, by the baseline and the retrain of its own seed.
    """
    tables = {}
    for record in sorted(found, key=lambda record: [*TASKS, record["task"]].index(record["task"])):
        config = record["config"]
        rows = tables.setdefault((record["task"], *[config[k] for k in GROUP]), {}).setdefault(config["forget"], {})
        row = rows.setdefault(config["method"], {}).setdefault(tuple(_settings(record).items()), {})
        row[config["seed"]] = record  # one run counts once
    return {table: {forgotten: _labelled(rows) for forgotten, rows in sections.items()} for table, sections in tables.items()}


def _settings(record):
    """What sets two rows of one method apart, as texts."""
    config = record["config"]
    own = {name: f"{value:g}" for name, value in config["set"].items()}
    hashes = {"weights": record["weights_hash"][:6], "data": record["data_hash"][:6]}
    return {**{name: str(config[name]) for name in SETTINGS}, **hashes, **own}


def _labelled(rows):
    """Rows in the order retrain, baseline, the rest; labels say what was set, and in what a method's rows differ."""

    def one(by_seed):
        return next(iter(by_seed.values()))

    first = {"retrain": 0, "baseline": 1}
    labelled = {}
    for method in sorted(rows, key=lambda method: (first.get(method, 2), method)):
        variants = [dict(settings) for settings in rows[method]]
        by_size = sorted(rows[method].items(), key=lambda row: [one(row[1])["config"][k] or 0 for k in ("b", "alpha", "lambda")])
        for mine, by_seed in ((dict(settings), by_seed) for settings, by_seed in by_size):
            differing = {k for other in variants for k in mine.keys() | other.keys() if mine.get(k) != other.get(k)}
            said = ", ".join(f"{k} {v}" for k, v in mine.items() if k in differing or k in one(by_seed)["config"]["set"])
            labelled[f"{method} ({said})" if said else method] = [_beside_its_goals(r, rows) for r in by_seed.values()]
    return labelled


def _beside_its_goals(record, rows):
    retrain, baseline, scores = _scores_of("retrain", record, rows), _scores_of("baseline", record, rows), record["scores"]
    gap = retrain and statistics.fmean(abs(scores[key] - retrain[key]) for key in SCORES.values())
    collapse = records.collapse(scores, baseline and baseline["RetainTestAcc"], retrain and retrain["Df"])
    return {**record, "gap": gap, "collapse": collapse or record["collapse"]}


def _scores_of(method, record, rows):
    """Those of the method's run on the same network, data, batch size and seed (of a class's baseline: of any seed)."""
    mine, seed = _settings(record), record["config"]["seed"]
    for settings, by_seed in rows.get(method, {}).items():
        if all(dict(settings)[name] == mine[name] for name in ("weights", "data", "b")):
            any_seed = next(iter(by_seed.values())) if method == "baseline" and record["task"] != "random" else None
            if found := by_seed.get(seed, any_seed):
                return found["scores"]
    return None


def summary(rows):
    """The numbers of one table row: {column: (mean, sample standard deviation or None for one)}, n, how many collapsed."""
    columns = {name: [row["scores"][key] for row in rows] for name, key in SCORES.items()}
    columns["gap"] = [row["gap"] for row in rows if row["gap"] is not None]
    columns["seconds"] = [row["seconds"]["method"] for row in rows]
    columns["I_D s"] = [row["seconds"]["full_importance"] for row in rows if row["seconds"]["full_importance"] is not None]
    columns["selected %"] = [100 * row["selected"] for row in rows if row["selected"] is not None]
    numbers = {name: (statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else None) for name, v in columns.items() if v}
    return numbers, len(rows), sum(bool(row["collapse"]) for row in rows)


def cells(label, numbers, n, collapsed):
    """One row of a table as text."""
    texts = [label]
    for name in (*SCORES, "gap"):
        mean, deviation = numbers.get(name, (None, None))
        spread = "" if deviation is None else f" ± {deviation:.2f}"
        texts.append("" if mean is None else f"{mean:.2f}{spread}")
    texts += [f"{numbers[name][0]:.3g}" if name in numbers else "" for name in ("seconds", "I_D s", "selected %")]
    return [*texts, str(n), f"{collapsed} of {n}" if collapsed else ""]


def markdown(tables):
    """All tables as Markdown that also reads well as plain text."""
    lines = []
    for (task, net, dataset, train_seed, protocol), sections in tables.items():
        lines += [f"## Forget {TASKS.get(task, task)}: {net} on {dataset} (training seed {train_seed}, protocol {protocol})", ""]
        for forgotten, rows in sections.items():
            table = [["method", *SCORES, "gap", "seconds", "I_D s", "selected %", "n", "collapsed"]]
            table += [cells(label, *summary(records_of_row)) for label, records_of_row in rows.items()]
            widths = [max(map(len, column)) for column in zip(*table, strict=True)]
            table.insert(1, ["-" * width for width in widths])
            share = " of the training images" if task == "random" else ""
            lines += [f"Forgotten: {forgotten}{share}", ""]
            lines += ["| " + " | ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)) + " |" for row in table]
            lines.append("")
    return "\n".join([*lines, LEGEND, ""])


LEGEND = """\
D_r: accuracy on the test images of what is kept. D_f: accuracy on the test images of what is forgotten (random: on the
forgotten images themselves). MIA: forgotten training images that an attack judges to have been trained on. retrain is
the target: closer to its row is better, in each column; gap: the mean of the three distances to the retrain of the same
seed, in points. collapsed: runs whose D_r is more than 10 points below the baseline's, or whose D_f is more than 10 below
retrain's. seconds: the method alone; I_D s: SSD's importances over the
whole training set, paid once per trained network. selected: parameters that were dampened. n: seeds; ± is the sample
standard deviation over them."""


def csv_text(tables):
    """All tables as one CSV: a line per row, mean and standard deviation in columns of their own."""
    names = [*SCORES, "gap", "seconds", "I_D s", "selected %"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    statistic = [f"{name} {what}" for name in names for what in ("mean", "std")]
    writer.writerow(["task", *GROUP, "forget", "method", *SETTINGS, "set", "n", "collapsed", *statistic])
    for table, sections in tables.items():
        for forgotten, rows in sections.items():
            for records_of_row in rows.values():
                (numbers, n, collapsed), config = summary(records_of_row), records_of_row[0]["config"]
                own = " ".join(f"{name}={value:g}" for name, value in config["set"].items())
                values = [value for name in names for value in numbers.get(name, (None, None))]
                writer.writerow([*table, forgotten, config["method"], *[config[k] for k in SETTINGS], own, n, collapsed, *values])
    return out.getvalue()


def plot(table, sections):
    """One task as PNG bytes: a row a forgotten class, a panel a score, a dot a method, retrain's value as a line."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    task, net, dataset, *_ = table
    heights = [0.9 + 0.24 * len(rows) for rows in sections.values()]
    figure, axes = plt.subplots(len(sections), 3, figsize=(9, sum(heights) + 1.1), sharex="col", squeeze=False,
                                layout="constrained", height_ratios=heights)  # fmt: skip
    for row_axes, (forgotten, rows) in zip(axes, sections.items(), strict=True):
        summaries = {label: summary(records_of_row) for label, records_of_row in rows.items()}
        for axis, score in zip(row_axes, SCORES, strict=True):
            _panel(axis, summaries, score)
        row_axes[0].set_title(f"forget {forgotten}", loc="left", fontsize=10, fontweight="bold")
        for axis in row_axes[1:]:
            axis.set_yticklabels([])
    for axis, score in zip(axes[-1], SCORES, strict=True):
        axis.set_xlabel(MEANING[score], fontsize=9)
        axis.set_xlim(-5, 105)
    figure.suptitle(f"{net} on {dataset}: forget {TASKS.get(task, task)}. Closest to retrain's dashed line is best.\n"
                    "Dot: mean over seeds, a cross where a run collapsed; bar: standard deviation", fontsize=10)  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    plt.close(figure)
    return buffer.getvalue()


def _panel(axis, summaries, score):
    colours = {"retrain": "#000000", "baseline": "#888888"}
    for height, (label, (numbers, _, collapsed)) in enumerate(summaries.items()):
        mean, deviation = numbers[score]
        colour = "#D55E00" if collapsed else colours.get(label.split()[0], "#0072B2")
        axis.set_axisbelow(True)
        axis.errorbar(mean, height, xerr=deviation, fmt="X" if collapsed else "o", markersize=6, capsize=3, color=colour, zorder=3)
        if label.split()[0] == "retrain":
            axis.axvline(mean, color=colour, linestyle="--", linewidth=1, zorder=2)
    axis.set_yticks(range(len(summaries)), list(summaries), fontsize=9)
    axis.set_ylim(len(summaries) - 0.5, -0.5)
    axis.grid(axis="x", color="#dddddd")
    axis.spines[["top", "right"]].set_visible(False)


def main(argv=None):
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("results", nargs="?", default="results", help="folder with records (default: results)")
    flags.error = refuse
    folder = Path(flags.parse_args(argv).results)
    tables = grouped(records.read_all(folder))
    text = markdown(tables)
    write_whole(folder / "report.md", text.encode())
    write_whole(folder / "report.csv", csv_text(tables).encode())
    plots = []
    for table, sections in tables.items():
        plots.append(folder / f"report-{'-'.join(map(str, table))}.png")
        write_whole(plots[-1], plot(table, sections))
    print(text)
    print("tables:", folder / "report.md", folder / "report.csv", "\nplots: ", *plots)


if __name__ == "__main__":
    run_script(main)
