"""Records into tables (Markdown, LaTeX, CSV) and figures (PNG, PDF); no W&B needed.

    python report.py results [--html page.html]

reads every record under results/, writes report.md, report.tex, report.csv and figures next to
them and prints the tables; --html: one self-contained page with all of it. A record that cannot be
used is left out, with a line that says why.
"""

import common.threads  # noqa: F401 (before torch)

import csv
import io
import re
from pathlib import Path

from common.console import parser, progress, run_script
from common.files import sha256, write_whole
from reports import figures, page, style
from reports.provenance import command_of, made_by, shown, title_of
from reports.summary import AVERAGED, SCORES, SETTINGS, over_classes, over_shares, tables
from runs import records

LEGEND = """\
D_r: accuracy on the test images of what is kept. D_f: accuracy on the test images of what is forgotten (random: on the
forgotten images themselves). MIA: forgotten training images that an attack judges to have been trained on. All three in
percent, ± the sample standard deviation over unlearning seeds, and apart from it over trained networks where there are
several; n: runs; "deterministic": the method draws no random number, so that one run stands beside the retrains of all
seeds. retrain is the goal: closer to its row is better, in each column. distance: mean of |difference to the retrain of the
same seed, or of each| over the three scores, in points. ToW: tug of war, the product of one minus each difference in D_r,
D_f and the accuracy on all test images (1: retrain's own). faster: retrain's seconds over the method's. seconds: the method
alone; I_D s: SSD's importances over the whole training set, paid once per trained network. selected: parameters that were
dampened. Corrupted data: clean is the accuracy on the clean test images, healed that on the true labels of test images with
the trigger (patch) or of the corrupted training images (label), more being better; attack: triggered images sent to the
attacked class; the goal is the retrain to which all corrupted images are known, where it was run. verdict: COLLAPSED, runs
whose D_r is more than 10 points below the baseline's, or whose D_f is more than 10 below retrain's (corrupted data: D_r
alone); UNCHANGED, runs whose D_f is within a point of the baseline's though the method was to change it (where retrain's is
too, there was little to forget). Trials on validation images: these, a part of the training images that was not trained on,
stand in for the test images. Intervals: 95 %, Student's t, over pairs of a run and the retrain of its seeds."""
HEAD = [
    "method",
    *SCORES,
    "distance",
    "ToW",
    "seconds",
    "faster",
    "I_D s",
    "selected %",
    "n",
    "verdict",
]
HEALED = {
    "D_r %": "clean %",
    "D_f %": "healed %",
    "D_r - retrain's": "clean - retrain's",
    "D_f - retrain's": "healed - retrain's",
}
GAP_HEAD = ["method", *[f"{name[:-2]} - retrain's" for name in SCORES], "pairs"]


def blocks(all_tables):
    """What every format shows: yields (kind, content), one after the other.

    "title", "section", "note", "command": a text of one line; "legend": one of several lines;
    "table": its rows of texts, the head first.
    """
    for key, sections in all_tables.items():
        yield "title", title_of(key)
        runs = [run for rows in sections.values() for row in rows for run in row.runs]
        yield "note", made_by(runs)
        if command := command_of(runs):
            yield "command", shown(command, 2000)
        share = " of the training images" if key.task == "random" else ""
        for forgotten, rows in sections.items():
            verb = "Corrupted" if key.task == "corrupted" else "Forgotten"
            yield "section", f"{verb}: {shown(forgotten)}{share}"
            yield from section_tables(key.task, rows)
        if key.task == "corrupted":
            yield from shares(sections)
        elif key.task in AVERAGED and len(sections) > 1:
            yield from averages(sections, AVERAGED[key.task])
    yield "legend", LEGEND


def section_tables(task, rows):
    """The table of one section, and where there are retrains that of the differences to them."""
    most = max(len(row.runs) for row in rows)
    attacked = any("attack %" in row.values for row in rows)
    head, gap_head = [*HEAD[:4], *["attack %"] * attacked, *HEAD[4:]], GAP_HEAD
    if task == "corrupted":
        head, gap_head = ([HEALED.get(name, name) for name in names] for names in (head, gap_head))
    yield "table", [head, *[cells(row, most, attacked) for row in rows]]
    gaps = []
    for row in rows:
        if row.pairs and row.method != "retrain":
            differences = [gap(row.gaps[name]) for name in SCORES]
            gaps.append([shown(row.label), *differences, str(row.pairs)])
    if gaps:
        yield "table", [gap_head, *gaps]


def averages(sections, classes):
    """The table of the means over what is forgotten; classes: what these are called."""
    count = f"the {len(sections)} forgotten {classes}"
    yield "section", f"Averaged over {count}; ± is over {classes}, not over seeds"
    means, body = over_classes(sections), []
    for row in next(iter(sections.values())):
        if row.label in means:
            body.append([shown(row.label), *mean_cells(means[row.label], row.method)])
        else:
            body.append([shown(row.label), *["missing"] * 3, "", ""])
    yield "table", [["method", *SCORES, "distance", "seconds"], *body]


