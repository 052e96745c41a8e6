"""One run: what is asked for, whether it was done before, what it starts from, what it leaves.

The scripts go through it in this order:

    request = ask(...)                  runs/request.py: the configuration, the record's path
    with once(request) as record:       the record, where the same run was made before
        run = load(request)             the network and the method's settings
        model = METHODS[...].unlearn    the script's own lines
        scores = score(run, model)
        finish(run, model, scores, ...) the record
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import nn

import metrics
import models
import probes
from common import files
from common.files import check_writable, sha256
from learning import duplicates
from learning.features import head_of
from learning.protocol import PROTOCOLS, Protocol
from methods import GOAL, ORIGINAL
from runs import environment, inputs, outputs, records, saving, wandb_mirror
from runs.request import Request, scoring
from splits import Split


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """A run that is about to forget."""

    request: Request
    split: Split
    model: nn.Module  # a copy of the trained network, which the method may change
    untrained: nn.Module  # a network that has learned nothing: for ZRF and for bad teacher
    settings: dict  # the method's keyword arguments
    notes: dict  # what the method and the scores leave for the record
    outputs: dict  # {name: tensor} that -outputs keeps
    full_importance_seconds: float | None  # None: the method takes no I_D from the store


# ---- whether it was done before ----


@contextmanager
def once(request: Request) -> Iterator[dict | None]:
    """Yields the record, where the same run was made before; else None: it is to be made here.

    No other process makes it meanwhile. -dry_run only looks.
    """
    if request.args.dry_run:
        record = _look(request)
        if record is None:
            print(f"to run: {request.path}")
        yield record
        return
    waits = not request.cache.serves_many_runs
    with files.once(request.path, lambda: _look(request), waits=waits) as record:
        yield record


def _look(request):
    """The record of this run; None if there is none, with -force, or if -save's file is missing."""
    args, path = request.args, request.path
    record = None if args.force else records.read(path)
    if record is None:
        return None
    if args.save and not saving.is_saved(args.save, path):
        print(f"done before: {path}, but its network is not in {args.save}: it is run again")
        return None
    lacks_outputs = args.outputs and not outputs.are_kept(path, record)
    if lacks_outputs or (args.probes and "probes" not in record):
        print(f"done before: {path}, but without its outputs or probes: it is run again")
        return None
    print(f"{records.readable(record)}\n  done before: {path} (-force runs it again)")
    return record


# ---- what it starts from ----


def load(request: Request) -> Run:
    """The network to forget with, and the method's settings. From here on a run costs time."""
    args, split = request.args, request.split
    check_writable(request.path.parent)
    if args.save:
        saving.check(request)
    model = request.network.copy(args)
    if args.probes:
        head_of(model)  # which the probes need; else it would fail after the work
    untrained = untrained_for(args, model)
    notes = {"selected": None, **_identical_images(split), **_forgotten_before(request)}
    settings, seconds = _settings(request, model, untrained, notes)
    _seed("unlearning", args.seed, request.config["train_seed"])
    return Run(
        request=request,
        split=split,
        model=model,
        untrained=untrained,
        settings=settings,
        notes=notes,
        outputs={},
        full_importance_seconds=seconds,
    )


def _settings(request, model, untrained, notes):
    """(the method's keyword arguments, seconds that I_D took or None)."""
    args, method = request.args, request.method
    offers = {
        "alpha": request.config["alpha"],
        "lam": request.config["lambda"],
        "batch_size": args.b,
        "notes": notes,
        "untrained": untrained,
        "per_sample": args.importance == "sample",
        "protocol": request.protocol,
        "recipe": request.recipe,
        **request.values,
    }
    settings = {name: value for name, value in offers.items() if method.takes(name)}
    if method.measure is None or request.values.get("denominator", "D") != "D":
        return settings, None
    settings["full_importance"], seconds = inputs.full_importance(
        args, model, request.network.weights_hash, request.split, method, request.cache
    )
    return settings, seconds


def untrained_for(args: argparse.Namespace, model: nn.Module) -> nn.Module:
    """The network that has learned nothing, against which ZRF is measured; drawn by the seed."""
    _seed("untrained", args.seed)
    pretrained_vit = PROTOCOLS[args.protocol].untrained_vit_is_pretrained
    return models.untrained(model, pretrained_vit=pretrained_vit)


def _seed(role, seed, train_seed=0):
    """Start a stream of random numbers for each role, and for each network that is unlearned.

    With one stream for all roles, retrain would start from pre-training's own initial weights. With
    one for all networks, the networks retrained for a pool of originals would be copies of one.
    """
    text = f"{role} {seed} of {train_seed}" if train_seed else f"{role} {seed}"
    torch.manual_seed(int(sha256(text)[:12], 16))


def _identical_images(split):
    """What the record says of identical images; a warning where they cannot be forgotten."""
    counts = duplicates.counts(split.train, split.test)
    copies = 0
    if split.attacked_class is None:  # with a trigger on it, an image differs from its copy
        copies = duplicates.copies_among(split.forget, split.retain)
    if copies:
        warnings.warn(
            f"{copies} of the {len(split.forget)} forgotten images have an identical copy among "
            "the retained ones: they cannot be forgotten",
            stacklevel=2,
        )
    return {"duplicates": {**counts, "forgotten_among_retained": copies}}


def _forgotten_before(request):
    """What the record says of what the network had forgotten before."""
    earlier = []
    for entry in request.network.metadata.get("forgotten", []):
        earlier.append({name: entry[name] for name in ("task", "forget", "method", "record")})
    return {"forgotten_before": earlier}


# ---- how well, and at what price ----


