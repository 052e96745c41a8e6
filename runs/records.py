"""One JSON file a run: where it lies, what code made it, how it is written, how all of them are read back."""

import json
import sys
from pathlib import Path

from common.console import progress
from common.errors import UserError
from common.files import write_whole
from runs import soundness


def write(path, record):
    """Write a record whole, or not at all."""
    write_whole(path, (json.dumps(record, indent=2) + "\n").encode())


def read(path):
    """The record at `path`, or None where there is none. UserError where the file is no record."""
    try:
        record = json.loads(Path(path).read_text())
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise UserError(
            f"{path} cannot be: a file is where its folder should be; name another folder with -results"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); mend or remove it, or name another folder with -results"
        ) from error
    _complete(record)
    try:
        soundness.check(record)
    except (soundness.Unsound, RecursionError) as error:
        way_out = "mend or remove it, or name another folder with -results"
        raise UserError(f"{path} is no record of this version ({error}); {way_out}") from error
    return record


def _complete(record):
    """Put in what records of older versions lack, as it was then."""
    config = record.get("config") if type(record) is dict else None
    if type(config) is dict:
        config.setdefault("numerics", "fp32")  # before it was a choice


def read_all(results):
    """Every record under a folder, in the order of their paths. UserError where there is none.

    Other files are left out, with a line each that says why.
    """
    found = []
    for path in progress(sorted(Path(results).rglob("*.json")), "reading records"):
        try:
            record = read(path)
            reason = f"{path} is not there any more, or a link to nothing"
        except UserError as error:
            record, reason = None, str(error)
        if record is None:
            print(f"left out: {' '.join(reason.split())}", file=sys.stderr)
        else:
            found.append(record)
    if not found:
        raise UserError(
            f"no records under {results}; run an experiment with -results {results} first"
        )
    return found


def collapse(task, scores, original_d_r, retrained_d_f):
    """In which ways a run has lost more than 10 points: against the original's D_r, against retrain's D_f if that is known.

    Where corrupted data are healed a low D_f is no collapse: there it is to rise. scores: a
    record's, in percent. Returns sentences, none where all is well.
    """
    retrained_d_f = None if task == "corrupted" else retrained_d_f
    wanted = (
        ("D_r", "RetainTestAcc", "the original's", original_d_r),
        ("D_f", "Df", "retrain's", retrained_d_f),
    )
    return [
        f"{name} {scores[key]:.2f} % is {goal - scores[key]:.1f} points below {whose}"
        for name, key, whose, goal in wanted
        if goal is not None and goal - scores[key] > 10
    ]


def unchanged(method, scores, original_d_f, retrained_d_f):
    """Whether a method that was to forget has left D_f within a point of the original's: one sentence, or none.

    All in percent; None for what is not known. The baseline is to change nothing, and retrain is
    the goal itself.
    """
    if method in ("baseline", "retrain") or original_d_f is None:
        return []
    if abs(scores["Df"] - original_d_f) > 1:
        return []
    sentence = f"D_f {scores['Df']:.2f} % was {original_d_f:.2f} % before"
    if retrained_d_f is not None and abs(retrained_d_f - original_d_f) <= 1:
        sentence += f", and retrain's is {retrained_d_f:.2f} %: there was little to forget"
    return [sentence]


def short(value):
    """A number in three digits, or more where they are whole ones."""
    return f"{value:.0f}" if value >= 999.5 else f"{value:.3g}"


def readable(record):
    """A record's scores for the terminal: two lines, and one for every way in which it collapsed."""
    config, scores, seconds = record["config"], record["scores"], record["seconds"]
    dials = (
        f" (alpha {config['alpha']:g}, lambda {config['lambda']:g})"
        if config["alpha"] is not None
        else ""
    )
    healed = "healed" if record["task"] == "corrupted" else "D_f"
    parts = [
        f"D_r {scores['RetainTestAcc']:.2f} %",
        f"{healed} {scores['Df']:.2f} %",
        f"MIA {scores['MIA']:.2f} %",
        f"ZRF {scores['ZRF']:.3f}",
        f"test {scores['TestAcc']:.2f} %",
        f"method {short(seconds['method'])} s",
    ]
    if seconds["full_importance"] is not None:
        parts.append(f"I_D once {short(seconds['full_importance'])} s")
    if "AttackSuccess" in scores:
        parts.insert(2, f"attack {scores['AttackSuccess']:.2f} %")
    if "adaptive_alpha" in record:
        parts.append(f"alpha found {record['adaptive_alpha']:.3g}")
    if record["selected"] is not None:
        parts.append(f"selected {100 * record['selected']:.3g} %")
    dials += "".join(f" {name}={value}" for name, value in config["set"].items())
    if "subsample" in record:
        parts.append("on {retain} images of D_r and {forget} of D_f".format(**record["subsample"]))
    title = f"{record['task']}: {config['net']}, {config['dataset']}, forget {config['forget']}: {config['method']}{dials}"
    lines = [f"{title}, seed {config['seed']}", "   ".join(parts)]
    lines += [f"COLLAPSED: {reason}" for reason in record["collapse"]]
    lines += [f"UNCHANGED: {reason}" for reason in record.get("unchanged", [])]
    before = [entry["forget"] for entry in record.get("forgotten_before", [])]
    if before:
        lines.append(f"the network had forgotten before: {', '.join(before)}")
    return "\n  ".join(lines)
