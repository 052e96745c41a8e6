"""The four tasks, and what the harness must know of each. Nothing else compares a task's name."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import datasets
import splits
from common.errors import UserError


@dataclass(frozen=True)
class Task:
    """What is to be forgotten, and what the harness must know of it."""

    name: str  # also the name of the folder in which records lie
    title: str  # of its tables
    batch_size: int  # of the released scripts, to which the published alphas belong
    add_flags: Callable  # (parser): the task's own flags
    check: Callable  # (args): UserError where its flags cannot be
    forgotten: Callable  # (args, split) -> what is forgotten, in the record's words
    forget_name: str = "D_f"  # the accuracy on what is forgotten, for the terminal
    verb: str = "Forgotten"  # over a section of a table
    share_of: str = ""  # after the forgotten share, in a table's heading
    averaged: str = ""  # what a table averages over; empty: D_f is drawn by the unlearning seed
    heals: bool = False  # whether the accuracy on D_f is to rise; then a low one is no collapse
    counts_either: bool = False  # -classes may also be the number of sub-classes, as released

    @property
    def script(self) -> str:
        """The name of its script, without .py."""
        return f"forget_{self.name}_main"

    @property
    def forgets_class(self) -> bool:
        """Whether D_f is a class or a sub-class: the same images for every seed."""
        return bool(self.averaged)


# ---- their flags ----


def _class_flags(parser):
    parser.add_argument("-forget_class", required=True, help="name or number")
    # of older versions, which took several importances in one pass
    parser.add_argument("-together", action="append", default=[], help=argparse.SUPPRESS)


def _random_flags(parser):
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("-forget_perc", type=float, help="share of the training images, 0 to 1")
    which.add_argument(
        "-forget_list",
        metavar="FILE",
        help="these training images: their positions from 0, a line each",
    )


def _corrupted_flags(parser):
    parser.add_argument(
        "-known_share",
        type=float,
        required=True,
        help="of the corrupted images that is known, above 0 to 1",
    )


def _check_no_corruption(args):
    if args.corruption:
        raise UserError(
            "-corruption says what forget_corrupted_main.py heals; omit it in the other scripts"
        )


def _check_class(args):
    _check_no_corruption(args)
    classes, _ = datasets.class_names(args.dataset, args.data)
    splits.class_number(args.forget_class, classes)


def _check_sub_class(args):
    _check_no_corruption(args)
    classes, fine_classes = datasets.class_names(args.dataset, args.data)
    splits.check_sub_classes(args.dataset, classes, fine_classes)
    splits.class_number(args.forget_class, fine_classes)


def _check_random(args):
    _check_no_corruption(args)
    if args.forget_list is not None:
        splits.read_positions(args.forget_list)
    elif not 0 < args.forget_perc < 1:
        raise UserError(
            f"-forget_perc {args.forget_perc}: name a share of the training images between 0 and 1"
        )


def _check_corrupted(args):
    if not args.corruption:
        raise UserError(
            "what is corrupted? give -corruption patch, label, confusion or gaussian and "
            "-corrupt_count, as at pre-training"
        )
    if not 0 < args.known_share <= 1:
        raise UserError(f"-known_share {args.known_share}: it lies above 0 and is at most 1")


# ---- what is forgotten, in the record's words ----


def _class_name(args, split):
    return split.full.classes[split.forget_class]


def _sub_class_name(args, split):
    return split.full.fine_classes[int(split.forget.fine_labels[0])]


def _share(args, split):
    if args.forget_list is not None:
        return f"{len(split.forget)} of {Path(args.forget_list).stem}"
    return str(args.forget_perc)


def _corruption(args, split):
    return f"{args.corrupt_count} {args.corruption} known {args.known_share:g}"


FULL_CLASS = Task(
    name="full_class",
    title="Forget one class",
    batch_size=64,
    add_flags=_class_flags,
    check=_check_class,
    forgotten=_class_name,
    averaged="classes",
)
SUB_CLASS = Task(
    name="sub_class",
    title="Forget one sub-class",
    batch_size=64,
    add_flags=_class_flags,
    check=_check_sub_class,
    forgotten=_sub_class_name,
    averaged="sub-classes",
    counts_either=True,
)
RANDOM = Task(
    name="random",
    title="Forget random images",
    batch_size=128,
    add_flags=_random_flags,
    check=_check_random,
    forgotten=_share,
    share_of=" of the training images",
)
CORRUPTED = Task(
    name="corrupted",
    title="Heal corrupted training data",
    batch_size=128,
    add_flags=_corrupted_flags,
    check=_check_corrupted,
    forgotten=_corruption,
    forget_name="healed",
    verb="Corrupted",
    heals=True,
)
TASKS = {task.name: task for task in (FULL_CLASS, SUB_CLASS, RANDOM, CORRUPTED)}
