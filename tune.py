"""Find a method's hyper-parameters without a test image: Optuna's TPE, by the distance to retrain on validation images.

    python tune.py forget_full_class_main.py -net ResNet18 -dataset Cifar20 -forget_class vehicle2 -method ssd -gpu \\
        [--trials 50] [--also "-forget_class veg"] [--range alpha=0.1,100] [--out tuning]

After the script come its own flags. Every fifth training image is kept aside for validation (-validation): the network is
pre-trained on the rest, retrained without D_f, and each trial's distance to that retrain (mean of |difference| in D_r, D_f
and MIA, points, on those images) is what is minimised, averaged over the forget sets that --also adds. Ranges:
methods/*.py, searched logarithmically. OUT keeps the study, an SQLite file, and a record a run: killed at any moment, the
same command goes on. At the end stand the best values as the line to put into a script, and a plot of the trade-off.
"""

import common.threads  # noqa: F401 (before torch)

import contextlib
import importlib
import io
import shlex
import statistics
import time
from pathlib import Path

import optuna
import sqlalchemy
from optuna.trial import TrialState

from common.console import parser, run_script
from common.errors import CannotWrite, Claimed, Diverged, UserError
from common.files import Claim, check_writable, sha256, write_whole
from methods import ALIASES, METHODS
from reports import figures, style
from reports.summary import SCORES
from runs.cache import persist
from runs.flags import arguments as script_flags
from sweeps import plan, worker

COMPLETE, PRUNED, RUNNING, FAILED = (
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.RUNNING,
    TrialState.FAIL,
)
DIALS = {
    "alpha": ("-alpha", "ALPHA"),
    "lam": ("-lambda", "LAMBDA"),
}  # flag and script's table; the others are -set NAME=VALUE
OURS = {
    "-set",
    "-results",
    "-validation",
    "-force",
    "-dry_run",
    "-wandb",
    "-alpha",
    "-lambda",
}  # flags that are set here
REFUSED = {  # flags of the scripts that make no sense here, and why
    "-save": "every trial would write over the last one's network; forget with the best values afterwards, with -save",
}


def main(argv=None):
    args, script, lines = arguments(argv)
    ranges = chosen_ranges(args.method, args.range)
    check_writable(args.out)
    persist()  # data, network and I_D are loaded once
    for line in lines:
        check_forget_set(script, line)
    # 1. What every trial is measured against.
    wanted = [goal(script, line) for line in lines]
    # 2. Try values.
    path = study_path(args, script, lines, ranges, wanted[0]["weights_hash"])
    claimed = Claim(path, waits=True)
    try:
        study = resumed(path)
        while (left := args.trials - len(finished(study))) > 0:
            print(f"[{left} left] {attempt(study, script, lines, ranges, wanted)}", flush=True)
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.DatabaseError) as error:
        raise unusable(path, error) from error
    finally:
        claimed.end()
    # 3. What is best.
    return shown(study, args, script, wanted)


def arguments(argv):
    """(our flags, the script's name, its command lines: one a forget set)."""
    flags = parser(__doc__)
    flags.add_argument("script", help="a forget script, its own flags behind it")
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
    args, rest = flags.parse_known_args(argv)
    script = Path(args.script).stem
    if script not in worker.SCRIPTS or script == "pretrain_model":
        names = ", ".join(f"{name}.py" for name in worker.SCRIPTS[1:])
        raise UserError(f"{args.script} is no forget script; name one of {names}")
    if args.trials < 1:
        raise UserError(f"--trials {args.trials}: it must be at least 1")
    try:
        also = [shlex.split(text) for text in args.also]
    except ValueError as error:
        raise UserError(f"--also: {error}") from error
    refuse_flags(rest, [word for words in also for word in words])
    args.method = ALIASES.get(args.method, args.method)
    own = [
        "-results",
        args.out,
        "-net",
        args.net,
        "-method",
        args.method,
        *rest,
        "-validation",
        "-wandb",
        "disabled",
    ]
    lines = [own, *[[*own, *words] for words in also]]
    for line in lines:
        script_flags(
            "", plan.task_of(script), line
        )  # so that what is wrong is said before the work
    return args, script, lines


