"""What a run is given: its device, its data, the trained network, and what was computed of that network once."""

import copy
from contextlib import suppress

import torch

import datasets
import metrics
import models
import splits
from common.errors import UserError
from common.files import sha256, stamp
from learning import numerics
from learning.images import batches
from learning.protocol import PROTOCOLS
from runs import checkpoints, store
from runs.cache import kept


def device(args):
    """The device asked for; UserError where -gpu finds none."""
    if args.numerics == "tf32" and not args.gpu:
        raise UserError("-numerics tf32 is a kind of GPU arithmetic; add -gpu, or leave it away")
    if args.dry_run:
        return torch.device("cpu")
    if args.gpu and not torch.cuda.is_available():
        raise UserError("-gpu: no CUDA device is usable here; leave -gpu away to run on the CPU")
    return torch.device("cuda" if args.gpu else "cpu")


def load_data(args):
    """(training set, test set) on the device, checked against the numbers of classes that the flags claim.

    The network that a run starts from is looked up first: its folder of images may take minutes to
    decode.
    """
    where, size = device(args), models.DECODE_SIZE[args.net]
    if args.weight_path:
        key = (args.weight_path, stamp(args.weight_path))
        metadata = kept("metadata", key, lambda: checkpoints.read_metadata(args.weight_path))
        checkpoints.check_metadata(
            args.weight_path, metadata, {"net": args.net, "dataset": args.dataset}
        )

    def load():
        protocol = PROTOCOLS[args.protocol]
        parts = datasets.load(
            args.dataset, args.data, size=size, protocol=protocol, duplicates=args.duplicates
        )
        if args.validation:
            parts = datasets.parted(parts[0], parts[0].fine_labels)
        return tuple(part.to(where) for part in parts)

    key = (args.dataset, args.data, size, args.protocol, args.validation, args.duplicates, where)
    train, test = kept("data", key, load)
    has = {
        "classes": len(train.classes),
        "superclasses": len(train.classes),
        "subclasses": len(train.fine_classes),
    }
    if getattr(args, "task", "") == "sub_class":  # the released sub-class script counts either
        has["classes"] = (
            args.classes if args.classes in (has["classes"], has["subclasses"]) else has["classes"]
        )
    for flag, count in has.items():
        claimed = getattr(args, flag, None)
        if claimed is not None and claimed != count:
            raise UserError(f"-{flag} {claimed}: {args.dataset} has {count}; leave the flag away")
    return train, test


def trained(args, images):
    """A copy of the trained network, its metadata, and the digest of its weights."""
    model, metadata, weights = network(args, images)
    return own_copy(args, model), metadata, weights


def own_copy(args, model):
    """A copy of a network that a run may change; it computes in the run's arithmetic."""
    model = copy.deepcopy(model)
    numerics.compute_in(model, args.numerics)
    return model


def network(args, images):
    """The trained network, which other runs share and nobody may change, its metadata, and the digest of its weights."""
    pytorch_init = PROTOCOLS[args.protocol].initial_weights_are_pytorchs
    key = (
        args.weight_path,
        stamp(args.weight_path),
        args.net,
        images.name,
        images.classes,
        images.digest,
        pytorch_init,
    )

    def load():
        return checkpoints.load(args.weight_path, args.net, images, pytorch_init=pytorch_init)

    return kept("network", key, load)


def full_importance(args, model, weights, split, takes):
    """(I_D of the network, seconds that computing it took): computed the first time, kept beside the checkpoint.

    takes: the parameters of the method's signature, of which `measure` says which importance it is.
    """
    identity = {
        "weights": weights,
        "data": split.full.digest,
        "numerics": args.numerics,
        "device": device(args).type,
    }
    dials = {"measure": takes["measure"].default, "per_sample": args.importance == "sample"}

    def stored():
        requests = [
            batches(full, model, args.b) for full in (split.full, *_others_read_full(args, split))
        ]
        values, seconds = store.importance(
            model, requests, args.weight_path, identity=identity, train=split.train, **dials
        )
        return {name: value.to(device(args)) for name, value in values.items()}, seconds

    key = (
        str(args.weight_path),
        *identity.values(),
        *dials.values(),
        args.b,
        sha256(split.full.index),
    )
    return kept("I_D", key, stored)


def _others_read_full(args, split):
    """D in the orders of the classes named by -together, where it depends on the class at all."""
    if (
        args.protocol != "released"
        or args.importance == "sample"
        or args.task not in ("full_class", "sub_class")
    ):
        return
    parted = splits.split_class if args.task == "full_class" else splits.split_sub_class
    for name in args.together:
        with suppress(UserError):  # a class that there is not: its own run says so
            yield parted(split.train, split.test, name, protocol=PROTOCOLS["released"]).full


def original_logits(args, model, weights, images, what):
    """The trained network's logits [N, C] on all images of a set, computed the first time, kept beside the checkpoint."""
    identity = {
        "weights": weights,
        "data": images.digest,
        "numerics": args.numerics,
        "device": device(args).type,
    }

    def stored():
        return store.logits(
            args.weight_path, what, identity, lambda: metrics.logits_of(model, images, what)
        ).to(device(args))

    return kept(f"{what} logits", (str(args.weight_path), *identity.values()), stored)