def mean_cells(means, method):
    """The means over classes as texts."""
    scores = [f"{mean:.2f} ± {spread:.2f}" for mean, spread in (means[name] for name in SCORES)]
    distance = f"{means['distance'][0]:.2f}" if method != "retrain" and "distance" in means else ""
    return [*scores, distance, _seconds(means["seconds"][0], method)]


def _seconds(value, method):
    return "" if method == "baseline" else records.short(value)  # doing nothing takes no time


def shares(sections):
    """What is healed over the share that is known, a table for each corruption."""
    for corruption, labels in over_shares(sections).items():
        columns = sorted({share for known in labels.values() for share in known})
        yield (
            "section",
            f"Corrupted: {shown(corruption)}. Healed % (clean %), over the share of it that is known",
        )
        body = []
        for label, known in labels.items():
            body.append([shown(label), *[_healed(known.get(share)) for share in columns]])
        yield "table", [["method", *[f"{100 * share:g} %" for share in columns]], *body]


def _healed(values):
    if values is None:
        return "missing"
    return " ".join(
        form.format(_with_spread(values[name]))
        for form, name in (("{}", "D_f %"), ("({})", "D_r %"))
    )


def _with_spread(value):
    return f"{value.mean:.1f}" + ("" if value.over_seeds is None else f" ± {value.over_seeds:.1f}")


def cells(row, most, attacked=False):
    """One row of a table as texts; what is not there says so."""
    if not row.runs:
        return [shown(row.label), "missing", *[""] * (len(HEAD) - 2 + attacked)]
    texts = [shown(row.label)]
    for name in SCORES:
        value = row.values[name]
        seeds = (
            "" if row.deterministic or value.over_seeds is None else f" ± {value.over_seeds:.2f}"
        )
        trainings = (
            "" if value.over_trainings is None else f" ± {value.over_trainings:.2f} (trainings)"
        )
        texts.append(f"{value.mean:.2f}{seeds}{trainings}")
    if attacked:
        texts.append(_with_spread(row.values["attack %"]) if "attack %" in row.values else "")
    texts += (
        [f"{row.distance:.2f}", f"{row.tug_of_war:.3f}"]
        if row.pairs and row.method != "retrain"
        else ["", ""]
    )
    doing = row.method not in ("baseline", "retrain")
    texts += [
        _seconds(row.values["seconds"].mean, row.method),
        f"{records.short(row.speed_up)}x" if row.speed_up and doing else "",
    ]
    texts += [
        records.short(row.values[name].mean) if name in row.values else ""
        for name in ("I_D s", "selected %")
    ]
    n = f"{len(row.runs)}" + (
        ", deterministic" if row.deterministic else f" of {most}" if len(row.runs) < most else ""
    )
    return [*texts, n, verdict(row)]


def verdict(row):
    """What must not be overlooked: how many runs of a row have collapsed or changed nothing."""
    words = []
    for word, count in (("COLLAPSED", row.collapsed), ("UNCHANGED", row.unchanged)):
        if count:
            words.append(word if count == len(row.runs) else f"{word} {count} of {len(row.runs)}")
    return ", ".join(words)


def gap(values):
    """A paired difference with its interval."""
    mean, low, high = values
    return f"{mean:+.2f}" + (f" [{low:+.2f}, {high:+.2f}]" if low is not None else "")


def markdown(all_tables):
    """Markdown that also reads well as plain text."""
    marks = {"title": "## ", "section": "### ", "command": "    "}
    lines = []
    for kind, content in blocks(all_tables):
        if kind == "table":
            lines += _markdown_table(content)
        elif kind in ("legend", "command"):
            lines.append(marks.get(kind, "") + content)
        else:
            lines.append(marks.get(kind, "") + _md(content))
        lines.append("")
    return "\n".join(lines)


def _markdown_table(content):
    head, *body = [[_md(text) for text in row] for row in content]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = []
    for row in (head, ["-" * width for width in widths], *body):
        padded = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        lines.append(f"| {' | '.join(padded)} |")
    return lines


def _md(text):
    """A text in which Markdown finds no cell's end, emphasis, tag, link, formula or entity."""
    text = re.sub(r"[\\`*<$|~]", r"\\\g<0>", text)
    at_edges = r"(?<!\w)_+|_+(?!\w)"  # inside a word an underscore is no emphasis
    text = re.sub(at_edges, lambda found: r"\_" * len(found[0]), text)
    return re.sub(r"&(?=#?\w+;)", r"\\&", text).replace("](", "]\\(")


