"""Pools: the records and outputs of many trained networks that were to forget the same images.

The unit is the training seed. SSD and its relatives draw no random number, so many unlearning seeds
of one trained network are one network. Of several unlearning seeds the lowest counts.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from audits.networks import Networks
from reports import audited, frame, lookup
from reports.frame import Setup
from runs import outputs

BySeed = dict[int, dict]  # {training seed: record}


@dataclass(frozen=True)
class Pool:
    """The runs on one forget set that have kept their outputs."""

    setup: Setup
    forget: str  # what is forgotten, in the records' words
    number: int  # of several forget sets with these words: which
    retrained: BySeed
    original: BySeed
    candidates: dict[str, BySeed]  # {label of a row: its runs}
    folders: dict[str, Path]  # {name of a file of outputs: its path}
    tensors: dict = field(default_factory=dict)  # {name of a file: its tensors}, once it is read

    @property
    def heading(self) -> str:
        """What a section on it is called."""
        return audited.heading(self.setup.task, self.forget, self.number)


def pools(records: list[dict], results: str | Path) -> list[Pool]:
    """The pools of all records that have kept outputs, in the order of the tables.

    Corrupted training data make no pool: each training seed corrupts other images.
    """
    kept = []
    for record in records:
        if "outputs" in record and not lookup.task(record["task"]).heals:
            kept.append(record)
    if not kept:
        return []
    folders = {path.name: path for path in Path(results).rglob("*.outputs.safetensors")}
    runs = frame.of_records(kept)
    runs["forget set"] = [record["forget_hash"] for record in runs["record"]]
    found = []
    for (setup, forget), of_words in runs.groupby(["setup", "forget"], sort=False):
        sets = of_words.groupby(["forget set", "data"], sort=False)
        for number, (_, of_set) in enumerate(sets, start=1):
            found.append(_pool(setup, forget, number, of_set, folders))
    return found


def _pool(setup, forget, number, runs, folders):
    goals = runs[runs["is_goal"]]
    usual_goals = goals[goals["unusual"] == goals["unusual"].min()]
    others = runs[~runs["is_goal"] & ~runs["is_original"]]
    candidates = {}
    for label, of_label in others.groupby("label", sort=False):
        candidates[label] = _by_seed(of_label)
    return Pool(
        setup=setup,
        forget=forget,
        number=number,
        retrained=_by_seed(usual_goals),
        original=_by_seed(runs[runs["is_original"]]),
        candidates=candidates,
        folders=folders,
    )


def _by_seed(runs):
    """{training seed: record of the lowest unlearning seed}, by ascending training seed."""
    ordered = runs.sort_values(["training", "seed"]).drop_duplicates("training")
    return dict(zip(ordered["training"], ordered["record"], strict=True))


# ---- the members that can be used ----


@dataclass(frozen=True)
class Aligned:
    """A method's networks next to the retrained ones and the originals of the same seeds."""

    seeds: list[int]  # training seeds
    candidate: Networks
    retrained: Networks
    original: Networks


def aligned(pool: Pool, runs: BySeed) -> Aligned:
    """The networks of the training seeds of which all three have kept outputs that can be read.

    A seed that lacks one of the three is left out here, and only here.
    """
    seeds = []
    for seed in sorted(runs.keys() & pool.retrained.keys() & pool.original.keys()):
        members = (runs[seed], pool.retrained[seed], pool.original[seed])
        if all(_tensors(pool, record) for record in members):
            seeds.append(seed)
    return Aligned(
        seeds,
        _networks(pool, runs, seeds),
        _networks(pool, pool.retrained, seeds),
        _networks(pool, pool.original, seeds),
    )


def only_with(needs: str, networks: Aligned) -> Aligned:
    """The networks of the training seeds of which all three have what an audit needs.

    needs: logits, which all have; features or probes, which runs with -probes have.
    """
    kinds = (networks.candidate, networks.retrained, networks.original)
    places = []
    for place in range(len(networks.seeds)):
        if all(_has(needs, kind.records[place]) for kind in kinds):
            places.append(place)
    candidate, retrained, original = (kind.take(places) for kind in kinds)
    seeds = [networks.seeds[place] for place in places]
    return Aligned(seeds, candidate, retrained, original)


def _has(needs, record):
    return needs == "logits" or "probes" in record


def missing(pool: Pool, runs: BySeed) -> list[int]:
    """The training seeds of the pool that a method lacks, or whose outputs cannot be read."""
    lacking = []
    for seed in sorted(pool.retrained.keys() | pool.original.keys()):
        if seed not in runs or not _tensors(pool, runs[seed]):
            lacking.append(seed)
    return lacking


def _tensors(pool, record):
    """{name: tensor} of a record's outputs; empty where they are gone or damaged."""
    name = record["outputs"]["file"]
    if name not in pool.tensors:
        path = pool.folders.get(name)
        tensors = outputs.read(path, record["outputs"]["checksum"]) if path else None
        pool.tensors[name] = tensors if tensors and _finite(tensors) else {}
    return pool.tensors[name]


def _finite(tensors):
    return all(torch.isfinite(values).all() for values in tensors.values())


def _networks(pool, runs, seeds):
    """The networks of these training seeds, stacked."""
    records = [runs[seed] for seed in seeds]
    members = [_tensors(pool, record) for record in records]
    logits, labels = {}, {}
    for part in outputs.PARTS if members else ():
        logits[part] = torch.stack([tensors[f"{part}_logits"] for tensors in members])
        labels[part] = members[0][f"{part}_labels"]
        for tensors in members:  # the records' hashes of the images say so too
            assert torch.equal(tensors[f"{part}_labels"], labels[part])
    return Networks(records, logits, labels, [_features(tensors) for tensors in members])


def _features(tensors):
    """{stage: features [M, D]} of one network; empty where its run had no -probes."""
    features = {}
    for name, values in tensors.items():
        if name.startswith("features_"):
            features[name.removeprefix("features_")] = values
    return features
