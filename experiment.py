"""What every forgetting run shares: its flags, its data and network, the stopwatch, the record it leaves."""

import argparse
import inspect
import platform
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch

import datasets
import importances
import metrics
import mirror
import models
import records
from common import UserError, check_writable, refuse, sha256
from methods import METHODS, SPELLINGS
from methods.ssd import full as full_importance
from protocol import PROTOCOLS
from training import recipe

PLACES = ("data", "weight_path", "results", "wandb", "force", "classes", "superclasses", "subclasses", "forget_class")
BATCH_SIZE = {"full_class": 64, "sub_class": 64, "random": 128}  # those to which the published alpha and lambda belong


def parser(doc):
    """An argument parser with the flags that pre-training and forgetting have in common; its errors are UserErrors."""
    flags = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    flags.error = refuse
    flags._get_option_tuples = lambda word: []  # allow_abbrev=False lets abbreviations of one dash through
    flags.add_argument("-net", required=True, choices=list(models.NETS))
    flags.add_argument("-dataset", required=True, choices=list(datasets.SETS))
    flags.add_argument("-data", default="data", metavar="DIR", help="where data sets lie; Folder: holds train/CLASS/, test/CLASS/")
    flags.add_argument("-classes", type=int, help="checked against the data (the released scripts need it)")
    flags.add_argument("-gpu", action="store_true", help="use the GPU")
    flags.add_argument("-protocol", choices=list(PROTOCOLS), default="paper", help="protocol.py: where the released code departs")
    return flags


def seed(text):
    """A seed as torch takes one."""
    if not 0 <= int(text) < 2**63:
        raise argparse.ArgumentTypeError("a seed lies between 0 and 2**63 - 1")
    return int(text)


def arguments(doc, task, argv):
    """The flags of a forgetting script, read; UserError for what cannot be."""
    flags = parser(doc)
    if task == "random":
        flags.add_argument("-forget_perc", type=float, required=True, help="share of the training images, 0 to 1")
    else:
        flags.add_argument("-forget_class", required=True, help="name or number")
    flags.add_argument("-method", required=True, choices=[*METHODS, *SPELLINGS])
    flags.add_argument("-seed", type=seed, default=0, help="of the unlearning")
    flags.add_argument("-train_seed", type=seed, default=0, help="of the pre-training: which checkpoint")
    flags.add_argument("-weight_path", help="checkpoint; default checkpoints/{net}-{dataset}-seed{train_seed}.safetensors")
    flags.add_argument("-b", type=int, default=BATCH_SIZE[task], help="batch size (default %(default)s)")
    flags.add_argument("-alpha", type=float, help="dampening: overrides the script's table")
    flags.add_argument("-lambda", type=float, help="dampening: overrides the script's table")
    flags.add_argument("-importance", choices=["batch", "sample"], default="batch", help="square batch gradients or each sample's")
    flags.add_argument("-superclasses", type=int, help="checked against the data")
    flags.add_argument("-subclasses", type=int, help="checked against the data")
    flags.add_argument("-results", default="results", metavar="DIR", help="where the record goes")
    flags.add_argument("-wandb", choices=["auto", "online", "offline", "disabled"], default="auto")
    flags.add_argument("-force", action="store_true", help="run again though the record is there")
    args = flags.parse_args(argv)
    args.task, args.method = task, SPELLINGS.get(args.method, args.method)
    args.weight_path = args.weight_path or _default_checkpoint(args)
    if args.b < 1:
        raise UserError(f"-b {args.b}: a batch holds at least one image")
    mirror.check(args.wandb)
    warnings.filterwarnings("always", message="alpha =")  # at every run of a sweep, not once
    return args


