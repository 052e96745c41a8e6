"""What fits into a figure that fits a printed page, and the sentence on what does not."""

import math
import statistics

from reports import lookup
from reports.averages import labels_of, run_rows
from reports.summary import Sections

# Inches: the text of a page of a journal or of A4, and one of its two columns.
PAGE_WIDTH, PAGE_HEIGHT = 7.0, 9.0
COLUMN_WIDTH = 3.4
FONT = 8  # points
LETTER = 0.58  # of its size is a letter wide, on average
NEAREST = "rows, the nearest to retrain"


def rows_for(height: float, margin: float) -> int:
    """How many panels or rows of that height a page has room for, inches; at least one."""
    return max(1, int((PAGE_HEIGHT - margin) / height))


def columns_for(width: float, margin: float = 0) -> int:
    """How many panels of that width a page has room for next to each other; at least one."""
    return max(1, int((PAGE_WIDTH - margin) / width))


def widest(texts: list[str], most: int) -> float:
    """The width in inches of the longest of these texts, cut to so many letters."""
    letters = max(map(len, texts), default=1)
    return min(letters, most) * LETTER * FONT / 72


def legend_columns(texts: list[str], width: float, most: int) -> int:
    """How many columns of these texts a legend has room for in that width, inches; 1 to `most`."""
    column = 0.5 + widest(texts, 40)  # a line with its mark, then the text
    return max(1, min(most, int(width / column)))


def legend_height(texts: list[str], width: float, most: int) -> float:
    """The height of such a legend, inches."""
    return 0.17 * math.ceil(len(texts) / legend_columns(texts, width, most))


def fitted(sections: Sections, most_rows: int, most_sections: int) -> tuple[Sections, str]:
    """(the sections and rows that are drawn, a sentence on what is not).

    Of the rows the nearest to retrain are drawn, of the sections the first ones.
    """
    labels = nearest(sections, most_rows)
    drawn: Sections = {}
    for forgotten, rows in sections.items():
        drawn_rows = [row for row in rows if row.label in labels]
        if drawn_rows and len(drawn) < most_sections:
            drawn[forgotten] = drawn_rows
    part_of_rows = part(len(labels), len(labels_of(sections)), NEAREST)
    part_of_sections = first_part(len(drawn), len(sections))
    return drawn, drawn_only(part_of_rows, part_of_sections)


def nearest(sections: Sections, most: int) -> list[str]:
    """The labels of at most so many rows: retrain, the baseline, then the nearest to retrain.

    A row's distance is its mean over the sections.
    """
    distances, references = {}, set()
    for row in run_rows(sections):
        of_label = distances.setdefault(row.label, [])
        if row.distance is not None:
            of_label.append(row.distance)
        if lookup.is_reference(row.method):
            references.add(row.label)

    def place(label):
        values = distances[label]
        distance = statistics.fmean(values) if values else math.inf
        return label not in references, distance

    return sorted(distances, key=place)[:most]


def part(drawn: int, total: int, what: str) -> str:
    """As "20 of 42 rows"; empty where all are drawn."""
    return f"{drawn} of {total} {what}" if drawn < total else ""


def first_part(drawn: int, total: int) -> str:
    """As "the first 3 of 8 forget sets"; empty where all are drawn."""
    return f"the first {part(drawn, total, 'forget sets')}" if drawn < total else ""


def drawn_only(*counts: str) -> str:
    """The sentence on what is drawn, of what `part` and `first_part` say; empty where it is all."""
    said = "; ".join(filter(None, counts))
    return f"Drawn: {said} (the tables have all)." if said else ""
