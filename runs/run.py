"""What every forgetting run shares: its data and network, its method's settings, the stopwatch, the record it leaves."""

import inspect
import os
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch

import metrics
import models
import splits
from common.errors import UserError
from common.files import Claim, check_writable, sha256
from learning import duplicates
from learning.images import batches
from learning.protocol import PROTOCOLS
from learning.recipes import recipe
from learning.training import trains_alone
from methods import METHODS
from runs import checkpoints, environment, inputs, records, wandb_mirror
from runs.identity import NOT_RECORDED, ONLY_WHERE_USED, record_path


@dataclass(frozen=True, eq=False)
class Run:
    """All that a run needs between its flags and its record.

    No model: there is nothing to do, since the run was done before (then `record` holds what it
    left) or -dry_run asks.
    """

    config: dict
    path: Path
    split: splits.Split
    model: torch.nn.Module | None = None
    untrained: torch.nn.Module | None = None
    settings: dict | None = None
    notes: dict | None = None
    hashes: dict | None = None
    metadata: dict | None = None  # of the network that the run starts from
    original: dict | None = (
        None  # percent: "d_r" and "d_f" of that network; None for the baseline itself
    )
    retrain_path: Path | None = None  # of the record that is the goal
    original_logits: Callable | None = (
        None  # (set, its name) -> the logits of the network before it forgets
    )
    claimed: Claim | None = None  # keeps other processes from the same run
    record: dict | None = None


def prepare(args, split, ALPHA, LAMBDA):
    """The trained network and the method's settings; or the record, where the same run has left one before."""
    protocol = PROTOCOLS[args.protocol]
    model, metadata, weights = inputs.network(args, split.train)
    split = splits.after_forgetting(split, metadata.get("forgotten", []))
    takes = inspect.signature(METHODS[args.method]).parameters
    learned_by = metadata.get("recipe") or recipe(args.net, args.dataset)
    values = METHODS[args.method].values_in_effect(args.set, model, split, args.b)
    if METHODS[args.method].check:
        METHODS[args.method].check(model, split, protocol=protocol, **values)
    usual = METHODS[args.method].values_in_effect({}, model, split, args.b)
    config = _configuration(args, split, metadata, takes, ALPHA, LAMBDA)
    config["set"] = {name: value for name, value in args.set.items() if value != usual[name]}
    config["hyperparameters"] = _in_effect(args.method, values, learned_by, protocol)
    config["recipe"] = learned_by
    hashes = {
        "weights_hash": weights,
        "data_hash": split.full.digest,
        "test_hash": split.retain_test.digest,
        "forget_hash": sha256(split.forget.index.cpu().sort().values),
    }
    path = record_path(config, hashes)
    if found := _found(args, path):
        return Run(config, path, split, record=found)
    _check_zrf(args, model, split)
    if args.dry_run:
        print(f"to run: {path}")
        return Run(config, path, split)
    check_writable(path.parent)
    if args.save:
        _check_saved(args, path)
    claimed = Claim(path)
    if found := _found(args, path):  # by the process that was waited for
        claimed.end()
        return Run(config, path, split, record=found)
    model = inputs.own_copy(
        args, model
    )  # copied only now: a sweep looks at many runs that are done before
    model.to(inputs.device(args))
    notes = {"selected": None, "full_importance": None, **_identical_images(split, metadata)}
    untrained = untrained_for(args, model)
    offered = {
        "alpha": config["alpha"],
        "lam": config["lambda"],
        "batch_size": args.b,
        "notes": notes,
        "untrained": untrained,
        "per_sample": args.importance == "sample",
        "protocol": protocol,
        "recipe": learned_by,
    }
    settings = {name: value for name, value in (offered | values).items() if name in takes}
    if "full_importance" in takes and values.get("denominator", "D") == "D":
        settings["full_importance"], notes["full_importance"] = inputs.full_importance(
            args, model, weights, split, takes
        )
    original_logits = partial(inputs.original_logits, args, model, weights)
    original = None
    if args.method != "baseline":
        baseline_path = _path_of_another("baseline", config, hashes, model, split, learned_by)
        original = _original_scores(args, model, original_logits, split, baseline_path)
    retrain_path = _path_of_another("retrain", config, hashes, model, split, learned_by)
    _seed("unlearning", args.seed)
    return Run(
        config=config,
        path=path,
        split=split,
        model=model,
        untrained=untrained,
        settings=settings,
        notes=notes,
        hashes=hashes,
        metadata=metadata,
        original=original,
        retrain_path=retrain_path,
        original_logits=original_logits,
        claimed=claimed,
    )


