"""Records into tables (Markdown, LaTeX, CSV) and figures (SVG, PDF); no W&B needed.

    python report.py results [--html page.html] [--csv all.csv] [--leaderboard] [--brief]

reads every record under results/, writes report.md, report.tex, report.csv and figures next to
them and prints the tables; --html: one self-contained page with all of it; --brief: only one table
for each setup is printed. A record that cannot be used is left out, with a line that says why.
"""

import common.threads  # noqa: F401 (before torch)

import argparse
from pathlib import Path

import pandas as pd

from common.console import parser, run_script
from common.errors import UserError
from common.files import check_writable, write_whole
from reports import audited, figures, flat, formats, leaderboard, tables
from reports.page import check_page, page, views
from reports.summary import summarise
from runs import records


def main(argv=None):
    args = arguments(argv)
    folder = Path(args.results)
    board = Path(args.leaderboard) if args.leaderboard else None

    all_records = records.read_all(folder)
    summaries = summarise(all_records)
    of_audit = audited.read(folder)
    chapters = tables.chapters(summaries, audited.u_lira(of_audit))
    text = formats.markdown(chapters)
    write(folder / "report.csv", formats.csv(summaries))

    outputs = {path.name: path for path in folder.rglob("*.outputs.safetensors")}
    pictures = figures.write_all(figures.drawings(summaries, outputs), folder)
    write(folder / "report.md", text + formats.markdown_figures(pictures))
    write(folder / "report.tex", formats.latex(chapters) + formats.latex_figures(pictures))
    if board is not None:
        write_leaderboard(board, leaderboard.boards(summaries, audited.u_lira(of_audit)))
    if args.csv is not None:
        write(args.csv, flat.csv(all_records))
    if args.html is not None:
        all_chapters = [*chapters, *audited.overviews(of_audit)]
        write(args.html, page(views(all_chapters, pictures, summaries)))

    print(formats.brief(chapters) if args.brief else text)
    print(f"tables: {folder}/report.md, .tex, .csv; figures: {folder}/report-*.svg, .pdf")
    if board is not None:
        print(f"leaderboard: {board}, .html")
    if args.csv is not None:
        print(f"records: {args.csv}")
    if args.html is not None:
        print(f"page:   {args.html}")


def arguments(argv) -> argparse.Namespace:
    """The flags, read and checked."""
    flags = parser(__doc__)
    flags.add_argument(
        "results", nargs="?", default="results", help="folder with records (default: results)"
    )
    flags.add_argument(
        "--html", metavar="FILE", help="one self-contained page with the tables and figures"
    )
    flags.add_argument(
        "--csv", metavar="FILE", help="one flat table of all records, a line each (docs/records.md)"
    )
    flags.add_argument(
        "--leaderboard",
        nargs="?",
        const="docs/leaderboard.md",
        metavar="FILE",
        help="methods by their distance to retrain, as Markdown (docs/leaderboard.md) and as a "
        "page next to it",
    )
    flags.add_argument("--brief", action="store_true", help="print only one table for each setup")
    args = flags.parse_args(argv)
    check_kind("--csv", args.csv, ".csv")
    check_kind("--leaderboard", args.leaderboard, ".md")
    if args.html is not None:
        check_page(args.html)
    if args.leaderboard is not None:
        check_page(Path(args.leaderboard).with_suffix(".html"))
    check_different(args)
    return args


def check_different(args):
    """UserError where two of the files to be written are one."""
    folder = Path(args.results)
    paths = [folder / "report.md", folder / "report.csv"]
    if args.leaderboard is not None:
        paths += [Path(args.leaderboard), Path(args.leaderboard).with_suffix(".html")]
    paths += [Path(path) for path in (args.html, args.csv) if path is not None]
    places = [path.resolve() for path in paths]
    for place in places:
        if places.count(place) > 1:
            raise UserError(f"two tables or pages would go to {place}; name another file")


def check_kind(flag, path, suffix):
    """UserError where a file is to be written that by its name is another's, as a record is."""
    if path is None:
        return
    if Path(path).suffix != suffix:
        raise UserError(f"{flag} {path}: such a file is called *{suffix}; name it so")
    check_writable(Path(path).parent)


def write_leaderboard(path, boards):
    """The leaderboard as Markdown and as a page."""
    text = formats.markdown(boards, leaderboard.LEGEND)
    head = "# Leaderboard\n\nMade by `python report.py RESULTS --leaderboard`.\n\n"
    write(path, head + text)
    write(path.with_suffix(".html"), page(views(boards, {}), leaderboard.LEGEND, "Leaderboard"))


def load(folder: str | Path) -> pd.DataFrame:
    """All records under a folder as one table: a line per record, its fields in columns.

    Columns are called as docs/records.md calls the fields: `config.net`, `scores.Df`. Raises
    UserError where there is no record.
    """
    return flat.table(records.read_all(folder))


def write(path, text):
    """Write a text whole; bytes of a name that are no text are written as their numbers."""
    write_whole(path, text.encode(errors="backslashreplace"))


if __name__ == "__main__":
    run_script(main)
