"""What every forgetting run shares: its data and network, its method's settings, the stopwatch, the record it leaves."""

import inspect
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch

import datasets
import inputs
import metrics
import mirror
import models
import records
from common import UserError, sha256
from files import Claim, check_writable
from images import batches
from methods import METHODS
from protocol import PROTOCOLS
from training import recipe, trains_alone

LATER = ("corruption", "corrupt_count", "validation")  # flags that a record has only where they are used
PLACES = ("command", "data", "weight_path", "results", "wandb", "force", "classes", "superclasses", "subclasses",
          "forget_class")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Run:
    """All that a run needs between its flags and its record.

    No model: there is nothing to do, since the run was done before (then `record` holds what it left) or -dry_run asks.
    """

    config: dict
    path: Path
    split: datasets.Split
    model: torch.nn.Module | None = None
    untrained: torch.nn.Module | None = None
    settings: dict | None = None
    notes: dict | None = None
    hashes: dict | None = None
    original_d_r: float | None = None  # percent
    original_logits: Callable | None = None  # (set, its name) -> the logits of the network before it forgets
    claimed: Claim | None = None  # keeps other processes from the same run
    record: dict | None = None


def prepare(args, split, ALPHA, LAMBDA):
    """The trained network and the method's settings; or the record, where the same run has left one before."""
    model, metadata, weights = inputs.trained(args, split.full)
    takes = inspect.signature(METHODS[args.method]).parameters
    config = _configuration(args, split, metadata, takes, ALPHA, LAMBDA)
    hashes = {"weights_hash": weights, "data_hash": split.full.digest, "test_hash": split.retain_test.digest,
              "forget_hash": sha256(split.forget.index.cpu().sort().values)}  # fmt: skip
    path = _path(config, hashes)
    if found := _found(args, path):
        return Run(config, path, split, record=found)
    _check_zrf(args, model, split)
    if args.dry_run:
        print(f"to run: {path}")
        return Run(config, path, split)
    check_writable(path.parent)
    claimed = Claim(path)
    if found := _found(args, path):  # by the process that was waited for
        claimed.end()
        return Run(config, path, split, record=found)
    model.to(inputs.device(args))
    protocol, notes = PROTOCOLS[args.protocol], {"selected": None, "full_importance": None}
    _seed("untrained", args.seed)
    untrained = models.untrained(model, pretrained_vit=protocol.untrained_vit_is_pretrained)
    offered = {"alpha": config["alpha"], "lam": config["lambda"], "batch_size": args.b, "notes": notes, "untrained": untrained,
               "per_sample": args.importance == "sample", "protocol": protocol,
               "recipe": metadata.get("recipe") or recipe(args.net, args.dataset)}  # fmt: skip
    settings = _named_by(takes, offered) | args.set
    if "full_importance" in takes and args.set.get("denominator", "D") == "D":
        settings["full_importance"], notes["full_importance"] = inputs.full_importance(args, model, weights, split, takes)
    original_logits = partial(inputs.original_logits, args, model, weights)
    original_d_r = None if args.method == "baseline" else _original_d_r(args, original_logits, split, config, hashes)
    _seed("unlearning", args.seed)
    return Run(config, path, split, model, untrained, settings, notes, hashes, original_d_r, original_logits, claimed)


def _configuration(args, split, metadata, takes, ALPHA, LAMBDA):
    """The flags as the record keeps them, with what they leave to the tables, the checkpoint and the split."""
    config = dict(vars(args), forget=_forgotten(args, split), train_seed=metadata.get("seed", args.train_seed),
                  train_numerics=metadata.get("recipe", {}).get("numerics", "fp32"))  # fmt: skip
    config = {k: v for k, v in config.items() if k not in ("dry_run", "together") and (v or k not in LATER)}
    config["alpha"], config["lambda"] = (
        dial(args, flag, table) if name in takes else _unused(args, flag)
        for flag, name, table in (("alpha", "alpha", ALPHA), ("lambda", "lam", LAMBDA))
    )
    if "per_sample" not in takes:
        config["importance"] = None
    return config


