"""One JSON file a run: how it is written, how all of them are read back, how one is shown."""

import json
import sys
from pathlib import Path

from common.console import progress
from common.errors import UserError
from common.files import write_whole
from methods import METHODS
from runs import schema
from runs.tasks import TASKS

COLLAPSED = 10  # points that a run may lose before it has collapsed
UNCHANGED = 1  # points within which D_f is as it was
INDEX = "INDEX.json"  # lists networks (published.py); no record
WAY_OUT = "mend or remove it, or name another folder with -results"


def write(path: str | Path, record: dict) -> None:
    """Write a record whole, or not at all."""
    text = json.dumps(record, indent=2) + "\n"
    write_whole(path, text.encode())


def read(path: str | Path) -> dict | None:
    """The record at `path`, or None where there is none. UserError where the file is no record."""
    try:
        record = json.loads(Path(path).read_text())
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise UserError(
            f"{path} cannot be: a file is where its folder should be; "
            "name another folder with -results"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); {WAY_OUT}") from error
    if reason := schema.reason_against(record):
        raise UserError(f"{path} is no record of this version ({reason}); {WAY_OUT}")
    record["config"].setdefault("numerics", "fp32")  # before it was a choice
    return record


def read_all(results: str | Path) -> list[dict]:
    """Every record under a folder, in the order of their paths. UserError where there is none.

    Other files are left out, with a line each that says why.
    """
    records = []
    for path in progress(sorted(Path(results).rglob("*.json")), "reading records"):
        if path.name == INDEX:
            continue
        try:
            record = read(path)
            reason = f"{path} is not there any more, or a link to nothing"
        except UserError as error:
            record, reason = None, str(error)
        if record is None:
            print(f"left out: {' '.join(reason.split())}", file=sys.stderr)
        else:
            records.append(record)
    if not records:
        raise UserError(
            f"no records under {results}; run an experiment with -results {results} first"
        )
    return records


# ---- what a run has come to ----


def collapse(
    task: str, scores: dict, original_d_r: float | None, retrained_d_f: float | None
) -> list[str]:
    """In which ways a run has lost more than 10 points, a sentence each; empty where all is well.

    D_r counts against the original's, D_f against retrain's. Where corrupted data are healed D_f
    is to rise, so a low one is no collapse. scores: a record's. All in percent; None: not known.
    """
    losses = [("D_r", scores["RetainTestAcc"], original_d_r, "the original's")]
    if not (task in TASKS and TASKS[task].heals):
        losses.append(("D_f", scores["Df"], retrained_d_f, "retrain's"))
    sentences = []
    for name, value, goal, whose in losses:
        if goal is not None and goal - value > COLLAPSED:
            sentences.append(f"{name} {value:.2f} % is {goal - value:.1f} points below {whose}")
    return sentences


def unchanged(
    method: str, scores: dict, original_d_f: float | None, retrained_d_f: float | None
) -> list[str]:
    """That a method has left D_f within a point of the original's: one sentence, or none.

    All in percent; None for what is not known. The original is to change nothing, and retrain is
    the goal itself.
    """
    if method in METHODS and (METHODS[method].is_original or METHODS[method].is_goal):
        return []
    if original_d_f is None or abs(scores["Df"] - original_d_f) > UNCHANGED:
        return []
    sentence = f"D_f {scores['Df']:.2f} % was {original_d_f:.2f} % before"
    if retrained_d_f is not None and abs(retrained_d_f - original_d_f) <= UNCHANGED:
        sentence += f", and retrain's is {retrained_d_f:.2f} %: there was little to forget"
    return [sentence]


# ---- for the terminal ----


def short(value: float) -> str:
    """A number in three digits, or more where they are whole ones."""
    return f"{value:.0f}" if value >= 999.5 else f"{value:.3g}"


def readable(record: dict) -> str:
    """A record in a few lines: what was run, its scores, and how it went wrong if it did."""
    lines = [_title(record), "   ".join(_scores_in_words(record))]
    lines += [f"COLLAPSED: {reason}" for reason in record["collapse"]]
    lines += [f"UNCHANGED: {reason}" for reason in record.get("unchanged", [])]
    earlier = [entry["forget"] for entry in record.get("forgotten_before", [])]
    if earlier:
        lines.append(f"the network had forgotten before: {', '.join(earlier)}")
    return "\n  ".join(lines)


def _title(record):
    config = record["config"]
    dials = ""
    if config["alpha"] is not None:
        dials = f" (alpha {config['alpha']:g}, lambda {config['lambda']:g})"
    for name, value in config["set"].items():
        dials += f" {name}={value}"
    what = f"{record['task']}: {config['net']}, {config['dataset']}, forget {config['forget']}"
    seeds = f"seed {config['seed']}"
    if config["train_seed"]:
        seeds += f", network {config['train_seed']}"
    return f"{what}: {config['method']}{dials}, {seeds}"


def _scores_in_words(record):
    """The scores of a record, a text each."""
    scores, seconds = record["scores"], record["seconds"]
    task = TASKS.get(record["task"])
    forget_name = task.forget_name if task else "D_f"
    texts = [f"D_r {scores['RetainTestAcc']:.2f} %", f"{forget_name} {scores['Df']:.2f} %"]
    if "AttackSuccess" in scores:
        texts.append(f"attack {scores['AttackSuccess']:.2f} %")
    texts += [
        f"MIA {scores['MIA']:.2f} %",
        f"ZRF {scores['ZRF']:.3f}",
        f"test {scores['TestAcc']:.2f} %",
        f"method {short(seconds['method'])} s",
    ]
    if seconds["full_importance"] is not None:
        texts.append(f"I_D once {short(seconds['full_importance'])} s")
    if "adaptive_alpha" in record:
        texts.append(f"alpha found {record['adaptive_alpha']:.3g}")
    if record["selected"] is not None:
        texts.append(f"selected {100 * record['selected']:.3g} %")
    if "overlap" in record.get("suitability", {}):
        texts.append(f"overlap {record['suitability']['overlap']:.2f}")
    if "subsample" in record:
        retain, forget = record["subsample"]["retain"], record["subsample"]["forget"]
        texts.append(f"on {retain} images of D_r and {forget} of D_f")
    return texts
