"""What a run is given: its device, its data, the trained network, the importances of D."""

import argparse
import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import datasets
import models
from common.errors import UserError
from common.files import sha256, stamp
from learning import numerics
from learning.images import ImageSet, batches, own_statistics, with_statistics
from learning.protocol import PROTOCOLS
from methods import Method
from runs import checkpoints, schema, store
from runs.cache import Cache
from runs.tasks import TASKS
from splits import Split


def device(args: argparse.Namespace) -> torch.device:
    """The device asked for; UserError where -gpu finds none."""
    if args.numerics == "tf32" and not args.gpu:
        raise UserError("-numerics tf32 is a kind of GPU arithmetic; add -gpu, or omit it")
    if args.dry_run:
        return torch.device("cpu")
    if args.gpu and not torch.cuda.is_available():
        raise UserError("-gpu: no CUDA device is usable here; omit -gpu to run on the CPU")
    return torch.device("cuda" if args.gpu else "cpu")


def check_names(args: argparse.Namespace) -> None:
    """UserError where network and data set have names too long for a record, before any work."""
    longest_task = max(TASKS, key=len)
    names = (longest_task, args.net, args.dataset, args.protocol)
    if len("".join(names).encode(errors="replace")) > schema.MOST_BYTES:
        raise UserError(
            f"-net and -dataset have more than {schema.MOST_BYTES} bytes together with the task "
            "and the protocol; call the file or its folder something shorter"
        )


def load_data(args: argparse.Namespace, cache: Cache) -> tuple[ImageSet, ImageSet]:
    """(training set, test set) on the device.

    UserError where the numbers of classes are not those that the flags claim, and, before images
    are decoded, where the network that the run starts from belongs to other data.
    """
    check_names(args)
    if args.weight_path:
        version = (args.weight_path, stamp(args.weight_path))
        metadata = cache.kept(
            "metadata", version, lambda: checkpoints.read_metadata(args.weight_path)
        )
        expected = {"net": args.net, "dataset": args.dataset}
        checkpoints.check_metadata(args.weight_path, metadata, expected)
    size = models.DECODE_SIZE[args.net]
    place = device(args)

    def load():
        train, test = datasets.load(
            args.dataset,
            args.data,
            size=size,
            protocol=PROTOCOLS[args.protocol],
            duplicates=args.duplicates,
        )
        if args.validation:
            train, test = datasets.hold_out(train, train.fine_labels)
        if args.normalise == "own":
            statistics = own_statistics(train)
            train, test = with_statistics(train, statistics), with_statistics(test, statistics)
        return train.to(place), test.to(place)

    key = (
        args.dataset,
        args.data,
        size,
        args.protocol,
        args.validation,
        args.duplicates,
        args.normalise,
        place,
    )
    train, test = cache.kept("data", key, load)
    _check_counts(args, train)
    return train, test


def _check_counts(args, train):
    """UserError where a flag claims another number of classes than the data have."""
    counts = {
        "classes": {len(train.classes)},
        "superclasses": {len(train.classes)},
        "subclasses": {len(train.fine_classes)},
    }
    task = TASKS.get(getattr(args, "task", None))
    if task is not None and task.counts_either:
        counts["classes"].add(len(train.fine_classes))
    for flag, allowed in counts.items():
        claimed = getattr(args, flag, None)
        if claimed is not None and claimed not in allowed:
            count = min(allowed)
            raise UserError(f"-{flag} {claimed}: {args.dataset} has {count}; omit the flag")


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network, which several runs may share: nobody changes it."""

    model: nn.Module  # on the CPU
    metadata: dict  # of its checkpoint; {} for a .pth file
    weights_hash: str

    def copy(self, args: argparse.Namespace) -> nn.Module:
        """A copy that a run may change, on its device and in its arithmetic."""
        model = copy.deepcopy(self.model)
        numerics.compute_in(model, args.numerics)
        return model.to(device(args))


def network(args: argparse.Namespace, train: ImageSet, cache: Cache) -> Network:
    """The network at -weight_path, trained on `train`."""
    pytorch_init = PROTOCOLS[args.protocol].initial_weights_are_pytorchs

    def load():
        return Network(
            *checkpoints.load(args.weight_path, args.net, train, pytorch_init=pytorch_init)
        )

    key = (
        args.weight_path,
        stamp(args.weight_path),
        args.net,
        train.name,
        train.classes,
        train.digest,
        pytorch_init,
    )
    return cache.kept("network", key, load)


def full_importance(
    args: argparse.Namespace,
    model: nn.Module,
    weights_hash: str,
    split: Split,
    method: Method,
    cache: Cache,
) -> tuple[dict[str, Tensor], float]:
    """(I_D on the device, seconds that computing it took) of the trained network for a method."""
    place = device(args)
    identity = {
        "weights": weights_hash,
        "data": split.full.digest,
        "numerics": args.numerics,
        "device": place.type,
    }
    per_sample = args.importance == "sample"

    def load():
        values, seconds = store.importance(
            model,
            batches(split.full, model, args.b, title="I_D"),
            args.weight_path,
            identity=identity,
            measure=method.measure,
            per_sample=per_sample,
        )
        return {name: value.to(place) for name, value in values.items()}, seconds

    key = (
        str(args.weight_path),
        *identity.values(),
        method.measure,
        per_sample,
        args.b,
        sha256(split.full.index),
    )
    return cache.kept("I_D", key, load)
