"""Which runs an audit lacks, in words, and the command lines that make them."""

import shlex

from audits import AUDITS
from audits.pool import BySeed
from audits.results import Refusal, Result
from reports.texts import shown

MOST_SENTENCES = 5
SMALL_POOL = 16  # training seeds that are proposed where a method has too few


def ways_out(results: list[Result]) -> list[str]:
    """A sentence for each method that lacks runs, each with the command that makes them."""
    sentences = []
    for result in results:
        sentence = _lacking(result) or _too_few(result)
        if sentence:
            sentences.append(sentence)
    omitted = len(sentences) - MOST_SENTENCES
    if omitted > 0:
        sentences[MOST_SENTENCES:] = [f"and {omitted} other methods lack runs"]
    return sentences


def _lacking(result):
    """The sentence where a method lacks outputs of some training seeds of the pool."""
    if not result.lacking:
        return ""
    seeds = ", ".join(map(str, result.lacking[:10]))
    more = f" and {len(result.lacking) - 10} more" if len(result.lacking) > 10 else ""
    command = with_seeds(result.pool.candidates[result.label], spans(result.lacking))
    return (
        f"{shown(result.label)}, {shown(result.pool.heading)}: no outputs of training seeds "
        f"{seeds}{more}, left out for this method only; to make them: {command}"
    )


def _too_few(result):
    """The sentence where some audit needs more trained networks than there are."""
    needed = [2 * AUDITS[name].least for name, columns in result.audits.items() if _few(columns)]
    if not needed:
        return ""
    seeds = f"0-{max(SMALL_POOL, *needed) - 1}"
    runs = result.pool.candidates[result.label]
    return (
        f"{shown(result.label)}, {shown(result.pool.heading)}: {len(result.seeds)} trained "
        f"networks, and some audits need {max(needed)}; to make them: {with_seeds(runs, seeds)} "
        "(and the same with -method retrain and -method baseline)"
    )


def _few(columns):
    return isinstance(columns, Refusal) and "trained networks" in columns.reason


def with_seeds(runs: BySeed, seeds: str) -> str:
    """The command line of these runs, for other training seeds and with -outputs."""
    record = next(iter(runs.values()))
    words = shlex.split(record.get("command", ""))
    if "-train_seed" in words:
        place = words.index("-train_seed")
        del words[place : place + 2]
    if "-weight_path" in words:
        place = words.index("-weight_path")
        words[place + 1] = "CHECKPOINT"
    if "-outputs" not in words:
        words.append("-outputs")
    return shlex.join([*words, "-train_seed", seeds])


def spans(seeds: list[int]) -> str:
    """Ascending whole numbers as -train_seed takes them where they are one range; else the span."""
    return f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
