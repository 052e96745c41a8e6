"""Train the network that the forgetting scripts start from.

    python pretrain_model.py -net ResNet18 -dataset Cifar20 -gpu

writes checkpoints/ResNet18-Cifar20-seed0.safetensors. Killed at any moment, the same command goes
on from the last finished epoch. `-seeds 0-31` trains 32 networks, one after the other.

By the published recipe SGD has momentum 0.9 and weight decay 5e-4, and a batch has 64 images. The
learning rate is warmed up over the first epoch and cut to a fifth at each milestone. With
`-recipe fast` a network takes about a third of the time; its first epochs show small images. Both
stand in learning/recipes.py.

Expected, as the demo runs it on 2 cores of an AMD EPYC: 97.75 % of the test images right, from

    python pretrain_model.py -net ResNet18Slim -dataset Digits
"""

import common.threads  # noqa: F401 (before torch)

import argparse
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import models
from common.console import run_script
from common.errors import UserError
from common.files import check_writable, once, sha256
from learning import corruption, numerics
from learning.by_recipe import epochs_by_recipe
from learning.images import batches
from learning.protocol import PROTOCOLS
from learning.recipes import FAST, recipe, with_epochs
from metrics import accuracy, logits_of
from runs import checkpoints, environment, flags, inputs, published
from runs.cache import Cache
from runs.seeds import for_each_seed


def main(argv=None, cache=None):
    cache = cache or Cache()
    args = arguments(argv)
    # 1. What is to be learned, and how.
    train, test = inputs.load_data(args, cache)
    if args.corruption:
        train, _ = corruption.corrupt(train, args.corruption, args.corrupt_count, args.seed)
    settings = chosen_recipe(args)
    metadata = metadata_of(args, train, settings)
    start = None
    if args.weight_path:
        start = inputs.network(args, train, cache)
        forgotten = start.metadata.get("forgotten", [])
        train = without_forgotten(train, forgotten)
        metadata["forgotten"] = forgotten
        metadata["checkpoint"] = {
            "path": os.path.abspath(args.weight_path),
            "weights_hash": start.weights_hash,
        }
    if args.dry_run:
        return look(args, metadata) or print(f"to train: {args.out}")
    with once(args.out, lambda: look(args, metadata), waits=not cache.serves_many_runs) as done:
        if done:
            return done
        # 2. Learn it.
        check_writable(args.out.parent)
        model = start.copy(args) if start else first_network(args, train)
        files = unfinished_files(args.out, metadata)
        seconds_per_epoch = learn(model, train, test, settings, args, files)
        # 3. Keep it.
        metadata["accuracy"] = test_accuracy(model, test)
        metadata["seconds_per_epoch"] = seconds_per_epoch
        metadata["commit"] = environment.commit()
        metadata["versions"] = environment.versions()
        checkpoints.save(model, args.out, metadata)
        files.remove()
    reached = f"{metadata['accuracy']:.2f} % of the test images right"
    print(f"{args.net} on {args.dataset}: {reached}; {args.out}")
    return metadata


def arguments(argv) -> argparse.Namespace:
    """The flags, read and checked."""
    parser = flags.parser(__doc__)
    parser.add_argument("-b", type=int, help="batch size (64 by the published recipe)")
    parser.add_argument("-warm", type=int, help="epochs of warm-up (1 by the published recipe)")
    parser.add_argument("-lr", type=float, help="highest learning rate (published: 0.1; ViT 0.01)")
    parser.add_argument(
        "-epochs", type=int, help="default: the recipe's; what it does when scales with them"
    )
    parser.add_argument(
        "-seed",
        "-seeds",
        type=flags.seed,
        default=0,
        metavar="N",
        help="of weights and order; a range as 0-31 trains a network for each",
    )
    parser.add_argument(
        "-weight_path",
        help="start from this network and not from random weights; what it has forgotten stays out",
    )
    parser.add_argument("-out", help="default checkpoints/{net}-{dataset}-seed{seed}.safetensors")
    parser.add_argument(
        "-vit_init",
        choices=["pretrained", "random"],
        default="pretrained",
        help="ViT: random for speed tests",
    )
    parser.add_argument(
        "-force", action="store_true", help="train again though the checkpoint is there"
    )
    args = parser.parse_args(argv)
    args.weight_path = published.weight_path(args.weight_path)
    if args.weight_path and not args.out:
        raise UserError(
            "-weight_path continues from a trained network; name with -out where the new one is "
            "to go"
        )
    args.out = Path(args.out or flags.default_checkpoint(args, args.seed, args.protocol))
    if args.out.suffix != ".safetensors":
        raise UserError(f"-out {args.out}: checkpoints are .safetensors files; name it so")
    if args.weight_path and os.path.abspath(args.out) == os.path.abspath(args.weight_path):
        raise UserError(
            f"-out {args.out} is the network that this training starts from; name another file"
        )
    return args


