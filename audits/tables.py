"""The audits' results as tables: one over all audits, one for each audit, one table of numbers."""

from dataclasses import replace

import pandas as pd

from audits import AUDITS
from audits.halves import Estimate
from audits.results import Refusal, Result
from reports.audited import HELD_OUT, ORIGINALS, POOL, WORSE, number, overview
from reports.provenance import command_of, made_by
from reports.tables import NOT_MEASURED, Chapter, Section
from reports.texts import shown

# Of the table of numbers.
COLUMNS = [*POOL, "method", "training seeds", "lacking seeds", "audit", "title", "column"]
COLUMNS += ["networks", "value", "value low", "value high", "floor", "floor low", "floor high"]
COLUMNS += ["ceiling", "ceiling low", "ceiling high", "verdict", NOT_MEASURED]
ALL_AUDITS = ": all audits"  # how the heading of a table over all of them ends
LEGEND = {
    "networks": "on each side: half of the trained networks. The second number: of the probes.",
    "[a, b]": "the middle 95 % over 100 random halves of the networks.",
    HELD_OUT: "retrained networks in the method's place: what perfect unlearning gets.",
    ORIGINALS: "the trained networks themselves in the method's place.",
    f"† or {WORSE}": "the mean is worse than the interval of held-out retrains.",
    "verdict": "by the first column.",
    "not measurable": "with so few networks and images; a rate of 1 % needs 1,000 negatives.",
    "U-LiRA": "AUC with which many networks tell a forgotten image from one never learned.",
    "KLoM": "distance of the margins from retrained networks' margins, nats.",
    "NeurIPS 2023": "forgetting quality times utility; higher is better.",
    "Membership within the class": "forgotten images against test images of the same classes.",
    "Neighbour trace": "whether forgotten images fall to the other classes as with retrain, nats.",
    "Tug of war": "product of 1 - |difference to retrain| over three accuracies.",
    "Linear probe": "accuracy on D_f's test images of a new head on the same features.",
    "Prototype attack": "the same where five images of the class mend the head.",
    "Relearning": "how far D_f comes back: 0 as to retrain, 1 as to the original.",
    "Feature similarity": "CKA with a retrained network's features; higher is better.",
}


def chapters(results: list[Result]) -> list[Chapter]:
    """A chapter for each setup; its sections are its forget sets and their audits."""
    by_setup: dict = {}
    for result in results:
        by_setup.setdefault(result.pool.setup, []).append(result)
    return [_chapter(setup, of_setup) for setup, of_setup in by_setup.items()]


def overviews(chapters: list[Chapter]) -> list[Chapter]:
    """The chapters with nothing but the tables over all audits."""
    brief = []
    for chapter in chapters:
        overviews = [part for part in chapter.sections if part.heading.endswith(ALL_AUDITS)]
        brief.append(replace(chapter, sections=overviews or chapter.sections))
    return brief


def _chapter(setup, results):
    by_pool: dict = {}
    for result in results:
        by_pool.setdefault(id(result.pool), []).append(result)
    runs, sections = [], []
    for of_pool in by_pool.values():
        sections += _sections(of_pool)
        for result in of_pool:
            runs += result.pool.candidates[result.label].values()
    title = f"Audit. {setup.title}"
    return Chapter(title, made_by(runs), shown(command_of(runs), 2000), sections)


def _sections(results):
    """The table over all audits, then one for each audit."""
    heading = results[0].pool.heading
    sections = [Section(f"{heading}{ALL_AUDITS}", [overview(long_table(results))])]
    for name, audit in AUDITS.items():
        rows = _lines(results, name)
        if rows:
            title = f"{heading}: {audit.title}. {audit.question}"
            sections.append(Section(title, [_frame(rows)]))
    return sections


def _frame(lines):
    return pd.DataFrame(lines, dtype=object).fillna("")


def _references(results, side_of, cells_of):
    """The rows of held-out retrains and of originals, for each number of networks.

    side_of(result) -> networks a side; cells_of(result, "floor" or "ceiling") -> {column: text}.
    """
    lines = []
    sides = sorted({side_of(result) for result in results}, reverse=True)
    for side in sides:
        like = [result for result in results if side_of(result) == side]
        for label, which in ((HELD_OUT, "floor"), (ORIGINALS, "ceiling")):
            cells: dict[str, str] = {}
            for result in like:  # the first that has a number counts
                for column, text in cells_of(result, which).items():
                    if cells.get(column, NOT_MEASURED) == NOT_MEASURED:
                        cells[column] = text
            lines.append({"method": label, "networks": str(side), **cells})
    return lines


# ---- one audit ----


def _lines(results, name):
    """The rows of an audit's table; none where no method could be measured."""
    audited = [result for result in results if not isinstance(result.audits[name], Refusal)]
    if not audited:
        return []

    def side_of(result):
        return next(iter(result.audits[name].values())).side

    columns_shown = list(AUDITS[name].columns)

    def cells_of(result, which):
        return _cells(result.audits[name], which, columns_shown)

    lines = _references(audited, side_of, cells_of)
    for result in results:
        columns = result.audits[name]
        cells = {"method": shown(result.label)}
        if isinstance(columns, Refusal):
            cells["verdict"] = f"{NOT_MEASURED}: {columns.reason}"
        else:
            cells |= {"networks": str(side_of(result)), **cells_of(result, "value")}
            cells["verdict"] = next(iter(columns.values())).verdict
        lines.append(cells)
    return lines


def _cells(columns, which, names):
    """{column: text} of an audit's numbers. which: value, floor or ceiling."""
    cells = {}
    for name in names:
        if name in columns:
            cells[name] = interval(getattr(columns[name], which))
        else:
            cells[name] = "not measurable"  # with so few networks or images
    return cells


def interval(estimate: Estimate) -> str:
    """A number with its interval; the number only where it has none."""
    if estimate.low == estimate.high == estimate.mean:
        return number(estimate.mean)
    return f"{number(estimate.mean)} [{number(estimate.low)}, {number(estimate.high)}]"


# ---- one table of numbers ----


def long_table(results: list[Result]) -> pd.DataFrame:
    """A line for each number of each method, with its null, its ceiling and its verdict."""
    rows = []
    for result in results:
        for name, columns in result.audits.items():
            audit = AUDITS[name]
            about = {**_about(result), "audit": name}
            about["title"] = f"{audit.title}: {next(iter(audit.columns))}"
            if isinstance(columns, Refusal):
                rows.append({**about, NOT_MEASURED: columns.reason})
                continue
            for column, value in columns.items():
                numbers = _numbers(value)
                about |= {"networks": value.side, "column": column}
                rows.append({**about, **numbers, "verdict": value.verdict})
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def _numbers(value):
    """{column: number} of a value, its null and its ceiling."""
    numbers = {}
    for which in ("value", "floor", "ceiling"):
        estimate = getattr(value, which)
        numbers[which] = estimate.mean
        numbers[f"{which} low"] = estimate.low
        numbers[f"{which} high"] = estimate.high
    return numbers


def csv(results: list[Result]) -> str:
    """The lines as one table of numbers."""
    return long_table(results).to_csv(index=False, lineterminator="\n")


def _about(result):
    return {
        **result.pool.setup.columns,
        "forget": result.pool.forget,
        "forget set": result.pool.number,
        "method": result.label,
        "training seeds": " ".join(map(str, result.seeds)),
        "lacking seeds": " ".join(map(str, result.lacking)),
    }
