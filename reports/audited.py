"""What audit.py has found, from the lines of audit.csv: an overview, and a column for the report.

A line is one number of one audit for one method: its value, its null (floor), the originals' number
(ceiling), each with an interval, and the verdict.
"""

from dataclasses import fields
from pathlib import Path

import pandas as pd

from reports import lookup
from reports.frame import Setup
from reports.tables import NOT_MEASURED, Chapter, Section
from reports.texts import shown

AS_RETRAIN, WORSE = "as retrain", "not as retrain"
HELD_OUT, ORIGINALS = "held-out retrain (null)", "original (forgets nothing)"
SEVERAL_SETS = "see audit.md"  # where a row of the report has several forget sets
POOL = ["task", "net", "dataset", "folder", "protocol", "recipe", "images", "forget", "forget set"]

Texts = dict[tuple[Setup, str, str], str]  # {(setup, what is forgotten, label): text}


def read(results: Path) -> pd.DataFrame | None:
    """The lines of a folder's audit.csv, as texts; None where audit.py has not been run."""
    path = results / "audit.csv"
    if not path.is_file():
        return None
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def setup_of(line: dict) -> Setup:
    """The setup that a line belongs to."""
    values = {field.name: line.get(field.name, "") for field in fields(Setup)}
    return Setup(**{**values, "validation": line["images"] == "validation"})


def heading(task_name: str, forget: str, place: int) -> str:
    """What a section on a forget set is called. place: of several sets with these words, from 1."""
    task = lookup.task(task_name)
    number = f" (forget set {place})" if place > 1 else ""
    return f"{task.verb}: {shown(forget)}{task.share_of}{number}"


# ---- the report's column ----


def u_lira(lines: pd.DataFrame | None) -> Texts:
    """U-LiRA's AUC with its interval for each row of a report; none where there are no lines."""
    texts: Texts = {}
    if lines is None:
        return texts
    of_auc = lines[(lines["audit"] == "u_lira") & lines["column"].isin(["AUC", ""])]
    for line in of_auc.to_dict("records"):
        row = (setup_of(line), line["forget"], line["method"])
        texts[row] = SEVERAL_SETS if row in texts else _with_interval(line)
    return texts


def _with_interval(line):
    if not line["value"]:
        return NOT_MEASURED
    value, low, high = (float(line[name]) for name in ("value", "value low", "value high"))
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


# ---- the overview ----


def overviews(lines: pd.DataFrame | None) -> list[Chapter]:
    """A chapter for each setup: a table for each forget set, methods by audits."""
    if lines is None:
        return []
    by_setup: dict[Setup, list[Section]] = {}
    for _, of_pool in lines.groupby(POOL, sort=False):
        first = of_pool.iloc[0].to_dict()
        title = heading(first["task"], first["forget"], int(first["forget set"]))
        section = Section(f"{title}: all audits", [overview(of_pool)])
        by_setup.setdefault(setup_of(first), []).append(section)
    chapters = []
    for setup, sections in by_setup.items():
        origin = "From audit.csv. What the audits are, and their nulls: docs/audit.md."
        chapters.append(Chapter(f"Audit. {setup.title}", origin, "", sections))
    return chapters


def overview(lines: pd.DataFrame) -> pd.DataFrame:
    """A table of texts: the first number of each audit, † where it is worse than a retrain's.

    lines: of one forget set. Above the methods stand the null and the originals, for each number of
    networks.
    """
    firsts = lines.drop_duplicates(["method", "audit"])  # the first number of each audit
    measured = firsts[firsts["verdict"].notna() & (firsts["value"].astype(str) != "")]
    rows = []
    for side in _sides(measured):
        at_side = measured[measured["networks"].astype(str) == side].drop_duplicates("audit")
        for label, which in ((HELD_OUT, "floor"), (ORIGINALS, "ceiling")):
            cells = {line["title"]: number(line[which]) for line in at_side.to_dict("records")}
            rows.append({"method": label, "networks": side, **cells})
    for method, of_method in firsts.groupby("method", sort=False):
        sides = _sides(measured[measured["method"] == method])
        cells = {line["title"]: _marked(line) for line in of_method.to_dict("records")}
        rows.append({"method": shown(method), "networks": ", ".join(sides), **cells})
    columns = ["method", "networks", *firsts["title"].drop_duplicates()]
    return pd.DataFrame(rows, columns=columns, dtype=object).fillna("")


def _sides(lines):
    """The numbers of networks a side that lines have, the largest first."""
    return sorted(lines["networks"].astype(str).unique(), key=int, reverse=True)


def _marked(line):
    """The text of a method's number."""
    if line["value"] in ("", None) or line["value"] != line["value"]:
        return NOT_MEASURED
    text = number(line["value"])
    return f"{text} †" if line["verdict"] == WORSE else text


def number(value) -> str:
    """A number with three decimals, or one where it is large."""
    decimals = 3 if abs(float(value)) < 10 else 1
    rounded = round(float(value), decimals) + 0.0  # -0.0 becomes 0.0
    return f"{rounded:.{decimals}f}"
