"""Rows of several forget sets put together: over classes, over known shares, over alpha."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from reports import lookup
from reports.frame import corruption_of
from reports.summary import Row, Sections

CURVE = 4  # rows by different alphas that make a curve


class Average(NamedTuple):
    """A mean over forget sets with its sample standard deviation."""

    mean: float
    deviation: float


def over_classes(sections: Sections) -> dict[str, dict[str, Average]]:
    """{label: {column: Average}} of the rows that every section has; two sections or more.

    Columns: those of a row's values that all of them have, and "distance" where all have one.
    """
    lines = []
    for row in run_rows(sections):
        means = {name: spread.mean for name, spread in row.values.items()}
        lines.append({"label": row.label, **means, "distance": row.distance})
    averages = {}
    for label, of_label in pd.DataFrame(lines).groupby("label", sort=False):
        if len(of_label) == len(sections):
            numbers = of_label.drop(columns="label").dropna(axis="columns")
            averages[label] = {name: _average(numbers[name].tolist()) for name in numbers}
    return averages


def _average(values):
    return Average(statistics.fmean(values), statistics.stdev(values))


def over_shares(sections: Sections) -> pd.DataFrame:
    """A line for each row on corrupted data: `corruption`, `share` (known), `label`, `row`."""
    lines = []
    for row in run_rows(sections):
        corruption, share = corruption_of(row.runs[0])
        lines.append({"corruption": corruption, "share": share, "label": row.label, "row": row})
    return pd.DataFrame(lines)


@dataclass(frozen=True)
class Curve:
    """The rows of a method that differ in alpha only, by ascending alpha, for each forget set."""

    method: str
    sections: Sections


def over_alphas(sections: Sections) -> list[Curve]:
    """A Curve for each method, and each choice of its other settings, with CURVE alphas or more."""
    rows_of = {}  # {(method, its other settings): {what is forgotten: rows}}
    for forgotten, rows in sections.items():
        for row in rows:
            if row.runs and alpha_of(row):  # 0 has no place on a logarithmic axis
                others = [text for name, text in row.settings.items() if name != "alpha"]
                rows_of_kind = rows_of.setdefault((row.method, *others), {})
                rows_of_kind.setdefault(forgotten, []).append(row)
    curves = []
    for kind in sorted(rows_of, key=_place_of_curve):
        long_enough = {}
        for forgotten, rows in rows_of[kind].items():
            if len(rows) >= CURVE:
                long_enough[forgotten] = rows  # by ascending alpha, as in every section
        if long_enough:
            curves.append(Curve(kind[0], long_enough))
    return curves


def _place_of_curve(kind):
    method, *others = kind
    return lookup.place_of_method(method), method, others


def alpha_of(row: Row) -> float | None:
    """The alpha by which a row dampened, one for all of its runs."""
    return row.runs[0]["config"]["alpha"]


def against_goal(sections: Sections) -> dict[str, dict[str, Row]]:
    """{label: {what is forgotten: row}} of the methods that were measured against retrain."""
    rows: dict[str, dict[str, Row]] = {}
    for forgotten, of_section in sections.items():
        for row in of_section:
            is_method = not lookup.is_reference(row.method)
            if row.pairs and is_method:
                rows.setdefault(row.label, {})[forgotten] = row
    return rows


def sections_of(sections: Sections, holds: Callable[[Row], object]) -> Sections:
    """The rows of which `holds` is true, and the sections that have such a row."""
    kept = {}
    for forgotten, rows in sections.items():
        rows_kept = [row for row in rows if holds(row)]
        if rows_kept:
            kept[forgotten] = rows_kept
    return kept


def run_rows(sections: Sections) -> list[Row]:
    """The rows of all sections that have runs."""
    rows = []
    for section in sections.values():
        rows += [row for row in section if row.runs]
    return rows


def labels_of(sections: Sections) -> list[str]:
    """The labels of the rows of all sections, once each."""
    labels: dict[str, None] = {}
    for section in sections.values():
        labels.update({row.label: None for row in section})
    return list(labels)