@contextmanager
def stopwatch() -> Iterator[SimpleNamespace]:
    """Wall seconds of what happens inside, the GPU's work included, in `.seconds`."""
    watch = SimpleNamespace(seconds=0.0)
    _synchronize()
    start = time.perf_counter()
    yield watch
    _synchronize()
    watch.seconds = time.perf_counter() - start


def _synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def score(run: Run, model: nn.Module) -> dict:
    """{score: value} of the network after unlearning, by the run's protocol."""
    args, split = run.request.args, run.split
    logits = metrics.split_logits(model, split)
    options = scoring(args.method, run.request.protocol)
    scores = score_logits(
        logits, run.untrained, split, args.b, run.request.protocol, options, run.notes
    )
    if args.outputs:
        run.outputs.update(outputs.of_network(logits, split))
        run.notes["outputs"] = {"accuracy": outputs.accuracies(logits, split)}
    if args.probes:
        run.outputs.update(outputs.features(model, split))
        _seed("probes", args.seed, run.request.config["train_seed"])
        run.notes["probes"] = probes.measure(model, split)
    return scores


def score_logits(
    logits: metrics.Logits,
    untrained: nn.Module,
    split: Split,
    batch_size: int,
    protocol: Protocol,
    options: dict,
    notes: dict,
) -> dict:
    """{score: value} by metrics.score; what else the logits say goes into `notes`.

    options: as `scoring` gives them.
    """
    accuracies = metrics.class_accuracy(logits.test, split.test.labels, split.num_classes)
    notes["class_accuracy"] = dict(zip(split.test.classes, accuracies, strict=True))
    scores = metrics.score(
        logits, untrained, split, batch_size=batch_size, protocol=protocol, **options
    )
    notes["forget_predictions"] = _predictions(metrics.forget_test_logits(logits, split), split)
    forget_logits = metrics.forget_logits(logits.train, split)
    notes["entropy_histogram"] = metrics.entropy_histogram(forget_logits)
    return scores


def _predictions(logits, split):
    """{class: how many images are taken for it}, the most frequent first; only those that are.

    logits [N, C].
    """
    counts = logits.argmax(1).bincount(minlength=split.num_classes).tolist()
    by_class = dict(zip(split.test.classes, counts, strict=True))
    frequent = sorted(by_class, key=lambda name: -by_class[name])
    return {name: by_class[name] for name in frequent if by_class[name]}


# ---- what it leaves ----


def finish(
    run: Run,
    model: nn.Module,
    scores: dict,
    method_seconds: float,
    evaluation_seconds: float,
) -> dict:
    """Keep the network where -save asks for it; write, mirror and show the record; returns it.

    method_seconds, evaluation_seconds: by the wall clock.
    """
    request = run.request
    config = dict(request.config)
    command = config.pop("command")
    original = _original_scores(request)
    retrained = records.read(request.path_by(GOAL))
    goal_d_f = retrained["scores"]["Df"] if retrained else None
    record = {
        "task": config["task"],
        "command": command,
        "config": config,
        "scores": scores,
        "collapse": records.collapse(config["task"], scores, original["d_r"], goal_d_f),
        "unchanged": records.unchanged(config["method"], scores, original["d_f"], goal_d_f),
        "seconds": {
            "method": method_seconds,
            "evaluation": evaluation_seconds,
            "full_importance": run.full_importance_seconds,
        },
        "sizes": {"D": len(run.split.full), "D_f": len(run.split.forget)},
        **_data_source(run.split.train),
        **run.notes,
        **request.hashes,
        "versions": environment.versions(),
        "commit": environment.commit(),
        "device": environment.device(config["gpu"]),
        "date": environment.today(),
    }
    try:
        if request.args.save:
            saving.save(request, model, record)
        if run.outputs:
            record["outputs"] |= outputs.write(request.path, run.outputs)
        records.write(request.path, record)
    finally:  # what could not be kept is at least seen
        print(records.readable(record))
    print(f"  record: {request.path}")
    if request.args.save:
        print(f"  network: {request.args.save}")
    wandb_mirror.log(record, config["wandb"])
    return record


def _data_source(images):
    """Which of the places that a data set is read from it was."""
    return {} if images.source is None else {"data_source": images.source}


def _original_scores(request):
    """{"d_r", "d_f"} of the network before it forgets, in percent; both None for the original.

    Those of its record, where it was run; else they are measured.
    """
    if request.method.is_original:
        return {"d_r": None, "d_f": None}
    record = records.read(request.path_by(ORIGINAL))
    if record:
        return {"d_r": record["scores"]["RetainTestAcc"], "d_f": record["scores"]["Df"]}
    args, split = request.args, request.split
    key = (
        *request.hashes.values(),
        args.task,
        request.config["forget"],
        args.seed,
        args.b,
        args.protocol,
        args.numerics,
    )

    def measure():
        return _accuracies(request.network.copy(args), split, args.b, request.protocol)

    return request.cache.kept("original", key, measure)


def _accuracies(model, split, batch_size, protocol):
    """{"d_r", "d_f"} of a network, in percent."""
    test_logits = metrics.logits_of(model, split.test, "test")  # [N, C]
    if split.forget_test_from == "test":
        forget_logits = metrics.logits_of_part(test_logits, split.test, split.forget_test)
    else:
        forget_logits = metrics.logits_of(model, split.forget_test, "D_f")
    labels = split.forget_test.labels
    return {
        "d_r": metrics.retain_accuracy(test_logits, split, batch_size, protocol),
        "d_f": metrics.accuracy_by(protocol, forget_logits, labels, batch_size),
    }
