"""The flags of the scripts, read and checked."""

import argparse
import functools
import os
import shlex
import sys
import warnings
from pathlib import Path

import common
import corruption
import datasets
import duplicates
import mirror
import models
import numerics
from common import UserError
from methods import METHODS, SPELLINGS, kind_of, settable
from protocol import PROTOCOLS

BATCH_SIZE = {"full_class": 64, "sub_class": 64, "random": 128, "corrupted": 128}  # to which published alphas belong


def parser(doc):
    """An argument parser with the flags that pre-training and forgetting have in common."""
    flags = common.parser(doc)
    flags.add_argument("-net", required=True, choices=list(models.NETS))
    flags.add_argument("-dataset", required=True, choices=list(datasets.SETS))
    flags.add_argument("-data", default="data", metavar="DIR", help="where data sets lie; Folder: holds train/CLASS/, test/CLASS/")
    flags.add_argument("-classes", type=int, help="checked against the data (the released scripts need it)")
    flags.add_argument("-gpu", action="store_true", help="use the GPU")
    flags.add_argument("-dry_run", action="store_true", help="say whether this is done already, and do nothing")
    flags.add_argument("-numerics", choices=numerics.NUMERICS, default="fp32", help="tf32 and bf16 change results; recorded")
    flags.add_argument("-duplicates", choices=duplicates.HANDLING, default="keep",
                       help="what is done about images that are in the training and in the test set (keep)")  # fmt: skip
    flags.add_argument("-corruption", choices=corruption.CORRUPTIONS, help="of training data: a trigger, or wrong labels")
    flags.add_argument("-corrupt_count", type=int, metavar="N", help="how many training images are corrupted")
    flags.add_argument("-validation", action="store_true",
                       help="no test image is used: every fifth training image, untrained, stands in for them")  # fmt: skip
    flags.add_argument("-protocol", choices=list(PROTOCOLS), default="paper", help="protocol.py: where the released code departs")
    return flags


def variant(args):
    """What was done to the training data, as a word in the checkpoint's name; empty where nothing was."""
    if (args.corruption is None) != (args.corrupt_count is None):
        raise UserError("-corruption and -corrupt_count go together; give both, or neither")
    if args.corrupt_count is not None and args.corrupt_count < 1:
        raise UserError(f"-corrupt_count {args.corrupt_count}: it must be at least 1")
    words = []
    if args.validation:
        words.append("validation")
    if args.duplicates == "drop_train":
        words.append("drop_train")
    if args.corruption:
        words.append(f"{args.corruption}{args.corrupt_count}")
    return "-".join(words)


def data_set_name(args):
    """The data set as a checkpoint's name has it; a folder of images bears its own name too."""
    if args.dataset != "Folder":
        return args.dataset
    name = Path(args.data).resolve().name
    return f"Folder-{file_name(name)}"


def file_name(text):
    """The text as a part of a file's name."""
    letters = [c if c.isalnum() or c in "._" else "_" for c in text]
    return "".join(letters)[:60]


def default_checkpoint(args, train_seed, protocol):
    """The path at which pretrain_model.py leaves the network that these flags ask for."""
    return models.checkpoint_path(args.net, data_set_name(args), train_seed, protocol, variant(args))


def seed(text):
    """A seed as torch takes one."""
    if not 0 <= int(text) < 2**63:
        raise argparse.ArgumentTypeError("a seed lies between 0 and 2**63 - 1")
    return int(text)


@functools.cache  # a sweep reads thousands of lines
def forgetting(doc, task):
    """An argument parser with the flags of a forgetting script."""
    flags = parser(doc)
    if task == "random":
        flags.add_argument("-forget_perc", type=float, required=True, help="share of the training images, 0 to 1")
    elif task == "corrupted":
        flags.add_argument("-known_share", type=float, required=True, help="of the corrupted images that is known, above 0 to 1")
    else:
        flags.add_argument("-forget_class", required=True, help="name or number")
        flags.add_argument("-together", action="append", default=[], metavar="CLASS",
                           help="released protocol: another class to be dampened, its I_D taken in the same pass")  # fmt: skip
    flags.add_argument("-method", required=True, choices=[*METHODS, *SPELLINGS])
    flags.add_argument("-seed", type=seed, default=0, help="of the unlearning")
    flags.add_argument("-train_seed", type=seed, default=0, help="of the pre-training: which checkpoint")
    flags.add_argument("-weight_path", help="checkpoint; default checkpoints/{net}-{dataset}-seed{train_seed}.safetensors")
    flags.add_argument("-b", type=int, default=BATCH_SIZE[task], help="batch size (default %(default)s)")
    flags.add_argument("-alpha", type=float, help="dampening: overrides the script's table")
    flags.add_argument("-lambda", type=float, help="dampening: overrides the script's table")
    flags.add_argument("-importance", choices=["batch", "sample"], default="batch", help="square batch gradients or each sample's")
    flags.add_argument("-set", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
                       help="the method's other hyper-parameters, by the names in its file: -set epochs=3 lr=0.001")  # fmt: skip
    flags.add_argument("-superclasses", type=int, help="checked against the data")
    flags.add_argument("-subclasses", type=int, help="checked against the data")
    flags.add_argument("-results", default="results", metavar="DIR", help="where the record goes")
    flags.add_argument("-wandb", choices=["auto", "online", "offline", "disabled"], default="auto",
                       help="auto: send records where you are logged in; offline: keep local runs; disabled: nothing")  # fmt: skip
    flags.add_argument("-save", metavar="PATH", help="keep the unlearned network there, as .safetensors (score.py scores it again)")
    flags.add_argument("-force", action="store_true", help="run again though the record is there")
    return flags


