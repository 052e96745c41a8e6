"""Audit pools of networks: does a method's network behave as one that was really retrained?

    python audit.py results [--html audit.html] [--brief]

reads the records under results/ whose runs had -outputs: the originals (baseline), the retrained
networks and those of each method, aligned by training seed. It writes audit.md, audit.csv and
figures next to them and prints the tables. Every number stands between its null, which is what
held-out retrained networks get, and the originals' number. docs/audit.md explains them.
"""

import common.threads  # noqa: F401 (before torch)

from pathlib import Path

from audits import figures as audit_figures
from audits import poison, tables
from audits.missing import ways_out
from audits.pool import pools
from audits.results import results_of
from common.console import parser, run_script
from common.errors import UserError
from common.files import write_whole
from reports import figures, formats
from reports.page import check_page, page, views
from runs import records


def main(argv=None):
    flags = parser(__doc__)
    flags.add_argument(
        "results", nargs="?", default="results", help="folder with records (default: results)"
    )
    flags.add_argument("--html", metavar="FILE", help="one self-contained page with all of it")
    flags.add_argument("--brief", action="store_true", help="print only the table over all audits")
    args = flags.parse_args(argv)
    if args.html is not None:
        check_page(args.html)
    folder = Path(args.results)

    all_records = records.read_all(folder)
    results = results_of(pools(all_records, folder))
    of_poison = poison.chapters(all_records)
    if not results and not of_poison:
        raise UserError(
            f"no method under {folder} has kept outputs; run baseline, retrain and the method with "
            "-outputs on several training seeds (-train_seed 0-15 -outputs)"
        )
    chapters = [*tables.chapters(results), *of_poison]
    legend = {**tables.LEGEND, **poison.LEGEND} if of_poison else tables.LEGEND
    text = formats.markdown(chapters, legend)
    write_whole(folder / "audit.csv", tables.csv(results).encode(errors="backslashreplace"))
    pictures = figures.write_all(audit_figures.drawings(results), folder)
    with_figures = text + formats.markdown_figures(pictures)
    write_whole(folder / "audit.md", with_figures.encode(errors="backslashreplace"))
    if args.html is not None:
        html = page(views(chapters, pictures), legend, "Audit")
        write_whole(args.html, html.encode(errors="backslashreplace"))

    print(formats.markdown(tables.overviews(chapters), legend) if args.brief else text)
    for sentence in ways_out(results):
        print(sentence)
    print(f"tables: {folder}/audit.md, .csv; figures: {folder}/audit-*.svg, .pdf")
    if args.html is not None:
        print(f"page:   {args.html}")


if __name__ == "__main__":
    run_script(main)
