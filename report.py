"""Records into tables (Markdown, LaTeX, CSV) and figures (PNG, PDF); no W&B needed.

    python report.py results [--html page.html]

reads every record under results/, prints the tables and writes report.md, report.tex, report.csv and figures beside them;
--html: one self-contained page with all of it.
"""

import csv
import io
from pathlib import Path

import page
import panels
import plots
import records
from common import parser, run_script
from files import write_whole
from provenance import command_of, made_by, title_of
from summaries import SCORES, SETTINGS, over_classes, over_shares, tables

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
attacked class; the goal is the retrain to which all corrupted images are known, where it was run. collapsed: runs whose D_r
is more than 10 points below the baseline's, or whose D_f is more than 10 below retrain's (corrupted data: D_r alone).
Intervals: 95 %, Student's t, over pairs of a run and the retrain of its seeds."""
HEAD = ["method", *SCORES, "distance", "ToW", "seconds", "faster", "I_D s", "selected %", "n", "collapsed"]
HEALED = {"D_r %": "clean %", "D_f %": "healed %", "D_r - retrain's": "clean - retrain's", "D_f - retrain's": "healed - retrain's"}
GAP_HEAD = ["method", *[f"{name[:-2]} - retrain's" for name in SCORES], "pairs"]


def blocks(all_tables):
    """What every format shows: yields ("title" | "section" | "note" | "command", text), ("table", rows of texts, head first)."""
    for key, sections in all_tables.items():
        task = key[0]
        yield "title", title_of(key, sections)
        runs = [run for rows in sections.values() for row in rows for run in row.runs]
        yield "note", made_by(runs)
        if command := command_of(runs):
            yield "command", command
        share = " of the training images" if task == "random" else ""
        for forgotten, rows in sections.items():
            yield "section", f"{'Corrupted' if task == 'corrupted' else 'Forgotten'}: {forgotten}{share}"
            most = max(len(row.runs) for row in rows)
            attacked = any("attack %" in row.values for row in rows)
            heads = [*HEAD[:4], *["attack %"] * attacked, *HEAD[4:]], GAP_HEAD
            head, gap_head = ([HEALED.get(name, name) if task == "corrupted" else name for name in names] for names in heads)
            yield "table", [head, *[cells(row, most, attacked) for row in rows]]
            gaps = [[row.label, *[gap(row.gaps[name]) for name in SCORES], str(row.pairs)] for row in rows
                    if row.pairs and row.method != "retrain"]  # fmt: skip
            if gaps:
                yield "table", [gap_head, *gaps]
        if task == "corrupted":
            yield from shares(sections)
        elif len(sections) > 1:
            yield "section", f"Averaged over the {len(sections)} forgotten classes; ± is over classes, not over seeds"
            means, rows = over_classes(sections), next(iter(sections.values()))
            body = [[row.label, *mean_cells(means[row.label], row.method)] if row.label in means else
                    [row.label, *["missing"] * 3, "", ""] for row in rows]  # fmt: skip
            yield "table", [["method", *SCORES, "distance", "seconds"], *body]
    yield "note", LEGEND


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
        yield "section", f"Corrupted: {corruption}. Healed % (clean %), over the share of it that is known"
        body = [[label, *[_healed(known.get(share)) for share in columns]] for label, known in labels.items()]
        yield "table", [["method", *[f"{100 * share:g} %" for share in columns]], *body]


def _healed(values):
    if values is None:
        return "missing"
    return " ".join(form.format(_with_spread(values[name])) for form, name in (("{}", "D_f %"), ("({})", "D_r %")))


def _with_spread(value):
    return f"{value.mean:.1f}" + ("" if value.over_seeds is None else f" ± {value.over_seeds:.1f}")


def cells(row, most, attacked=False):
    """One row of a table as texts; what is not there says so."""
    if not row.runs:
        return [row.label, "missing", *[""] * (len(HEAD) - 2 + attacked)]
    texts = [row.label]
    for name in SCORES:
        value = row.values[name]
        seeds = "" if row.deterministic or value.over_seeds is None else f" ± {value.over_seeds:.2f}"
        trainings = "" if value.over_trainings is None else f" ± {value.over_trainings:.2f} (trainings)"
        texts.append(f"{value.mean:.2f}{seeds}{trainings}")
    if attacked:
        texts.append(_with_spread(row.values["attack %"]))
    texts += [f"{row.distance:.2f}", f"{row.tug_of_war:.3f}"] if row.pairs and row.method != "retrain" else ["", ""]
    doing = row.method not in ("baseline", "retrain")
    texts += [_seconds(row.values["seconds"].mean, row.method), f"{records.short(row.speed_up)}x" if row.speed_up and doing else ""]
    texts += [records.short(row.values[name].mean) if name in row.values else "" for name in ("I_D s", "selected %")]
    n = f"{len(row.runs)}" + (", deterministic" if row.deterministic else f" of {most}" if len(row.runs) < most else "")
    return [*texts, n, f"{row.collapsed} of {len(row.runs)}" if row.collapsed else ""]


