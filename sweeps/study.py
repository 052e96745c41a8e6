"""An Optuna study in an SQLite file, which goes on where it was stopped."""

from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, Trial, TrialState

from common.errors import CannotWrite

# What SQLite says, and what the user can do about it.
WAYS_OUT = {
    "not a database": "it is damaged: remove it, and the search starts again (records stay)",
    "malformed": "it is damaged: remove it, and the search starts again (records stay)",
    "full": "make room, and the same command goes on",
    "readonly": "make it writable, or name another folder with --out",
    "unable to open": "make it writable, or name another folder with --out",
}
USUAL_WAY_OUT = "name another folder with --out, on a local disk if this is a network's"


def resumed(path: Path) -> optuna.Study:
    """The study kept in `path`, or a new one. Trials that were killed are queued again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{path}", study_name=path.stem, load_if_exists=True
    )
    # Another seed after a stop, so that the next values are other ones.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    count = len(finished(study))
    if count:
        print(f"going on after {count} trials, kept in {path}", flush=True)
    return study


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that need not be made again: with a result, or diverged."""
    states = [TrialState.COMPLETE, TrialState.PRUNED]
    return study.get_trials(deepcopy=False, states=states)


def successful(study: optuna.Study) -> list[FrozenTrial]:
    """The trials with a result."""
    return study.get_trials(states=[TrialState.COMPLETE])


def suggested(trial: Trial, name: str, low, high):
    """A value between both ends, four digits of it: its order of magnitude is searched."""
    if type(low) is int and type(high) is int:
        return trial.suggest_int(name, low, high)
    value = trial.suggest_float(name, low, high, log=True)
    return float(f"{value:.4g}")


@contextmanager
def usable(path: Path):
    """A context in which a study's file that SQLite cannot use is a CannotWrite."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.DatabaseError) as error:
        raise unusable(path, error) from error


def unusable(path, error: BaseException) -> CannotWrite:
    """The error for a study's file that SQLite cannot use."""
    while error.__cause__ or error.__context__:  # SQLite's own words are the innermost
        error = error.__cause__ or error.__context__
    reason = str(error)
    way_out = USUAL_WAY_OUT
    for words, way in WAYS_OUT.items():
        if words in reason:
            way_out = way
            break
    return CannotWrite(f"{path} cannot be used ({reason}); {way_out}")
