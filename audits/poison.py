"""Gaussian poison over several networks: a chapter of its own, since it needs no retrained network.

The null is N(0, 1) for every image of every network that never saw the noise (probes/poison.py).
The interval of the mean is that of N(0, 1) over all images of all networks. Where networks differ
by more, it is Student's t over networks.
"""

import math
import statistics

import pandas as pd

from reports import frame
from reports.provenance import command_of, made_by
from reports.summary import interval
from reports.tables import Chapter, Section
from reports.texts import shown

LEGEND = {
    "mean I": "0 for a network that never saw the noise; below 0 where it still fits it.",
    "below, above": "images beyond the lowest or highest 1 % of N(0, 1), in percent.",
}


def chapters(records: list[dict]) -> list[Chapter]:
    """A chapter for each setup that has records with the poison's scores."""
    poisoned = [record for record in records if "poison" in record.get("probes", {})]
    if not poisoned:
        return []
    runs = frame.of_records(poisoned)
    return [_chapter(setup, of_setup) for setup, of_setup in runs.groupby("setup", sort=False)]


def _chapter(setup, runs):
    sections = []
    for forget, of_forget in runs.groupby("forget", sort=False):
        by_label = of_forget.groupby("label", sort=False)["record"]
        lines = [_line(label, list(of_label)) for label, of_label in by_label]
        heading = f"Gaussian poison: {shown(forget)}. Does the network still know the noise?"
        sections.append(Section(heading, [pd.DataFrame(lines, dtype=object)]))
    used = list(runs["record"])
    title = f"Audit of the poison. {setup.title}"
    return Chapter(title, made_by(used), shown(command_of(used), 2000), sections)


def _line(label, records):
    """{column: text} of the runs of a row."""
    scores = [record["probes"]["poison"] for record in records]
    means = [score["mean"] for score in scores]
    low, high = interval_of(means, [score["count"] for score in scores])
    return {
        "method": shown(label),
        "networks": str(len(scores)),
        "images": str(scores[0]["count"]),
        "mean I": f"{statistics.fmean(means):+.3f} [{low:+.3f}, {high:+.3f}]",
        "below %": f"{100 * statistics.fmean(score['below'] for score in scores):.2f}",
        "above %": f"{100 * statistics.fmean(score['above'] for score in scores):.2f}",
        "verdict": "as if never seen" if low <= 0 <= high else "knows the noise",
    }


def interval_of(means: list[float], counts: list[int]) -> tuple[float, float]:
    """The ends of the mean's interval at 95 %. means: of each network; counts: of its images."""
    mean = statistics.fmean(means)
    half = 1.96 / math.sqrt(sum(counts))
    _, _, high = interval(means)
    if high is not None:
        half = max(half, high - mean)
    return mean - half, mean + half
