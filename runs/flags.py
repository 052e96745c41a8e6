"""The flags of the scripts, read and checked."""

import argparse
import functools
import os
import shlex
import sys
import warnings
from pathlib import Path

import datasets
import methods
import models
from common import console
from common.errors import UserError
from common.files import file_name
from common.references import is_outside
from learning import corruption, duplicates, numerics
from learning.protocol import PROTOCOLS
from learning.recipes import FAST, PUBLISHED
from methods import ALIASES, METHODS
from runs import checkpoints, published, wandb_mirror
from runs.tasks import Task


def parser(doc: str) -> argparse.ArgumentParser:
    """An argument parser with the flags that pre-training and forgetting have in common."""
    flags = console.parser(doc)
    flags.add_argument(
        "-net",
        required=True,
        type=_name_in(models.NETS),
        help="a name, timm/NAME, torchvision/NAME, or file.py:function (docs/extending.md)",
    )
    flags.add_argument(
        "-dataset",
        required=True,
        type=_name_in(datasets.SETS),
        help="a name, or file.py:function",
    )
    flags.add_argument(
        "-data",
        default="data",
        metavar="DIR",
        help="where data sets lie; Folder: holds train/CLASS/, test/CLASS/ (or CLASS/SUBCLASS/)",
    )
    flags.add_argument(
        "-classes", type=int, help="checked against the data (the released scripts need it)"
    )
    flags.add_argument(
        "-recipe",
        choices=[PUBLISHED, FAST],
        default=PUBLISHED,
        help="by which the network is trained, or was; fast: in a third of the time",
    )
    flags.add_argument("-gpu", action="store_true", help="use the GPU")
    flags.add_argument(
        "-dry_run", action="store_true", help="say whether this is done already, and do nothing"
    )
    flags.add_argument(
        "-numerics",
        choices=numerics.NUMERICS,
        default="fp32",
        help="tf32 and bf16 change results; recorded",
    )
    _add_flags_of_training_data(flags)
    flags.add_argument(
        "-protocol",
        choices=list(PROTOCOLS),
        default="paper",
        help="released: replay where the released code departs (learning/protocol.py)",
    )
    return flags


def _add_flags_of_training_data(flags):
    """What is left out of the training images, or changed in them."""
    flags.add_argument(
        "-normalise",
        choices=["cifar100", "own"],
        default="cifar100",
        help="by whose colours' mean and deviation: CIFAR-100's, or those of the training images",
    )
    flags.add_argument(
        "-duplicates",
        choices=duplicates.HANDLING,
        default="keep",
        help="what is done about images that are in the training and in the test set (keep)",
    )
    flags.add_argument(
        "-corruption",
        choices=corruption.CORRUPTIONS,
        help="of training data: a trigger, wrong labels, or noise",
    )
    flags.add_argument(
        "-corrupt_count", type=int, metavar="N", help="how many training images are corrupted"
    )
    flags.add_argument(
        "-validation",
        action="store_true",
        help="use no test image: every fifth training image, untrained, stands in for them",
    )


@functools.cache  # a sweep reads thousands of lines
def forgetting(doc: str, task: Task) -> argparse.ArgumentParser:
    """An argument parser with the flags of a forgetting script."""
    flags = parser(doc)
    task.add_flags(flags)
    flags.add_argument(
        "-method",
        required=True,
        type=_name_in([*METHODS, *ALIASES]),
        help="a name, or file.py:function",
    )
    _add_seeds(flags)
    flags.add_argument(
        "-weight_path",
        help="checkpoint, or published:NAME of published/INDEX.json; "
        "default checkpoints/{net}-{dataset}-seed{train_seed}.safetensors",
    )
    flags.add_argument(
        "-b", type=int, default=task.batch_size, help="batch size (default %(default)s)"
    )
    flags.add_argument("-alpha", type=float, help="dampening: overrides the script's table")
    flags.add_argument("-lambda", type=float, help="dampening: overrides the script's table")
    flags.add_argument(
        "-importance",
        choices=["batch", "sample"],
        default="batch",
        help="square batch gradients or each sample's",
    )
    flags.add_argument(
        "-set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="the method's other hyper-parameters, by the names in its file: -set epochs=3 lr=0.1",
    )
    flags.add_argument("-superclasses", type=int, help="checked against the data")
    flags.add_argument("-subclasses", type=int, help="checked against the data")
    _add_flags_of_results(flags)
    return flags


def _add_seeds(flags):
    """Of the unlearning and of the pre-training."""
    flags.add_argument(
        "-seed",
        type=seed,
        default=0,
        metavar="N",
        help="of the unlearning; a range as 0-4 stands for a run each",
    )
    flags.add_argument(
        "-train_seed",
        type=seed,
        default=0,
        metavar="N",
        help="of the pre-training: which checkpoint; a range as 0-31 stands for a run each",
    )