def chosen_recipe(args) -> dict:
    """The recipe asked for, with the flags' values in it."""
    settings = recipe(args.net, args.dataset, args.recipe)
    given = {"epochs": args.epochs, "lr": args.lr, "warm": args.warm, "batch_size": args.b}
    for name, value in given.items():
        if value is None:
            continue
        _check_positive(name, value)
        if name == "epochs":
            settings = with_epochs(settings, value)
        settings[name] = value
    if args.recipe == FAST and settings["warm"] >= settings["epochs"]:
        raise UserError(
            f"-warm {args.warm}: a fast recipe's rate must fall again within its "
            f"{settings['epochs']} epochs; take a smaller one"
        )
    settings["numerics"] = args.numerics
    return settings


def _check_positive(name, value):
    """UserError for a value of a recipe that cannot be; no epoch of warm-up is allowed."""
    may_be_zero = name == "warm"
    is_positive = value > 0 or (may_be_zero and value == 0)
    if not math.isfinite(value) or not is_positive:
        flag = "b" if name == "batch_size" else name
        raise UserError(f"-{flag} {value}: it must be positive")


def metadata_of(args, train, settings) -> dict:
    """What the checkpoint says of itself, as far as it is known before the training."""
    metadata = {
        "net": args.net,
        "dataset": args.dataset,
        "classes": list(train.classes),
        "data_hash": train.digest,
        "seed": args.seed,
        "epochs": settings["epochs"],
        "recipe": settings,
        "protocol": args.protocol,
        "device": "cuda" if args.gpu else "cpu",
    }
    if args.net == "ViT":
        metadata["backbone"] = args.vit_init
    if args.corruption:
        metadata["corruption"] = f"{args.corruption} {args.corrupt_count}"
    return metadata


def without_forgotten(train, forgotten):
    """The training images less those that a network has forgotten, as its metadata say."""
    stays = torch.ones(len(train), dtype=torch.bool)
    for entry in forgotten:
        stays &= ~torch.isin(train.index.cpu(), torch.tensor(entry["images"]))
    return train.take(torch.where(stays)[0])


def look(args, metadata) -> dict | None:
    """The metadata of the checkpoint that this very command has made before, else None.

    UserError where another network lies at its path.
    """
    if args.force or not os.path.lexists(args.out):
        return None
    earlier = checkpoints.read_metadata(args.out)
    if "recipe" in earlier:  # before numerics was a choice, it was fp32
        earlier["recipe"] = {"numerics": "fp32", **earlier["recipe"]}
    differing = []
    for name, value in metadata.items():
        if name != "device" and earlier.get(name) != value:
            differing.append(name)
    if differing:
        raise UserError(
            f"{args.out} was trained otherwise ({', '.join(differing)} differ); name another file "
            "with -out or replace it with -force"
        )
    reached = f"{earlier['accuracy']:.2f} % of the test images right"
    print(f"done before: {args.out}, {reached} (-force trains again)")
    return earlier


def first_network(args, train):
    """The network that a training starts from: random weights (a ViT's backbone may be trained)."""
    torch.manual_seed(args.seed)
    pytorch_init = PROTOCOLS[args.protocol].initial_weights_are_pytorchs
    model = models.create(
        args.net, len(train.classes), args.vit_init, pytorch_init=pytorch_init
    ).to(inputs.device(args))
    first_images, _, _ = next(iter(batches(train.take(torch.arange(2)), model, 2)))
    models.check_on(model, first_images, args.net, len(train.classes))
    numerics.compute_in(model, args.numerics)
    return model


@dataclass(frozen=True)
class Unfinished:
    """The files of a training that is not finished."""

    state: Path  # after the last finished epoch
    best: Path  # the network that was best on the test images (released protocol)

    def remove(self):
        self.state.unlink(missing_ok=True)
        self.best.unlink(missing_ok=True)


def unfinished_files(out, metadata) -> Unfinished:
    """Where an unfinished training lies: another recipe never goes on from this one's state."""
    key = sha256(str(sorted(metadata.items())))[:8]
    return Unfinished(
        state=out.with_name(f".{out.stem}-{key}.partial"),
        best=out.with_name(f".{out.stem}-{key}-best.safetensors"),
    )


def learn(model, train, test, settings, args, files) -> float:
    """Train by the recipe, going on from `files`; returns the seconds per epoch."""
    keeps_best = PROTOCOLS[args.protocol].checkpoint_is_best_on_test
    best = -1.0
    if files.best.exists():
        best = checkpoints.read_metadata(files.best).get("accuracy", best)
    training = epochs_by_recipe(
        model, train, settings, title=f"pre-training {args.net}", keep=files.state
    )
    seconds = []
    start = time.perf_counter()
    for _ in training:
        seconds.append(time.perf_counter() - start)
        if keeps_best:
            reached = test_accuracy(model, test)
            if reached > best:
                best = reached
                checkpoints.save(model, files.best, {"accuracy": best})
        start = time.perf_counter()
    if keeps_best:
        checkpoints.fill(model, files.best)
    return sum(seconds) / max(1, len(seconds))


def test_accuracy(model, test) -> float:
    """The share of test images that the network gets right, in percent."""
    logits = logits_of(model, test, "test")
    return accuracy(logits, test.labels.to(logits.device))


if __name__ == "__main__":
    run_script(for_each_seed(main))