def gap(values):
    """A paired difference with its interval."""
    mean, low, high = values
    return f"{mean:+.2f}" + (f" [{low:+.2f}, {high:+.2f}]" if low is not None else "")


def markdown(all_tables):
    """Markdown that also reads well as plain text."""
    lines = []
    for kind, content in blocks(all_tables):
        if kind == "table":
            widths = [max(map(len, column)) for column in zip(*content, strict=True)]
            rows = [content[0], ["-" * width for width in widths], *content[1:]]
            lines += ["| " + " | ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)) + " |" for row in rows]
        else:
            lines.append({"title": "## ", "section": "### ", "command": "    "}.get(kind, "") + content)
        lines.append("")
    return "\n".join(lines)


def latex(all_tables):
    """The same as LaTeX tables (booktabs)."""
    lines, title, caption = ["% \\usepackage{booktabs}"], "", ""
    for kind, content in blocks(all_tables):
        if kind == "table":
            head, *body = [[_tex(text) for text in row] for row in content]
            columns = "l" + "r" * (len(head) - 1)
            lines += ["\\begin{table}", f"\\caption{{{_tex(caption)}}}", f"\\begin{{tabular}}{{{columns}}}", "\\toprule"]
            lines += [" & ".join(row) + " \\\\" for row in (head, *body)]
            lines.insert(-len(body), "\\midrule")
            lines += ["\\bottomrule", "\\end{tabular}", "\\end{table}", ""]
        else:
            title = content if kind == "title" else title
            caption = f"{title}. {content}" if kind == "section" else title
            lines += [f"% {line}" for line in content.split("\n")] if kind in ("note", "command") else []
    return "\n".join(lines) + "\n"


TEX = {**{sign: "\\" + sign for sign in "%_&#${}"}, "±": "$\\pm$", "\\": "\\textbackslash{}", "^": "\\textasciicircum{}",
       "~": "\\textasciitilde{}"}  # fmt: skip


def _tex(text):
    return "".join(TEX.get(sign, sign) for sign in text)


def csv_text(all_tables):
    """All rows as one CSV: means and spreads in columns of their own."""
    names = [*SCORES, "seconds", "I_D s", "selected %"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    statistic = [f"{name} {what}" for name in names for what in ("mean", "std over seeds", "std over trainings")]
    ends = [f"{name} - retrain's {what}" for name in SCORES for what in ("mean", "low", "high")]
    writer.writerow(["task", "net", "dataset", "protocol", "forget", "method", *SETTINGS, "set", "n", "pairs", "collapsed",
                     *statistic, *ends, "distance", "tug of war", "faster"])  # fmt: skip
    for key, sections in all_tables.items():
        for forgotten, rows in sections.items():
            for row in rows:
                config = row.runs[0]["config"] if row.runs else {"set": {}}
                own = " ".join(f"{name}={value}" for name, value in config["set"].items())
                values = [v for name in names for v in row.values.get(name, (None,) * 3)]
                values += [v for name in SCORES for v in row.gaps.get(name, (None,) * 3)]
                writer.writerow([*key, forgotten, row.method, *[config.get(k) for k in SETTINGS], own, len(row.runs), row.pairs,
                                 row.collapsed, *values, row.distance, row.tug_of_war, row.speed_up])  # fmt: skip
    return out.getvalue()


def main(argv=None):
    flags = parser(__doc__)
    flags.add_argument("results", nargs="?", default="results", help="folder with records (default: results)")
    flags.add_argument("--html", metavar="FILE", help="one self-contained page with the tables and figures")
    args = flags.parse_args(argv)
    if args.html is not None:
        page.check_page(args.html)
    folder, all_tables = Path(args.results), tables(records.read_all(args.results))
    text = markdown(all_tables)
    for name, content in (("report.md", text), ("report.tex", latex(all_tables)), ("report.csv", csv_text(all_tables))):
        write_whole(folder / name, content.encode())
    pictures = {}
    for key, sections in all_tables.items():
        title = title_of(key, sections)
        for name, figure in plots.figures(key, sections).items():
            path = folder / f"report-{'-'.join(key)}-{name}"
            pictures.setdefault(title, []).append(panels.saved(figure, "png"))
            write_whole(path.with_name(path.name + ".png"), pictures[title][-1])
            write_whole(path.with_name(path.name + ".pdf"), panels.saved(figure, "pdf"))
    print(text)
    print(f"tables: {folder}/report.md, .tex, .csv; figures: {folder}/report-*.png, .pdf")
    if args.html is not None:
        write_whole(args.html, page.page(blocks(all_tables), pictures).encode())
        print(f"page:   {args.html}")


if __name__ == "__main__":
    run_script(main)