def refuse_flags(script_words, also_words):
    """UserError where the words of a command line hold a flag that is not for tune.py, or not for --also."""
    given = {word.split("=")[0] for word in script_words}
    also = {word.split("=")[0] for word in also_words}
    for flag in sorted(REFUSED.keys() & (given | also)):
        raise UserError(f"{flag} is not for tune.py: {REFUSED[flag]}")
    for flag in sorted(OURS & (given | also)):
        raise UserError(f"{flag} is not for tune.py, which sets it itself; omit it")
    for flag in sorted({"-net", "-method"} & also):
        raise UserError(
            f"{flag} is not for --also, which names a further forget set; omit it there"
        )


def check_forget_set(script, line):
    """UserError where the data, the forget set in them or a checkpoint that is named are not there.

    Said before any training; the data stay loaded for the runs.
    """
    jobs = plan.plan([(script, goal_line(script, line))])
    for job in jobs:
        if job.mistake:
            raise UserError(job.mistake)
    args = script_flags("", plan.task_of(script), line)
    if len(jobs) > 1:  # the network is still to be trained
        args.weight_path = None
    importlib.import_module(script).split_of(args)


def unusable(path, error):
    """The CannotWrite for a study's file that SQLite cannot use."""
    while error.__cause__ or error.__context__:  # SQLite's own words are the innermost
        error = error.__cause__ or error.__context__
    reason = str(error)
    if "not a database" in reason or "malformed" in reason:
        way_out = "it is damaged: remove it, and the search starts again (records stay)"
    elif "full" in reason:
        way_out = "make room, and the same command goes on"
    elif "readonly" in reason or "unable to open" in reason:
        way_out = "make it writable, or name another folder with --out"
    else:
        way_out = "name another folder with --out, on a local disk if this is a network's"
    return CannotWrite(f"{path} cannot be used ({reason}); {way_out}")


def chosen_ranges(method, texts):
    """{hyper-parameter: (low, high)}."""
    if method not in METHODS:
        raise UserError(
            f"-method {method}: there is no such method; the methods are {', '.join(METHODS)}"
        )
    if not METHODS[method].ranges:
        tunable = ", ".join(name for name, entry in METHODS.items() if entry.ranges)
        raise UserError(f"{method} has nothing to tune; methods that have: {tunable}")
    ranges = dict(METHODS[method].ranges)
    for text in texts:
        name, _, ends = text.partition("=")
        try:
            low, high = (type(ranges[name][0])(end) for end in ends.split(","))
        except (KeyError, ValueError):
            raise UserError(
                f"--range {text}: write NAME=LOW,HIGH with a name of {', '.join(ranges)}"
            ) from None
        if not 0 < low < high <= 1e9:
            raise UserError(f"--range {text}: it must be that 0 < LOW < HIGH <= 1e9")
        ranges[name] = low, high
    return ranges


def suggested(trial, name, low, high):
    """A value between both ends, four digits of it: its order of magnitude is searched, not its size."""
    if type(low) is int and type(high) is int:
        return trial.suggest_int(name, low, high)
    return float(f"{trial.suggest_float(name, low, high, log=True):.4g}")


def run(script, line):
    """The record of one run; waits while another process is at it."""
    while True:
        with contextlib.suppress(Claimed):
            return importlib.import_module(script).main(line)
        time.sleep(1)


def goal(script, line):
    """The record of the network retrained without D_f (corrupted data: without all that is corrupted).

    The network that all trials start from is pre-trained before it, where it is missing.
    """
    for job in plan.plan([(script, goal_line(script, line))]):
        print(job, flush=True)
        record = run(job.script, job.argv)
    return record


