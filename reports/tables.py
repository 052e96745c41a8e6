"""Rows into tables: a data frame of texts for each, in sections and chapters."""

from dataclasses import dataclass

import pandas as pd

from reports import lookup
from reports.averages import over_classes, over_shares
from reports.frame import MORE_SCORES, SCORES
from reports.provenance import command_of, made_by
from reports.summary import Row, Summaries
from reports.texts import shown
from runs.records import short

COLUMNS = ["method", *SCORES, *MORE_SCORES, "distance", "ToW", "seconds", "faster"]
COLUMNS += ["I_D s", "selected %", "n", "verdict"]
AUDITED, NOT_MEASURED = "U-LiRA AUC", "not measured"  # the column from audit.py
MISSING = "missing"  # in place of the scores of what was not run
# What the scores are called where corrupted data are healed.
HEALED_NAMES = {
    "D_r %": "clean %",
    "D_f %": "healed %",
    "D_r - retrain's": "clean - retrain's",
    "D_f - retrain's": "healed - retrain's",
}


@dataclass(frozen=True)
class Section:
    """A heading and the tables below it, data frames of texts."""

    heading: str
    frames: list[pd.DataFrame]


@dataclass(frozen=True)
class Chapter:
    """What a report says of one setup."""

    title: str
    origin: str  # where its numbers come from
    command: str  # that makes one of its cells; empty where no record holds one
    sections: list[Section]


def chapters(summaries: Summaries, audited: dict | None = None) -> list[Chapter]:
    """A chapter for each setup.

    audited: {(setup, what is forgotten, label): text} of what audit.py has found for the rows.
    """
    return [_chapter(setup, sections, audited or {}) for setup, sections in summaries.items()]


def _chapter(setup, sections, audited):
    task = lookup.task(setup.task)
    runs, parts = [], []
    for forgotten, rows in sections.items():
        heading = f"{task.verb}: {shown(forgotten)}{task.share_of}"
        frames = _frames(rows, task)
        frames[0] = _with_audit(frames[0], rows, setup, forgotten, audited)
        parts.append(Section(heading, frames))
        for row in rows:
            runs += row.runs
    if task.heals:
        parts += _over_shares(sections)
    elif task.averaged and len(sections) > 1:
        parts.append(_over_classes(sections, task.averaged))
    return Chapter(setup.title, made_by(runs), shown(command_of(runs), 2000), parts)


# ---- the tables of a section ----


def _frames(rows, task):
    """The table of a section and, where there are retrains, that of the differences to them."""
    most_runs = max(len(row.runs) for row in rows)
    frame = _frame([_cells(row, most_runs) for row in rows], COLUMNS)
    empty = [name for name in MORE_SCORES if not frame[name].any()]
    frames = [frame.drop(columns=empty)]
    gaps = [_gap_cells(row) for row in rows if _has_goal(row)]
    if gaps:
        frames.append(_frame(gaps))
    names = HEALED_NAMES if task.heals else {}
    return [frame.rename(columns=names) for frame in frames]


def _with_audit(frame, rows, setup, forgotten, audited):
    """The table with a column of U-LiRA's AUC, where some row has been audited."""
    texts = []
    for row in rows:
        text = "" if lookup.is_reference(row.method) else NOT_MEASURED
        texts.append(audited.get((setup, forgotten, row.label), text))
    if set(texts) <= {"", NOT_MEASURED}:
        return frame
    place = list(frame.columns).index("ToW") + 1
    frame.insert(place, AUDITED, texts)
    return frame


def _frame(lines, columns=None, missing=""):
    """A data frame from {column: text} of each line. missing: the text where a line has none."""
    return pd.DataFrame(lines, columns=columns, dtype=object).fillna(missing)


def _has_goal(row):
    """Whether a row was measured against retrain."""
    return row.pairs > 0 and not lookup.method(row.method).is_goal


def _cells(row, most_runs):
    """{column: text} of a row. most_runs: of any row of the section."""
    if not row.runs:
        return {"method": shown(row.label), "D_r %": MISSING}
    method = lookup.method(row.method)
    cells = {"method": shown(row.label), "n": _count(row, most_runs), "verdict": _verdict(row)}
    for name in SCORES:
        cells[name] = _score(row.values[name], row.deterministic)
    for name in MORE_SCORES:
        if name in row.values:
            cells[name] = _briefly(row.values[name])
    if _has_goal(row):
        cells["distance"] = f"{row.distance:.2f}"
        cells["ToW"] = f"{row.tug_of_war:.3f}"
    if not method.is_original:  # doing nothing takes no time
        cells["seconds"] = short(row.values["seconds"].mean)
    if row.speed_up and not (method.is_original or method.is_goal):
        cells["faster"] = f"{short(row.speed_up)}x"
    for name in ("I_D s", "selected %"):
        if name in row.values:
            cells[name] = short(row.values[name].mean)
    return cells