def _default_checkpoint(args):
    """What pretrain_model.py leaves under the run's protocol; where there is none, the paper's is taken, aloud."""
    paths = [str(models.checkpoint_path(args.net, args.dataset, args.train_seed, name)) for name in (args.protocol, "paper")]
    if Path(paths[0]).exists() or paths[0] == paths[1]:
        return paths[0]
    print(f"there is no {paths[0]}, so {paths[1]}, pre-trained under protocol paper, is taken")
    return paths[1]


def device(args):
    """The device asked for; UserError where -gpu finds none."""
    if args.gpu and not torch.cuda.is_available():
        raise UserError("-gpu: no CUDA device is usable here; leave -gpu away to run on the CPU")
    return torch.device("cuda" if args.gpu else "cpu")


def load_data(args):
    """(training set, test set) on the device, checked against the numbers of classes that the flags claim."""
    where = device(args)
    train, test = datasets.load(args.dataset, args.data, size=models.DECODE_SIZE[args.net], protocol=PROTOCOLS[args.protocol])
    has = {"classes": len(train.classes), "superclasses": len(train.classes), "subclasses": len(train.fine_classes)}
    if getattr(args, "task", "") == "sub_class":  # the released sub-class script counts either
        has["classes"] = args.classes if args.classes in (has["classes"], has["subclasses"]) else has["classes"]
    for flag, count in has.items():
        claimed = getattr(args, flag, None)
        if claimed is not None and claimed != count:
            raise UserError(f"-{flag} {claimed}: {args.dataset} has {count}; leave the flag away")
    return train.to(where), test.to(where)


@dataclass(frozen=True, eq=False)
class Run:
    """All that a run needs between its flags and its record; `record` is there where the run was done before."""

    config: dict
    path: Path
    split: datasets.Split
    model: torch.nn.Module | None = None
    untrained: torch.nn.Module | None = None
    settings: dict | None = None
    notes: dict | None = None
    hashes: dict | None = None
    record: dict | None = None


def prepare(args, split, ALPHA, LAMBDA):
    """The trained network and the method's settings; or the record, where the same run has left one before."""
    model, metadata, weights = models.load(args.weight_path, args.net, split.full)
    takes = inspect.signature(METHODS[args.method]).parameters
    config = dict(vars(args), forget=_forgotten(args, split), train_seed=metadata.get("seed", args.train_seed))
    config["alpha"], config["lambda"] = (
        _dial(args, flag, table) if name in takes else _unused(args, flag)
        for flag, name, table in (("alpha", "alpha", ALPHA), ("lambda", "lam", LAMBDA))
    )
    if "per_sample" not in takes:
        config["importance"] = None
    hashes = {"weights_hash": weights, "data_hash": split.full.digest, "test_hash": split.retain_test.digest,
              "forget_hash": sha256(split.forget.index.cpu().sort().values)}  # fmt: skip
    identity = {**{name: value for name, value in config.items() if name not in PLACES}, **hashes}  # all that moves numbers
    name = f"{args.net}-{args.dataset}-{_safe(config['forget'])}-{args.method}-seed{args.seed}"
    path = records.path_of(args.results, args.task, name, identity)
    found = None if args.force else records.read(path)
    if found:
        print(readable(found) + f"\n  done before: {path} (-force runs it again)")
        return Run(config, path, split, record=found)
    check_writable(path.parent)
    model.to(device(args))
    notes = {"selected": None, "full_importance": None}
    offered = {"alpha": config["alpha"], "lam": config["lambda"], "batch_size": args.b, "notes": notes,
               "per_sample": args.importance == "sample", "protocol": PROTOCOLS[args.protocol],
               "recipe": metadata.get("recipe") or recipe(args.net, args.dataset)}  # fmt: skip
    settings = {name: value for name, value in offered.items() if name in takes}
    if "full_importance" in takes:
        settings["full_importance"], notes["full_importance"] = _stored_importance(
            args, model, weights, split, takes["measure"].default
        )
    torch.manual_seed(args.seed)
    untrained = models.untrained(model, pretrained_vit=PROTOCOLS[args.protocol].untrained_vit_is_pretrained)
    torch.manual_seed(args.seed)
    return Run(config, path, split, model, untrained, settings, notes, hashes)


