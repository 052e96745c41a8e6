"""Where the numbers of a table come from: networks, data, machines, days, code, and the command line of a cell."""

import shlex
from collections import Counter

from reports.summary import OLD_TOLERANCE, TASKS, forgotten_before, mia_tolerance


def shown(text, letters=100):
    """A text from outside (a class, a folder, a device) as one line of at most so many letters.

    Where it is longer, its middle is left out.
    """
    line = " ".join(str(text).encode(errors="backslashreplace").decode().split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    if len(line) <= letters:
        return line
    end = letters // 3
    return f"{line[: letters - end - 1]}…{line[-end:]}"


def title_of(key):
    """What a table is called; a folder of images by its name."""
    dataset = f"{key.dataset} {shown(key.folder, 60)}".strip()
    title = f"{TASKS.get(key.task, key.task)}: {key.net} on {dataset} (protocol {key.protocol})"
    return f"Trials on validation images. {title}" if key.validation else title


def made_by(runs):
    """What else differs between the runs of one table, in one line."""
    commits = sorted({_short_commit(run["commit"]) for run in runs})
    devices = sorted({run["device"] for run in runs})
    trainings = sorted({run["config"]["train_seed"] for run in runs})
    days = sorted({run["date"] for run in runs if "date" in run})
    several = " (several versions are averaged)" if len(commits) > 1 else ""
    parts = [
        f"training seed{'s' * (len(trainings) > 1)} {', '.join(map(str, trainings))}",
        f"on {', '.join(devices)}",
        " to ".join(dict.fromkeys(days[:1] + days[-1:])),
        f"code {', '.join(commits)}{several}",
    ]
    origin = "; ".join(filter(None, parts))
    sentences = [origin, _of_mia(runs), _of_duplicates(runs), _of_earlier(runs)]
    return shown(". ".join(filter(None, sentences)), 2000)


def _short_commit(commit):
    text = str(commit)
    return text[:7] + ("-dirty" if text.endswith("-dirty") else "")


def _of_mia(runs):
    """How the attack was fitted, where runs differ in it or it was done by the old default."""
    tolerances = Counter(mia_tolerance(run) for run in runs)
    others = {_fit_but_tolerance(run) for run in runs if "mia" in run["config"]}
    sentences = []
    if len(tolerances) > 1 or OLD_TOLERANCE in tolerances:
        told = []
        for tolerance, count in sorted(tolerances.items()):
            told.append(f"at tolerance {tolerance:g} in {_share(count, runs)}")
        early = " (which can stop some tenths of a point early)"
        sentences.append(
            f"MIA was fitted {', '.join(told)}{early if OLD_TOLERANCE in tolerances else ''}"
        )
    if len(others) > 1:
        sentences.append(f"MIA was fitted with {' or '.join(sorted(others))}")
    return ". ".join(sentences)


def _fit_but_tolerance(run):
    fit = run["config"]["mia"]
    return ", ".join(f"{name} {fit[name]:g}" for name in sorted(fit) if name != "tol")


def _share(count, runs):
    """So many of the runs, in words."""
    return f"all {count} runs" if count == len(runs) else f"{count} of {len(runs)} runs"


def _of_duplicates(runs):
    """What was done with identical images, where that was not the same in all runs that say so."""
    choices = Counter(run["config"]["duplicates"] for run in runs if "duplicates" in run["config"])
    if len(choices) < 2:
        return ""
    told = [f"{choice} in {count} runs" for choice, count in sorted(choices.items())]
    return f"Identical images: {', '.join(told)}"


def _of_earlier(runs):
    """Which runs started from a network that had forgotten something before."""
    earlier = Counter(filter(None, map(forgotten_before, runs)))
    told = []
    for names, count in earlier.items():
        told.append(f"{_share(count, runs)} from a network that had forgotten {names}")
    return f"Forgotten before: {'; '.join(told)}" if told else ""


def command_of(runs):
    """The command line of a table's cells, in capitals what differs from cell to cell, in brackets what not every cell has."""
    commands = [shlex.split(run["command"]) for run in runs if "command" in run]
    flags = [{flag: shlex.join(values) for flag, *values in _by_flag(words)} for words in commands]
    parts = []
    for flag in dict.fromkeys(flag for found in flags for flag in found):
        values = {found.get(flag) for found in flags}
        text = f"{flag} {flag.strip('-').upper() if len(values - {None}) > 1 else next(iter(values - {None}))}".strip()
        parts.append(f"[{text}]" if None in values else text)
    return " ".join([*commands[0][:2], *parts]) if commands else ""


def _by_flag(words):
    """[flag, values ...] of each flag of a command line; a value may be a negative number, but flags are words."""
    starts = [i for i, word in enumerate(words) if word[:1] == "-" and word[1:2].isalpha()]
    ends = [*starts[1:], None][: len(starts)]  # none where there is no flag
    return [words[start:end] for start, end in zip(starts, ends, strict=True)]