def _configuration(args, split, metadata, takes, ALPHA, LAMBDA):
    """The flags as the record keeps them, with what they leave to the tables, the checkpoint and the split."""
    config = {
        name: value
        for name, value in vars(args).items()
        if name not in NOT_RECORDED and (value or name not in ONLY_WHERE_USED)
    }
    config["forget"] = _forgotten(args, split)
    config["train_seed"] = metadata.get("seed", args.train_seed)
    config["train_numerics"] = metadata.get("recipe", {}).get("numerics", "fp32")
    config["alpha"] = _dial_or_none(args, "alpha", ALPHA, "alpha" in takes)
    config["lambda"] = _dial_or_none(args, "lambda", LAMBDA, "lam" in takes)
    if "per_sample" not in takes:
        config["importance"] = None
    config["departures"] = [
        name for name, released in asdict(PROTOCOLS[args.protocol]).items() if released
    ]
    config["mia"] = dict(metrics.MIA_FIT)
    return config


def _in_effect(method, values, learned_by, protocol):
    """Every hyper-parameter of a method as the record has it: its values, its optimiser's, for retrain the recipe's."""
    if method == "retrain":
        values = retrain.in_effect(learned_by, values["batch_size"], protocol)
    return {**values, **OPTIMIZERS[method]}


def _dial_or_none(args, flag, table, taken):
    """alpha or lambda of a method that takes it; None, and a word where the flag was given, of another."""
    if taken:
        return dial(args, flag, table)
    if getattr(args, flag) is not None:
        print(f"-{flag} does nothing for {args.method}")
    return None


def dial(args, flag, table):
    """The value of -alpha or -lambda: the flag's, else the data set's row of the script's table, else the network's."""
    value, rows = getattr(args, flag), table[args.method]
    if value is None:
        value = rows.get(args.dataset, rows.get(args.net))
    if value is None:
        raise UserError(
            f"there is no published {flag} for {args.method} on {args.net}, {args.dataset}; give one with -{flag}"
        )
    if not 0 <= value < float("inf"):
        raise UserError(f"-{flag} {value}: it must be a number of at least 0")
    return float(value)


def _forgotten(args, split):
    """What is to be forgotten, in the record's words."""
    if args.task == "random":
        return str(args.forget_perc)
    if args.task == "corrupted":
        return f"{args.corrupt_count} {args.corruption} known {args.known_share:g}"
    if split.forgets_whole_class:
        return split.full.classes[split.forget_class]
    return split.full.fine_classes[int(split.forget.fine_labels[0])]


def _identical_images(split, metadata):
    """What the record says of identical images and of what the network had forgotten before; warns where it matters."""
    found = duplicates.counts(split.train, split.test)
    found["forgotten_among_retained"] = 0
    if split.attacked_class is None:  # with a trigger on it an image is another than its copy
        found["forgotten_among_retained"] = duplicates.copies_among(split.forget, split.retain)
    if found["forgotten_among_retained"]:
        warnings.warn(
            f"{found['forgotten_among_retained']} of the {len(split.forget)} forgotten images have an identical copy among "
            "the retained ones: they cannot be forgotten",
            stacklevel=2,
        )
    before = []
    for entry in metadata.get("forgotten", []):
        before.append({name: entry[name] for name in ("task", "forget", "method", "record")})
    return {"duplicates": found, "forgotten_before": before}