def arguments(doc, task, argv):
    """The flags of a forgetting script, read; UserError for what cannot be."""
    argv = sys.argv[1:] if argv is None else argv
    args = forgetting(doc, task).parse_args(argv)
    args.command = shlex.join(["python", f"forget_{task}_main.py", *map(str, argv)])
    args.task, args.method = task, SPELLINGS.get(args.method, args.method)
    args.set = settings(args.method, args.set)
    if task == "corrupted" and not args.corruption:
        raise UserError("what is corrupted? give -corruption patch or label and -corrupt_count, as at pre-training")
    if task != "corrupted" and args.corruption:
        raise UserError("-corruption says what forget_corrupted_main.py heals, and belongs to it and to pre-training alone")
    if task == "random" and not 0 < args.forget_perc < 1:
        raise UserError(f"-forget_perc {args.forget_perc}: name a share of the training images between 0 and 1")
    if task == "corrupted" and not 0 < args.known_share <= 1:
        raise UserError(f"-known_share {args.known_share}: it lies above 0 and is at most 1")
    if task in ("full_class", "sub_class"):
        _check_class(args)
    args.weight_path = args.weight_path or _found_checkpoint(args)
    if args.save:
        _check_save(args)
    if args.b < 1:
        raise UserError(f"-b {args.b}: a batch holds at least one image")
    mirror.check(args.wandb)
    warnings.filterwarnings("always", message="alpha =")  # at every run of a sweep, not once
    return args


def _check_class(args):
    """UserError where the set has no such class, before anything is loaded."""
    classes, fine_classes = datasets.class_names(args.dataset, args.data)
    if args.task == "full_class":
        datasets.class_number(args.forget_class, classes)
        return
    datasets.check_sub_classes(args.dataset, classes, fine_classes)
    datasets.class_number(args.forget_class, fine_classes)


def _check_save(args):
    if Path(args.save).suffix != ".safetensors":
        raise UserError(f"-save {args.save}: networks are kept as .safetensors files; name it so")
    if os.path.abspath(args.save) == os.path.abspath(args.weight_path):
        raise UserError(f"-save {args.save} is the network that this run starts from; name another file")


def settings(method, texts):
    """{name: value} of NAME=VALUE texts by name; UserError for what does not fit the method's signature."""
    own = settable(method)
    chosen = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in own:
            has = ", ".join(f"{name}={p.default}" for name, p in own.items()) or "nothing to set"
            raise UserError(f"-set {text}: {method} has {has}")
        if name in chosen:
            raise UserError(f"-set {text}: {name} is given twice")
        chosen[name] = _value(text, name, value, kind_of(own[name]))
    return {name: chosen[name] for name in sorted(chosen)}


def _value(text, name, value, kind):
    if isinstance(kind, tuple):
        if value not in kind:
            raise UserError(f"-set {text}: {name} is one of {', '.join(kind)}")
        return value
    try:
        number = kind(value)
    except ValueError:
        raise UserError(f"-set {text}: {name} takes {'a whole' if kind is int else 'a'} number") from None
    if not (kind is int) <= number <= (1e9 if kind is int else 1e30):
        raise UserError(f"-set {text}: counts lie between 1 and 1e9, other numbers between 0 and 1e30")
    return number


def _found_checkpoint(args):
    """What pretrain_model.py leaves under the run's protocol; where there is none, the paper's is taken, aloud."""
    own = str(default_checkpoint(args, args.train_seed, args.protocol))
    papers = str(default_checkpoint(args, args.train_seed, "paper"))
    if Path(own).exists() or own == papers:
        return own
    print(f"there is no {own}, so {papers}, pre-trained under protocol paper, is taken")
    return papers