def _check_zrf(args, model, split):
    """UserError where ZRF as released, by each batch's own statistics, would meet a batch of one image."""
    scored = batches(split.forget_test, model, args.b)
    if PROTOCOLS[args.protocol].zrf_by_elementwise_kl and scored.leaves_one and not trains_alone(model, scored.size):
        raise UserError(f"-b {args.b} leaves a batch of one image, of which BatchNorm cannot take ZRF as released; "
                        "take another, or forget more images")  # fmt: skip


def _named_by(takes, offered):
    """Of what the run offers that which the method's signature names; a batch size of its own, with a default, it keeps."""
    own = takes["batch_size"].default if "batch_size" in takes else inspect.Parameter.empty
    return {k: v for k, v in offered.items() if k in takes and (k != "batch_size" or own is inspect.Parameter.empty)}


def _original_d_r(args, original_logits, split, config, hashes):
    """D_r of the network before it forgets, in percent: the baseline's where that was run, else measured."""
    baseline = done_by("baseline", config, hashes)
    if baseline:
        return baseline["scores"]["RetainTestAcc"]
    return metrics.retain_accuracy(original_logits(split.test, "test"), split, args.b, PROTOCOLS[args.protocol])


def _found(args, path):
    found = None if args.force else records.read(path)
    if found:
        print(records.readable(found) + f"\n  done before: {path} (-force runs it again)")
    return found


def _seed(role, seed):
    """A stream of random numbers for each role: else retrain would start from pre-training's own initial weights."""
    torch.manual_seed(int(sha256(f"{role} {seed}")[:12], 16))


def _path(config, hashes):
    """Where the record of a run lies, by all that moves its numbers."""
    identity = {**{name: value for name, value in config.items() if name not in PLACES}, **hashes}
    name = f"{config['net']}-{config['dataset']}-{_safe(config['forget'])}-{config['method']}-seed{config['seed']}"
    return records.path_of(config["results"], config["task"], name, identity)


def done_by(method, config, hashes):
    """The record of the same run by a method that has no dials, or None where it was not done."""
    return records.read(_path({**config, "method": method, "alpha": None, "lambda": None, "importance": None, "set": {}}, hashes))


def dial(args, flag, table):
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
        return str(args.forget_perc)
    if args.task == "corrupted":
        return f"{args.corrupt_count} {args.corruption} known {args.known_share:g}"
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
    """metrics.score by the run's protocol; of the original network the logits are kept."""
    of = run.original_logits if run.config["method"] == "baseline" else partial(metrics.logits_of, model)
    train, test = of(run.split.train, "training"), of(run.split.test, "test")
    triggered = of(run.split.forget_test, "triggered") if run.split.attacked is not None else None
    return metrics.score(train, test, run.untrained, run.split, batch_size=run.config["b"], triggered_logits=triggered,
                         protocol=PROTOCOLS[run.config["protocol"]], notes=run.notes)  # fmt: skip


def finish(run, scores, forgetting, evaluation):
    """Write, mirror and show the record of a run; returns it."""
    notes, config = dict(run.notes), dict(run.config)
    seconds = {"method": forgetting.seconds, "evaluation": evaluation.seconds, "full_importance": notes.pop("full_importance")}
    retrained = done_by("retrain", config, run.hashes)
    collapse = records.collapse(config["task"], scores, run.original_d_r, retrained and retrained["scores"]["Df"])
    record = {"task": config["task"], "command": config.pop("command"), "config": config, "scores": scores, "collapse": collapse,
              "seconds": seconds, "sizes": {"D": len(run.split.full), "D_f": len(run.split.forget)}, **notes, **run.hashes,
              "versions": records.versions(), "commit": records.commit(), "device": records.device(config["gpu"]),
              "date": records.today()}  # fmt: skip
    try:
        records.write(run.path, record)
    finally:  # what could not be kept is at least seen
        print(records.readable(record))
    run.claimed.end()
    print(f"  record: {run.path}")
    mirror.log(record, config["wandb"])
    return record