def _add_flags_of_results(flags):
    """What a run leaves, and where."""
    flags.add_argument("-results", default="results", metavar="DIR", help="where the record goes")
    flags.add_argument(
        "-wandb",
        choices=["auto", "online", "offline", "disabled"],
        default="auto",
        help="auto: send records where you are logged in; offline: keep local runs",
    )
    flags.add_argument(
        "-save",
        metavar="PATH",
        help="keep the unlearned network there, as .safetensors (score.py scores it again)",
    )
    flags.add_argument(
        "-outputs",
        action="store_true",
        help="keep the network's outputs next to the record, for audit.py (0.4 MB at 10 classes)",
    )
    flags.add_argument(
        "-probes",
        action="store_true",
        help="-outputs, and what the features and a few steps of relearning tell (docs/audit.md)",
    )
    flags.add_argument("-force", action="store_true", help="run again though the record is there")


def _name_in(names):
    """A type of argparse: one of the names, or what stands outside."""

    def name(text: str) -> str:
        if text not in names and not is_outside(text):
            raise argparse.ArgumentTypeError(
                f"invalid choice: {text!r} (choose from {', '.join(names)}, or file.py:function)"
            )
        return text

    return name


def seed(text: str) -> int:
    """A seed as torch takes one."""
    if not 0 <= int(text) < 2**63:
        raise argparse.ArgumentTypeError("a seed lies between 0 and 2**63 - 1")
    return int(text)


def arguments(doc: str, task: Task, argv: list | None) -> argparse.Namespace:
    """The flags of a forgetting script, read; UserError for what cannot be."""
    argv = sys.argv[1:] if argv is None else argv
    args = forgetting(doc, task).parse_args(argv)
    args.command = shlex.join(["python", f"{task.script}.py", *map(str, argv)])
    args.task = task.name
    args.method = ALIASES.get(args.method, args.method)
    args.set = methods.settings(args.method, args.set)
    args.outputs = args.outputs or args.probes
    task.check(args)
    args.weight_path = published.weight_path(args.weight_path) or _found_checkpoint(args)
    if args.save:
        _check_save(args)
    if args.b < 1:
        raise UserError(f"-b {args.b}: a batch holds at least one image")
    wandb_mirror.check(args.wandb)
    warnings.filterwarnings("always", message="alpha =")  # at every run of a sweep, not once
    return args


def _check_save(args):
    if Path(args.save).suffix != ".safetensors":
        raise UserError(f"-save {args.save}: networks are kept as .safetensors files; name it so")
    if os.path.abspath(args.save) == os.path.abspath(args.weight_path):
        raise UserError(
            f"-save {args.save} is the network that this run starts from; name another file"
        )


# ---- which checkpoint the flags ask for ----


def default_checkpoint(args: argparse.Namespace, train_seed: int, protocol: str) -> Path:
    """The path at which pretrain_model.py leaves the network that these flags ask for."""
    return checkpoints.checkpoint_path(
        args.net, _data_set_name(args), train_seed, protocol, _variant(args)
    )


def _found_checkpoint(args):
    """What pretrain_model.py leaves under the run's protocol, else the paper's, with a word."""
    by_protocol = str(default_checkpoint(args, args.train_seed, args.protocol))
    by_paper = str(default_checkpoint(args, args.train_seed, "paper"))
    if Path(by_protocol).exists() or by_protocol == by_paper:
        return by_protocol
    print(f"there is no {by_protocol}, so {by_paper}, pre-trained under protocol paper, is taken")
    return by_paper


def _variant(args):
    """What was done to the training data, as a word in the checkpoint's name; often empty."""
    if (args.corruption is None) != (args.corrupt_count is None):
        raise UserError("-corruption and -corrupt_count go together; give both, or neither")
    if args.corrupt_count is not None and args.corrupt_count < 1:
        raise UserError(f"-corrupt_count {args.corrupt_count}: it must be at least 1")
    words = []
    if args.recipe != PUBLISHED:
        words.append(args.recipe)
    if args.normalise == "own":
        words.append("own_colours")
    if args.validation:
        words.append("validation")
    if args.duplicates == "drop_train":
        words.append("drop_train")
    if args.corruption:
        words.append(f"{args.corruption}{args.corrupt_count}")
    return "-".join(words)


def _data_set_name(args):
    """The data set as a checkpoint's name has it; a folder of images bears its own name too."""
    if args.dataset != "Folder":
        return file_name(args.dataset)
    name = Path(args.data).resolve().name
    return f"Folder-{file_name(name)}"