def latex(all_tables):
    """The same as LaTeX tables (booktabs)."""
    lines, title, caption = ["% \\usepackage{booktabs}"], "", ""
    for kind, content in blocks(all_tables):
        if kind == "table":
            head, *body = [[_tex(text) for text in row] for row in content]
            columns = "l" + "r" * (len(head) - 1)
            lines += [
                "\\begin{table}",
                f"\\caption{{{_tex(caption)}}}",
                f"\\begin{{tabular}}{{{columns}}}",
                "\\toprule",
            ]
            lines += [" & ".join(row) + " \\\\" for row in (head, *body)]
            lines.insert(-len(body), "\\midrule")
            lines += ["\\bottomrule", "\\end{tabular}", "\\end{table}", ""]
        else:
            title = content if kind == "title" else title
            caption = f"{title}. {content}" if kind == "section" else title
            lines += (
                [f"% {line}" for line in content.split("\n")]
                if kind in ("note", "command", "legend")
                else []
            )
    return "\n".join(lines) + "\n"


TEX = {
    **{sign: "\\" + sign for sign in "%_&#${}"},
    "±": "$\\pm$",
    "\\": "\\textbackslash{}",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "…": "\\ldots{}",
    '"': "\\textquotedbl{}",
}


def _tex(text):
    return "".join(TEX.get(sign, sign) for sign in text)


def csv_text(all_tables):
    """All rows as one CSV: means and spreads in columns of their own."""
    names = [*SCORES, "seconds", "I_D s", "selected %"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    statistic = [
        f"{name} {what}"
        for name in names
        for what in ("mean", "std over seeds", "std over trainings")
    ]
    ends = [f"{name} - retrain's {what}" for name in SCORES for what in ("mean", "low", "high")]
    writer.writerow(
        [
            "task",
            "net",
            "dataset",
            "folder",
            "protocol",
            "images",
            "forget",
            "method",
            *SETTINGS,
            "set",
            "n",
            "pairs",
            "collapsed",
            "unchanged",
            *statistic,
            *ends,
            "distance",
            "tug of war",
            "faster",
        ]
    )
    for key, sections in all_tables.items():
        images = "validation" if key.validation else "test"
        about = [key.task, key.net, key.dataset, key.folder, key.protocol, images]
        for forgotten, rows in sections.items():
            for row in rows:
                config = row.runs[0]["config"] if row.runs else {"set": {}}
                given = " ".join(f"{name}={value}" for name, value in config["set"].items())
                settings = [config.get(name) for name in SETTINGS]
                values = [v for name in names for v in row.values.get(name, (None,) * 3)]
                values += [v for name in SCORES for v in row.gaps.get(name, (None,) * 3)]
                counts = [len(row.runs), row.pairs, row.collapsed, row.unchanged]
                goals = [row.distance, row.tug_of_war, row.speed_up]
                writer.writerow(
                    [*about, forgotten, row.method, *settings, given, *counts, *values, *goals]
                )
    return out.getvalue()


def main(argv=None):
    flags = parser(__doc__)
    flags.add_argument(
        "results", nargs="?", default="results", help="folder with records (default: results)"
    )
    flags.add_argument(
        "--html", metavar="FILE", help="one self-contained page with the tables and figures"
    )
    args = flags.parse_args(argv)
    if args.html is not None:
        page.check_page(args.html)
    folder = Path(args.results)
    all_tables = tables(records.read_all(folder))
    text = markdown(all_tables)
    for name, content in (
        ("report.md", text),
        ("report.tex", latex(all_tables)),
        ("report.csv", csv_text(all_tables)),
    ):
        write_whole(folder / name, encoded(content))
    pictures = {}
    for title, name, figure in progress(drawings(all_tables), "drawing figures"):
        pictures.setdefault(title, []).append(style.saved(figure, "png"))
        write_whole(folder / f"{name}.png", pictures[title][-1])
        write_whole(folder / f"{name}.pdf", style.saved(figure, "pdf"))
    if args.html is not None:
        write_whole(args.html, encoded(page.page(blocks(all_tables), pictures)))
    print(text)
    print(f"tables: {folder}/report.md, .tex, .csv; figures: {folder}/report-*.png, .pdf")
    if args.html is not None:
        print(f"page:   {args.html}")


def drawings(all_tables):
    """Yields (title of the table, file name without its ending, figure), one at a time."""
    folders = {}
    for key in all_tables:
        folders.setdefault(key._replace(folder=""), set()).add(key.folder)
    for key, sections in all_tables.items():
        words = [key.task, key.net, key.dataset, key.protocol, *["validation"] * key.validation]
        if len(folders[key._replace(folder="")]) > 1:
            words.append(file_word(key.folder))
        for name, figure in figures.figures(key, sections).items():
            yield title_of(key), f"report-{'-'.join(words)}-{name}", figure


def file_word(folder):
    """A folder's name as a part of a file's name; another one for every folder."""
    word = re.sub(r"[^\w-]", "_", folder, flags=re.ASCII)[:40]
    return word if word == folder else f"{word}-{sha256(encoded(folder))[:6]}"


def encoded(text):
    """A text as the bytes of a file; a file name's bytes that are no UTF-8 as their numbers."""
    return text.encode(errors="backslashreplace")


if __name__ == "__main__":
    run_script(main)
