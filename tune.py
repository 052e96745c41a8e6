"""Find a method's hyper-parameters without a test image, by the distance to retrain.

    python tune.py forget_full_class_main.py -net ResNet18 -dataset Cifar20 -method ssd -gpu \\
        -forget_class vehicle2 [--also "-forget_class veg"] [--trials 50] [--range alpha=0.1,100]

After the script come its own flags. Optuna's TPE suggests values. Every fifth training image is
kept aside for validation (-validation): the network is pre-trained on the rest, and retrained
without D_f. What is minimised is each trial's distance to that retrain on the validation images:
the mean of |difference| in D_r, D_f and MIA, in points. --also adds forget sets, over which the
distance is averaged. Ranges stand in methods/*.py; they are searched logarithmically.

--out (tuning) keeps the study, an SQLite file, and a record a run: killed at any moment, the same
command goes on. At the end stand the best values as the line to put into a script, and a plot.
"""

import common.threads  # noqa: F401 (before torch)

import argparse
import contextlib
import io
import shlex
from pathlib import Path

from common.console import parser, run_script
from common.errors import UserError
from common.files import check_writable, claimed, write_whole
from methods import ALIASES, METHODS
from reports import style
from reports.scatter import ForgetSet, Trial, tuning
from runs.cache import WORKERS_CACHE, Cache
from runs.flags import arguments as script_arguments
from runs.identity import TUNED
from sweeps.lines import TASK_OF_SCRIPT
from sweeps.study import finished, resumed, successful, usable
from sweeps.tuning import (
    DIALS,
    Search,
    attempt,
    check_forget_set,
    goal,
    in_words,
    scores_in,
)

OUR_FLAGS = {f"-{name}" for name in TUNED}
# Flags of the scripts that make no sense here, and why.
REFUSED = {
    "-save": "every trial would write over the last one's network; forget with the best values "
    "afterwards, with -save",
}
LARGEST = 1e9  # end of a range


def main(argv=None):
    search = arguments(argv)
    check_writable(search.out)
    cache = Cache(WORKERS_CACHE)  # data, network and I_D are loaded once
    for line in search.lines:
        check_forget_set(search.script, line, cache)
    # 1. What every trial is measured against.
    goals = [goal(search.script, line, cache) for line in search.lines]
    # 2. Try values.
    path = search.path(goals[0]["weights_hash"])
    with claimed(path), usable(path):
        study = resumed(path)
        while (left := search.trials - len(finished(study))) > 0:
            with contextlib.redirect_stdout(io.StringIO()):
                result = attempt(search, study, goals, cache)
            print(f"[{left} left] {result}", flush=True)
        # 3. What is best.
        return show(search, study, goals)


# ---- what is asked for ----


def arguments(argv) -> Search:
    """The flags, read and checked, those of the script included."""
    args, rest = _flags().parse_known_args(argv)
    script = Path(args.script).stem
    if script not in TASK_OF_SCRIPT:
        names = ", ".join(f"{name}.py" for name in TASK_OF_SCRIPT)
        raise UserError(f"{args.script} is no forget script; name one of {names}")
    if args.trials < 1:
        raise UserError(f"--trials {args.trials}: it must be at least 1")
    method = ALIASES.get(args.method, args.method)
    lines = _lines(args, method, rest)
    for line in lines:  # so that what is wrong is said before the work
        script_arguments("", TASK_OF_SCRIPT[script], line)
    return Search(
        script=script,
        net=args.net,
        method=method,
        lines=lines,
        ranges=ranges(method, args.range),
        trials=args.trials,
        out=Path(args.out),
    )


def _flags():
    flags = parser(__doc__)
    flags.add_argument("script", help="a forget script; its own flags follow it")
    flags.add_argument("-net", required=True, help="as the script's")
    flags.add_argument("-method", required=True, help="as the script's")
    flags.add_argument("--trials", type=int, default=50)
    flags.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="FLAGS",
        help="the script's flags for a further forget set",
    )
    flags.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="NAME=LOW,HIGH",
        help="in place of the method's own",
    )
    flags.add_argument(
        "--out",
        default="tuning",
        metavar="DIR",
        help="where study, records and plot go (default: tuning)",
    )
    return flags