def _stored_importance(args, model, weights, split, measure):
    """(I_D of the network, seconds that computing it took): computed the first time, kept beside the checkpoint."""
    dials = {"batch_size": args.b, "measure": measure, "per_sample": args.importance == "sample"}
    identity = {**dials, "weights": weights, "data": split.full.digest}
    return importances.stored(lambda: full_importance(model, split, **dials), args.weight_path, identity=identity,
                              index=split.full.index)  # fmt: skip


def _dial(args, flag, table):
    """The value of -alpha or -lambda: the flag's, else the data set's row of the script's table, else the network's."""
    value, rows = getattr(args, flag), table[args.method]
    if value is None:
        value = rows.get(args.dataset, rows.get(args.net))
    if value is None:
        raise UserError(f"there is no published {flag} for {args.method} on {args.net}, {args.dataset}; give one with -{flag}")
    if not 0 <= value < float("inf"):
        raise UserError(f"-{flag} {value}: it must be a number of at least 0")
    return float(value)


def _unused(args, flag):
    if getattr(args, flag) is not None:
        print(f"-{flag} does nothing for {args.method}")


def _forgotten(args, split):
    if args.task == "random":
        return f"{args.forget_perc:g}"
    if split.whole:
        return split.full.classes[split.forget_class]
    return split.full.fine_classes[int(split.forget.fine_labels[0])]


def _safe(name):
    return "".join(c if c.isalnum() or c in "._" else "_" for c in name)[:60]


@contextmanager
def stopwatch():
    """Wall seconds of what happens inside, the GPU's work included, in `.seconds`."""
    watch = SimpleNamespace(seconds=None)
    _synchronize()
    start = time.perf_counter()
    yield watch
    _synchronize()
    watch.seconds = time.perf_counter() - start


def _synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def score(run, model):
    """metrics.score by the run's protocol."""
    return metrics.score(model, run.untrained, run.split, batch_size=run.config["b"], protocol=PROTOCOLS[run.config["protocol"]])


def finish(run, scores, forgetting, evaluation):
    """Write, mirror and show the record of a run; returns it."""
    notes = dict(run.notes)
    seconds = {"method": forgetting.seconds, "evaluation": evaluation.seconds, "full_importance": notes.pop("full_importance")}
    where = torch.cuda.get_device_name() if run.config["gpu"] else f"{platform.processor() or platform.machine()} CPU"
    record = {"task": run.config["task"], "config": run.config, "scores": scores, "seconds": seconds, **notes, **run.hashes,
              "versions": records.versions(), "commit": records.commit(), "device": where}  # fmt: skip
    print(readable(record))
    records.write(run.path, record)
    print(f"  record: {run.path}")
    mirror.log(record, run.config["wandb"])
    return record


def readable(record):
    """A record's scores in two lines for the terminal."""
    config, scores, seconds = record["config"], record["scores"], record["seconds"]
    dials = f" (alpha {config['alpha']:g}, lambda {config['lambda']:g})" if config["alpha"] is not None else ""
    parts = [f"D_r {scores['RetainTestAcc']:.2f} %", f"D_f {scores['Df']:.2f} %", f"MIA {scores['MIA']:.2f} %",
             f"ZRF {scores['ZRF']:.3f}", f"test {scores['TestAcc']:.2f} %", f"method {seconds['method']:.3g} s"]  # fmt: skip
    if seconds["full_importance"] is not None:
        parts.append(f"I_D once {seconds['full_importance']:.3g} s")
    if record["selected"] is not None:
        parts.append(f"selected {100 * record['selected']:.3g} %")
    title = f"{record['task']}: {config['net']}, {config['dataset']}, forget {config['forget']}: {config['method']}{dials}"
    return f"{title}, seed {config['seed']}\n  " + "   ".join(parts)