def goal_line(script, line):
    """The command line of what all trials of a forget set are measured against."""
    line = [*line, "-method", "retrain"]  # of a flag that is given twice the last one counts
    if script == "forget_corrupted_main":
        line += ["-known_share", "1"]
    return line


def tried(script, line, values, goal):
    """(distance to the goal's record in points, {score: percent}) of the run with these values."""
    dials = [
        word
        for name, (flag, _) in DIALS.items()
        if name in values
        for word in (flag, repr(values[name]))
    ]
    sets = [f"{name}={value!r}" for name, value in values.items() if name not in DIALS]
    with contextlib.redirect_stdout(io.StringIO()):
        scores = run(script, [*line, *dials, *(["-set", *sets] if sets else [])])["scores"]
    found = {name: scores[score] for name, score in SCORES.items()}
    return statistics.fmean(
        abs(found[name] - goal["scores"][score]) for name, score in SCORES.items()
    ), found


# ---- the study ----


def study_path(args, script, lines, ranges, weights):
    """The file of the study of this very command and network."""
    key = sha256(repr(([line[2:] for line in lines], sorted(ranges.items()))), weights)[:10]
    return Path(args.out).absolute() / f"{script}-{args.method}-{key}.db"


def resumed(path):
    """The Optuna study in that file, as far as it is; a trial that was killed comes first again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{path}", study_name=path.stem, load_if_exists=True
    )
    study.sampler = optuna.samplers.TPESampler(
        seed=len(study.trials)
    )  # the next draws are other ones after a stop
    for trial in study.get_trials(states=[RUNNING]):
        study.tell(trial.number, state=FAILED)
        study.enqueue_trial(trial.params)
    if there := len(finished(study)):
        print(f"going on after {there} trials, kept in {path}", flush=True)
    return study


def finished(study):
    """Trials with a result; those whose network diverged are among them."""
    return study.get_trials(deepcopy=False, states=[COMPLETE, PRUNED])


def attempt(study, script, lines, ranges, wanted):
    """One trial: values suggested, every forget set tried, the mean distance told."""
    trial = study.ask()
    values = {name: suggested(trial, name, *ends) for name, ends in ranges.items()}
    try:
        pairs = [
            tried(script, line, values, goal) for line, goal in zip(lines, wanted, strict=True)
        ]
    except Diverged as error:
        study.tell(trial, state=PRUNED)
        return f"{error}   {said(values)}"
    distance = statistics.fmean(distance for distance, _ in pairs)
    trial.set_user_attr("values", values)
    trial.set_user_attr("scores", [scores for _, scores in pairs])
    study.tell(trial, distance)
    return f"distance {distance:.2f}   {said(values)}"


def said(values):
    return " ".join(f"{name}={value!r}" for name, value in values.items())


def shown(study, args, script, wanted):
    """Print what is best as the line to put into a script; write the plot; returns the best values."""
    if not study.get_trials(states=[COMPLETE]):
        raise UserError("no trial has a result: all diverged; give other ranges with --range")
    best, method, values = study.best_trial, args.method, study.best_trial.user_attrs["values"]
    print(f"best of {len(finished(study))} trials: distance {best.value:.2f} points to retrain")
    for name, (_, table) in DIALS.items():
        if name in values:
            print(f'  {table} in {script}.py:   "{method}": {{"{args.net}": {values[name]!r}}}')
    if sets := {name: value for name, value in values.items() if name not in DIALS}:
        print(f"  behind -method {method}:   -set {said(sets)}")
    points = [
        (trial.user_attrs["scores"], trial.value) for trial in study.get_trials(states=[COMPLETE])
    ]
    goals = [{name: record["scores"][score] for name, score in SCORES.items()} for record in wanted]
    titles = [record["config"]["forget"] for record in wanted]
    path = Path(args.out) / f"{study.study_name}.png"
    write_whole(
        path,
        style.saved(
            figures.tuning(method, titles, points, goals, best.user_attrs["scores"]), "png"
        ),
    )
    print(f"  plot: {path}")
    return values


if __name__ == "__main__":
    run_script(main)