def untrained_for(args, model):
    """The network that has learned nothing against which ZRF is measured, drawn by the run's seed."""
    _seed("untrained", args.seed)
    return models.untrained(
        model, pretrained_vit=PROTOCOLS[args.protocol].untrained_vit_is_pretrained
    )


def _check_zrf(args, model, split):
    """UserError where ZRF as released, by each batch's own statistics, would meet a batch of one image."""
    protocol = PROTOCOLS[args.protocol]
    if args.method == "bad_teacher" and protocol.bad_teacher_zrf_in_eval_mode:
        return
    scored = batches(split.forget_test, model, args.b)
    if (
        protocol.zrf_by_elementwise_kl
        and scored.leaves_one
        and not trains_alone(model, scored.size)
    ):
        raise UserError(
            f"-b {args.b} leaves a batch of one image, of which BatchNorm cannot take ZRF as released; "
            "take another, or forget more images"
        )


def _check_saved(args, path):
    """UserError where -save would replace a file that this very run has not made."""
    check_writable(Path(args.save).absolute().parent)
    if os.path.lexists(args.save) and not args.force and not _is_saved(args, path):
        raise UserError(
            f"-save {args.save} is there and not this run's; name another file or replace it with -force"
        )


def _is_saved(args, path):
    """Whether the file of -save holds the network of the record at `path`."""
    return os.path.exists(args.save) and checkpoints.read_metadata(args.save).get(
        "record"
    ) == os.path.abspath(path)


def _original_scores(args, model, original_logits, split, baseline_path):
    """D_r and D_f of the network before it forgets, in percent: the baseline's where that was run, else measured."""
    baseline = records.read(baseline_path)
    if baseline:
        return {"d_r": baseline["scores"]["RetainTestAcc"], "d_f": baseline["scores"]["Df"]}
    protocol = PROTOCOLS[args.protocol]
    test_logits = original_logits(split.test, "test")
    if split.attacked_class is not None:
        forget_logits = original_logits(split.forget_test, "triggered")
    elif split.forget_test_from == "test":
        forget_logits = metrics.picked(test_logits, split.test, split.forget_test)
    else:
        forget_logits = metrics.logits_of(model, split.forget_test)
    return {
        "d_r": metrics.retain_accuracy(test_logits, split, args.b, protocol),
        "d_f": metrics.share_right(forget_logits, split.forget_test.labels, args.b, protocol),
    }


def _found(args, path):
    """The record that an earlier run has left, where neither -force nor a network still to be saved asks for another."""
    found = None if args.force else records.read(path)
    if found and args.save and not _is_saved(args, path):
        print(f"done before: {path}, but its network is not in {args.save}: it is run again")
        return None
    if found:
        print(records.readable(found) + f"\n  done before: {path} (-force runs it again)")
    return found


def _seed(role, seed):
    """A stream of random numbers for each role: else retrain would start from pre-training's own initial weights."""
    torch.manual_seed(int(sha256(f"{role} {seed}")[:12], 16))


def _path_of_another(method, config, hashes, model, split, learned_by):
    """Where the record of the same run by a method without dials lies: the baseline, or retrain."""
    values = METHODS[method].values_in_effect({}, model, split, config["b"])
    other = {
        **config,
        "method": method,
        "alpha": None,
        "lambda": None,
        "importance": None,
        "hyperparameters": _in_effect(method, values, learned_by, PROTOCOLS[config["protocol"]]),
    }
    return record_path(other, hashes)


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
    """The scores of a network after unlearning, by the run's protocol; of the original network the logits are kept."""
    logits_of = (
        run.original_logits
        if run.config["method"] == "baseline"
        else partial(metrics.logits_of, model)
    )
    return scores_of(logits_of, run.untrained, run.split, run.config, run.notes)


