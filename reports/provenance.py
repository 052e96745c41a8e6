"""Where the numbers of a table come from: networks, machines, days, code, and the command line."""

import shlex
from collections import Counter

import pandas as pd

from reports.frame import OLD_TOLERANCE, forgotten_before, mia_tolerance
from reports.texts import shown


def made_by(runs: list[dict]) -> str:
    """What differs between the runs of a table besides their settings, in one line.

    runs: records.
    """
    sentences = [_origin(runs), _of_mia(runs), _of_duplicates(runs), _of_earlier(runs)]
    return shown(". ".join(filter(None, sentences)), 2000)


def _origin(runs):
    """Training seeds, machines, days and code."""
    trainings = sorted({run["config"]["train_seed"] for run in runs})
    devices = sorted({run["device"] for run in runs})
    days = sorted({run["date"] for run in runs if "date" in run})
    commits = sorted({_short_commit(run["commit"]) for run in runs})
    parts = [
        f"training seed{'s' if len(trainings) > 1 else ''} {_in_words(trainings)}",
        f"on {', '.join(devices)}",
    ]
    if days:
        first_and_last = dict.fromkeys((days[0], days[-1]))
        parts.append(" to ".join(first_and_last))
    several = " (several versions are averaged)" if len(commits) > 1 else ""
    parts.append(f"code {', '.join(commits)}{several}")
    return "; ".join(parts)


def _in_words(seeds):
    """Ascending seeds; a long range of them by its ends."""
    is_range = seeds == list(range(seeds[0], seeds[-1] + 1))
    if is_range and len(seeds) > 5:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _short_commit(commit):
    text = str(commit)
    return text[:7] + ("-dirty" if text.endswith("-dirty") else "")


def _of_mia(runs):
    """How the attack was fitted, where runs differ in it or it was done by the old default."""
    sentences = []
    tolerances = Counter(mia_tolerance(run) for run in runs)
    if len(tolerances) > 1 or OLD_TOLERANCE in tolerances:
        fits = []
        for tolerance, count in sorted(tolerances.items()):
            fits.append(f"at tolerance {tolerance:g} in {_share(count, runs)}")
        sentence = f"MIA was fitted {', '.join(fits)}"
        if OLD_TOLERANCE in tolerances:
            sentence += " (which can stop some tenths of a point early)"
        sentences.append(sentence)
    fits = {_fit_but_tolerance(run) for run in runs if "mia" in run["config"]}
    if len(fits) > 1:
        sentences.append(f"MIA was fitted with {' or '.join(sorted(fits))}")
    return ". ".join(sentences)


def _fit_but_tolerance(run):
    fit = run["config"]["mia"]
    return ", ".join(f"{name} {fit[name]:g}" for name in sorted(fit) if name != "tol")


def _share(count, runs):
    """So many of the runs, in words."""
    return f"all {count} runs" if count == len(runs) else f"{count} of {len(runs)} runs"


def _of_duplicates(runs):
    """What was done with identical images, where it was not the same in all runs that say so."""
    choices = Counter(run["config"]["duplicates"] for run in runs if "duplicates" in run["config"])
    if len(choices) < 2:
        return ""
    counts = [f"{choice} in {count} runs" for choice, count in sorted(choices.items())]
    return f"Identical images: {', '.join(counts)}"


def _of_earlier(runs):
    """Which runs started from a network that had forgotten something before."""
    earlier = Counter(filter(None, map(forgotten_before, runs)))
    if not earlier:
        return ""
    counts = []
    for names, count in earlier.items():
        counts.append(f"{_share(count, runs)} from a network that had forgotten {names}")
    return f"Forgotten before: {'; '.join(counts)}"


def command_of(runs: list[dict]) -> str:
    """The command line that makes the cells of a table; empty where no record holds one.

    A value that differs between cells is named in capitals, after its flag. A flag that only some
    cells have stands in brackets.
    """
    commands = [shlex.split(run["command"]) for run in runs if "command" in run]
    if not commands:
        return ""
    flags = pd.DataFrame([_flags_of(words) for words in commands], dtype=object)
    words = commands[0][:2]  # python and the script
    for flag, values in flags.items():
        differs = values.nunique() > 1
        value = flag.strip("-").upper() if differs else values.dropna().iloc[0]
        text = f"{flag} {value}".strip()
        words.append(f"[{text}]" if values.hasnans else text)
    return " ".join(words)


def _flags_of(words):
    """{flag: its values as one text} of a command line. A value may be a negative number."""
    flags = {}
    values = []
    for word in words:
        if word[:1] == "-" and word[1:2].isalpha():
            values = flags[word] = []
        else:
            values.append(word)
    return {flag: shlex.join(values) for flag, values in flags.items()}