def _lines(args: argparse.Namespace, method: str, rest: list[str]) -> list[list[str]]:
    """The script's flags for each forget set."""
    try:
        also = [shlex.split(text) for text in args.also]
    except ValueError as error:
        raise UserError(f"--also: {error}") from error
    _refuse_flags(rest, also)
    line = ["-results", args.out, "-net", args.net, "-method", method]
    line += [*rest, "-validation", "-wandb", "disabled"]
    return [line, *[[*line, *words] for words in also]]


def _refuse_flags(words, also):
    """UserError where the script's flags hold one that is not for tune.py, or not for --also."""
    given = _flags_in(words)
    given_also = set().union(*map(_flags_in, also))
    for flag in sorted(REFUSED.keys() & (given | given_also)):
        raise UserError(f"{flag} is not for tune.py: {REFUSED[flag]}")
    for flag in sorted(OUR_FLAGS & (given | given_also)):
        raise UserError(f"{flag} is not for tune.py; omit it")
    for flag in sorted({"-net", "-method"} & given_also):
        raise UserError(
            f"{flag} is not for --also, which names a further forget set; omit it there"
        )


def _flags_in(words):
    return {word.split("=")[0] for word in words}


def ranges(method: str, texts: list[str]) -> dict:
    """{hyper-parameter: (low, high)} of a method: its own, but for those that --range names."""
    if not METHODS[method].ranges:
        tunable = ", ".join(name for name, entry in METHODS.items() if entry.ranges)
        raise UserError(f"{method} has nothing to tune; methods that have: {tunable}")
    chosen = dict(METHODS[method].ranges)
    for text in texts:
        name, _, ends = text.partition("=")
        try:
            kind = type(chosen[name][0])
            low, high = map(kind, ends.split(","))
        except (KeyError, ValueError):
            raise UserError(
                f"--range {text}: write NAME=LOW,HIGH with a name of {', '.join(chosen)}"
            ) from None
        if not 0 < low < high <= LARGEST:
            raise UserError(f"--range {text}: it must be that 0 < LOW < HIGH <= 1e9")
        chosen[name] = low, high
    return chosen


# ---- what has come of it ----


def show(search: Search, study, goals: list[dict]) -> dict:
    """Print the best values as the line to put into a script, write the plot; returns them."""
    if not successful(study):
        raise UserError("no trial has a result: all diverged; give other ranges with --range")
    best = study.best_trial
    values = best.user_attrs["values"]
    count = len(finished(study))
    print(f"best of {count} trials: distance {best.value:.2f} points to retrain")
    for name, (_, table) in DIALS.items():
        if name in values:
            row = f'"{search.method}": {{"{search.net}": {values[name]!r}}}'
            print(f"  {table} in {search.script}.py:   {row}")
    settings = {name: value for name, value in values.items() if name not in DIALS}
    if settings:
        print(f"  after -method {search.method}:   -set {in_words(settings)}")
    figure = _figure(search, study, goals)
    path = search.out / f"{study.study_name}.svg"
    write_whole(path, style.saved(figure, "svg"))
    write_whole(path.with_suffix(".pdf"), style.saved(figure, "pdf"))
    print(f"  plot: {path}, .pdf: {style.caption_of(figure)}")
    return values


def _figure(search, study, goals):
    """The trade-off of every trial."""
    trials = [Trial(trial.user_attrs["scores"], trial.value) for trial in successful(study)]
    best = study.best_trial.user_attrs["scores"]
    forget_sets = []
    for goal_record, best_scores in zip(goals, best, strict=True):
        name = goal_record["config"]["forget"]
        forget_sets.append(ForgetSet(name, scores_in(goal_record), best_scores))
    return tuning(search.method, forget_sets, trials)


if __name__ == "__main__":
    run_script(main)