def scores_of(logits_of, untrained, split, config, notes):
    """{score: value} by metrics.score, and into `notes` what else the outputs say.

    logits_of: (images, name) -> logits [N, C]; config: method, protocol and b of a record's
    configuration.
    """
    protocol, method = PROTOCOLS[config["protocol"]], config["method"]
    train_logits = logits_of(split.train, "training")
    test_logits = logits_of(split.test, "test")
    triggered_logits = None
    if split.attacked_class is not None:
        triggered_logits = logits_of(split.forget_test, "triggered")
    right = metrics.class_accuracy(test_logits, split.test.labels, split.num_classes)
    notes["class_accuracy"] = dict(zip(split.test.classes, right, strict=True))
    by_method = METHODS[method].scoring(protocol) if METHODS[method].scoring else {}
    return metrics.score(
        train_logits,
        test_logits,
        untrained,
        split,
        batch_size=config["b"],
        protocol=protocol,
        notes=notes,
        triggered_logits=triggered_logits,
        **by_method,
    )


def finish(run, model, scores, forgetting, evaluation):
    """Keep the network where -save asks for it; write, mirror and show the record of a run; returns it."""
    notes, config = dict(run.notes), dict(run.config)
    seconds = {
        "method": forgetting.seconds,
        "evaluation": evaluation.seconds,
        "full_importance": notes.pop("full_importance"),
    }
    retrained = records.read(run.retrain_path)
    goal = retrained["scores"]["Df"] if retrained else None
    original_d_r = run.original["d_r"] if run.original else None
    original_d_f = run.original["d_f"] if run.original else None
    record = {
        "task": config["task"],
        "command": config.pop("command"),
        "config": config,
        "scores": scores,
        "collapse": records.collapse(config["task"], scores, original_d_r, goal),
        "unchanged": records.unchanged(config["method"], scores, original_d_f, goal),
        "seconds": seconds,
        "sizes": {"D": len(run.split.full), "D_f": len(run.split.forget)},
        **notes,
        **run.hashes,
        "versions": environment.versions(),
        "commit": environment.commit(),
        "device": environment.device(config["gpu"]),
        "date": environment.today(),
    }
    try:
        if config.get("save"):
            save(run, model, record)
        records.write(run.path, record)
    finally:  # what could not be kept is at least seen
        print(records.readable(record))
    run.claimed.end()
    print(f"  record: {run.path}")
    if config.get("save"):
        print(f"  network: {config['save']}")
    wandb_mirror.log(record, config["wandb"])
    return record


def save(run, model, record):
    """Write the unlearned network: its metadata are the original's, with what was forgotten, how, and the record's path."""
    config, train = run.config, run.split.train
    as_trained = {
        "net": config["net"],
        "dataset": config["dataset"],
        "classes": list(train.classes),
        "data_hash": train.digest,
        "seed": config["train_seed"],
        "recipe": config["recipe"],
        "protocol": config["protocol"],
    }
    before = run.metadata.get("forgotten", [])
    labels, label = None, None
    if run.split.forget_class is not None:
        labels = "labels" if run.split.forgets_whole_class else "fine_labels"
        label = int(getattr(run.split.forget, labels)[0])
    this = {
        "task": config["task"],
        "forget": config["forget"],
        "method": config["method"],
        "record": os.path.abspath(run.path),
        "labels": labels,
        "label": label,
        "images": run.split.forget.index.cpu().sort().values.tolist(),
    }
    forgotten = before if config["method"] == "baseline" else [*before, this]
    metadata = {
        **as_trained,
        **run.metadata,
        "accuracy": record["scores"]["TestAcc"],
        "checkpoint": {
            "path": os.path.abspath(config["weight_path"]),
            "weights_hash": run.hashes["weights_hash"],
        },
        "forgotten_before": before,
        "forgotten": forgotten,
        "method": config["method"],
        "hyperparameters": {
            **config["hyperparameters"],
            "alpha": config["alpha"],
            "lambda": config["lambda"],
        },
        "record": os.path.abspath(run.path),
        "command": record["command"],
        "commit": environment.commit(),
        "versions": environment.versions(),
    }
    checkpoints.save(model, config["save"], metadata)
