"""Where the numbers of a table come from: networks, data, machines, days, code, and the command line of a cell."""

import shlex
from pathlib import Path

from summaries import TASKS


def title_of(key, sections):
    """What a table, by its (task, net, dataset, protocol), is called; a folder of images by its name."""
    task, net, dataset, protocol = key
    if dataset == "Folder":
        folders = {Path(run["config"]["data"]).name for rows in sections.values() for row in rows for run in row.runs}
        dataset = f"Folder {', '.join(sorted(folders))}"
    return f"{TASKS.get(task, task)}: {net} on {dataset} (protocol {protocol})"


def made_by(runs):
    """What else differs between the runs of one table, said aloud."""
    commits = sorted({str(run["commit"])[:7] + ("-dirty" if str(run["commit"]).endswith("-dirty") else "") for run in runs})
    devices = sorted({run["device"] for run in runs})
    trainings = sorted({run["config"]["train_seed"] for run in runs})
    days = sorted({run["date"] for run in runs if "date" in run})
    said = [f"training seed{'s' * (len(trainings) > 1)} {', '.join(map(str, trainings))}", f"on {', '.join(devices)}",
            " to ".join(dict.fromkeys(days[:1] + days[-1:])),
            f"code {', '.join(commits)}" + (" (several versions are averaged)" if len(commits) > 1 else "")]  # fmt: skip
    return "; ".join(filter(None, said))


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
    return [words[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
