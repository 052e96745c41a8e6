"""A command line of a sweep as a job: its flags, what it needs, and what it makes."""

import argparse
import contextlib
import importlib
import io
import os
from dataclasses import dataclass

import pretrain_model
from methods import METHODS
from runs import flags
from runs.identity import goal_of
from runs.request import dial
from sweeps.lines import TASK_OF_SCRIPT, TRAINING, Line, Mistake


@dataclass(frozen=True)
class Start:
    """The network that a job starts from."""

    path: str  # absolute; the job waits for whoever makes this file
    source: str  # the file that it would start from now; empty: it is still to be trained
    named: bool  # whether the line names it, with -weight_path


@dataclass(frozen=True, eq=False)
class Job:
    """A command line that can run.

    makes, needs: products. A product is the network at a path, or the goal that runs are measured
    against. A job waits while another that makes what it needs is not finished.
    """

    line: Line
    args: argparse.Namespace  # its flags, read
    start: Start | None  # None: it trains from random weights
    makes: frozenset
    needs: frozenset
    trains: str = ""  # the path of the network that it trains
    saves: str = ""  # the path at which it keeps the unlearned network

    def __str__(self):
        return str(self.line)

    @property
    def rank(self) -> int:
        """Jobs of a lower rank start first; in a rank they keep the order of their lines."""
        if self.trains:
            return 0
        method = METHODS[self.args.method]
        return 1 if method.is_original or method.is_goal else 2

    @property
    def network(self) -> str:
        """The path of the network that it trains, or else starts from."""
        return self.trains or self.start.path


def read(line: Line) -> Job | Mistake:
    """The Job of a Line, or the Mistake where its flags are wrong."""
    job_of = _training if line.script == TRAINING else _forgetting
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return job_of(line)
    except (ValueError, OverflowError, OSError) as error:  # also paths that no system takes
        reason = str(error)
    except SystemExit:
        reason = "-h shows the flags of a script and runs nothing; omit the line"
    return Mistake(line.number, str(line), reason)


def _training(line):
    args = pretrain_model.arguments(list(line.argv))
    pretrain_model.chosen_recipe(args)  # UserError where a value cannot be
    start = None
    needs = set()
    if args.weight_path:
        path = os.path.abspath(args.weight_path)
        start = Start(path, source=args.weight_path, named=True)
        needs.add(_network(path))
    trains = os.path.abspath(args.out)
    makes = {_network(trains)}
    return Job(line, args, start, frozenset(makes), frozenset(needs), trains=trains)


def _forgetting(line):
    args = flags.arguments("", TASK_OF_SCRIPT[line.script], list(line.argv))
    _check_dials(line.script, args)
    start = _start(line, args)
    makes, needs = set(), {_network(start.path)}
    # A record says how the run stands to its goal, so the goal goes first: records do not depend
    # on who was faster.
    goal = ("goal", goal_of(args))
    if METHODS[args.method].is_goal:
        makes.add(goal)
    else:
        needs.add(goal)
    saves = os.path.abspath(args.save) if args.save else ""
    if saves:
        makes.add(_network(saves))
    return Job(line, args, start, frozenset(makes), frozenset(needs), saves=saves)


def _network(path):
    """The network at an absolute path, as a product."""
    return ("network", path)


def _check_dials(script, args):
    """UserError where a method's alpha or lambda is wrong, or neither given nor in the table."""
    method = METHODS[args.method]
    tables = importlib.import_module(script)
    if method.takes("alpha"):
        dial(args, "alpha", tables.ALPHA)
    if method.takes("lam"):
        dial(args, "lambda", tables.LAMBDA)


def _start(line, args):
    """The network that a forgetting run starts from."""
    named = any(word.split("=")[0] == "-weight_path" for word in line.argv)
    if named:
        path = os.path.abspath(args.weight_path)
        return Start(path, source=args.weight_path, named=True)
    path = os.path.abspath(flags.default_checkpoint(args, args.train_seed, args.protocol))
    # Under the released protocol this may be the paper's network.
    source = args.weight_path if os.path.exists(args.weight_path) else ""
    return Start(path, source=source, named=False)