def _score(spread, deterministic):
    text = f"{spread.mean:.2f}"
    if spread.over_seeds is not None and not deterministic:
        text += f" ± {spread.over_seeds:.2f}"
    if spread.over_trainings is not None:
        text += f" ± {spread.over_trainings:.2f} (trainings)"
    return text


def _briefly(spread):
    """A mean and its deviation over seeds with one decimal."""
    text = f"{spread.mean:.1f}"
    return text if spread.over_seeds is None else f"{text} ± {spread.over_seeds:.1f}"


def _count(row, most_runs):
    """How many runs a row has, and why it may have fewer than others."""
    count = len(row.runs)
    if row.deterministic:
        return f"{count}, deterministic"
    return f"{count} of {most_runs}" if count < most_runs else str(count)


def _verdict(row):
    """What must not be overlooked: how many runs of a row have collapsed or changed nothing."""
    words = []
    for word, count in (("COLLAPSED", row.collapsed), ("UNCHANGED", row.unchanged)):
        if count == len(row.runs):
            words.append(word)
        elif count:
            words.append(f"{word} {count} of {len(row.runs)}")
    return ", ".join(words)


def verdict_of_rows(rows: list[Row]) -> str:
    """How many runs of several rows have collapsed or changed nothing; empty where none has."""
    collapsed = sum(row.collapsed for row in rows)
    unchanged = sum(row.unchanged for row in rows)
    words = []
    if collapsed:
        words.append(f"COLLAPSED {collapsed}")
    if unchanged:
        words.append(f"UNCHANGED {unchanged}")
    return ", ".join(words)


def _gap_cells(row):
    """{column: text} of a row's differences to retrain."""
    cells = {"method": shown(row.label)}
    for name in SCORES:
        mean, low, high = row.gaps[name]
        ends = "" if low is None else f" [{low:+.2f}, {high:+.2f}]"
        cells[f"{name.removesuffix(' %')} - retrain's"] = f"{mean:+.2f}{ends}"
    return {**cells, "pairs": str(row.pairs)}


# ---- tables over several sections ----


def _over_classes(sections, classes):
    """The means over what is forgotten. classes: what these are called."""
    count = f"the {len(sections)} forgotten {classes}"
    heading = f"Averaged over {count}; ± is over {classes}, not over seeds"
    averages = over_classes(sections)
    lines = []
    for row in next(iter(sections.values())):
        if row.label in averages:
            lines.append(_average_cells(row, averages[row.label]))
        else:
            lines.append({"method": shown(row.label), **dict.fromkeys(SCORES, MISSING)})
    return Section(heading, [_frame(lines, ["method", *SCORES, "distance", "seconds"])])


def _average_cells(row, average):
    method = lookup.method(row.method)
    cells = {"method": shown(row.label)}
    for name in SCORES:
        cells[name] = f"{average[name].mean:.2f} ± {average[name].deviation:.2f}"
    if "distance" in average and not method.is_goal:
        cells["distance"] = f"{average['distance'].mean:.2f}"
    if not method.is_original:
        cells["seconds"] = short(average["seconds"].mean)
    return cells


def _over_shares(sections):
    """What is healed over the share that is known, a section for each corruption."""
    parts = []
    for corruption, of_corruption in over_shares(sections).groupby("corruption", sort=False):
        heading = (
            f"Corrupted: {shown(corruption)}. "
            "Healed % (clean %), over the share of it that is known"
        )
        lines = []
        for label, of_label in of_corruption.groupby("label", sort=False):
            cells = {"method": shown(label)}
            for share, row in of_label[["share", "row"]].values:
                healed, clean = _briefly(row.values["D_f %"]), _briefly(row.values["D_r %"])
                cells[_percent(share)] = f"{healed} ({clean})"
            lines.append(cells)
        shares = [_percent(share) for share in sorted(of_corruption["share"].unique())]
        parts.append(Section(heading, [_frame(lines, ["method", *shares], MISSING)]))
    return parts


def _percent(share):
    return f"{100 * share:g} %"
