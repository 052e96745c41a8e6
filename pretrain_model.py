"""Train the network that the forgetting scripts start from.

    python pretrain_model.py -net ResNet18 -dataset Cifar20 -gpu

writes checkpoints/ResNet18-Cifar20-seed0.safetensors. SGD (momentum 0.9, weight decay 5e-4), batch 64, the learning
rate warmed up over the first epoch and cut to a fifth at each milestone; epochs and milestones as published
(training.py). Killed at any moment, the same command goes on from the last finished epoch.
"""

import common.threads  # noqa: F401 (before torch)

import math
import os
import time
from pathlib import Path

import torch

import models
from common.console import run_script
from common.errors import UserError
from common.files import Claim, check_writable, sha256
from learning import corruption, numerics
from learning.images import batches
from learning.protocol import PROTOCOLS
from learning.recipes import lr_factor, recipe
from learning.training import epochs, sgd
from metrics import accuracy, logits_of
from runs import checkpoints, environment, flags, inputs


def arguments(argv):
    parser = flags.parser(__doc__)
    parser.add_argument("-b", type=int, help="batch size (64)")
    parser.add_argument("-warm", type=int, help="epochs of warm-up (1)")
    parser.add_argument("-lr", type=float, help="learning rate (0.1; ViT 0.01)")
    parser.add_argument(
        "-epochs", type=int, help="default: the published number; milestones scale with it"
    )
    parser.add_argument("-seed", type=flags.seed, default=0)
    parser.add_argument(
        "-weight_path",
        help="start from this network, in place of random weights; what it has forgotten stays out",
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
    if args.weight_path and not args.out:
        raise UserError(
            "-weight_path continues from a trained network; name with -out where the new one is to go"
        )
    args.out = Path(args.out or flags.default_checkpoint(args, args.seed, args.protocol))
    if args.out.suffix != ".safetensors":
        raise UserError(f"-out {args.out}: checkpoints are .safetensors files; name it so")
    if args.weight_path and os.path.abspath(args.out) == os.path.abspath(args.weight_path):
        raise UserError(
            f"-out {args.out} is the network that this training starts from; name another file"
        )
    return args


def main(argv=None):
    args = arguments(argv)
    # 1. What is to be learned, and how.
    train, test = inputs.load_data(args)
    if args.corruption:
        train, _ = corruption.corrupt(train, args.corruption, args.corrupt_count, args.seed)
    how = chosen_recipe(args)
    metadata = {
        "net": args.net,
        "dataset": args.dataset,
        "classes": list(train.classes),
        "data_hash": train.digest,
        "seed": args.seed,
        "epochs": how["epochs"],
        "recipe": how,
        "protocol": args.protocol,
        "device": "cuda" if args.gpu else "cpu",
    }
    if args.net == "ViT":
        metadata["backbone"] = args.vit_init
    if args.corruption:
        metadata["corruption"] = f"{args.corruption} {args.corrupt_count}"
    start = None
    if args.weight_path:
        start, before, weights = inputs.trained(args, train)
        metadata["checkpoint"] = {
            "path": os.path.abspath(args.weight_path),
            "weights_hash": weights,
        }
        metadata["forgotten"] = before.get("forgotten", [])
        train = without_forgotten(train, metadata["forgotten"])
    if done := finished(args, metadata):
        return done
    if args.dry_run:
        return print(f"to train: {args.out}")
    # 2. Learn it.
    check_writable(args.out.parent)
    claimed = Claim(args.out)
    if done := finished(args, metadata):  # by the process that was waited for
        claimed.end()
        return done
    torch.manual_seed(args.seed)
    pytorch_init = PROTOCOLS[args.protocol].initial_weights_are_pytorchs
    model = start or models.create(
        args.net, len(train.classes), args.vit_init, pytorch_init=pytorch_init
    )
    model.to(inputs.device(args))
    numerics.compute_in(model, args.numerics)
    key = sha256(str(sorted(metadata.items())))[
        :8
    ]  # another recipe never goes on from this one's state
    keep, best = (
        args.out.with_name(f".{args.out.stem}-{key}{end}")
        for end in (".partial", "-best.safetensors")
    )
    accuracy_reached, seconds_per_epoch = learn(model, train, test, how, args, keep, best)
    # 3. Keep it.
    metadata.update(
        accuracy=accuracy_reached,
        seconds_per_epoch=seconds_per_epoch,
        commit=environment.commit(),
        versions=environment.versions(),
    )
    checkpoints.save(model, args.out, metadata)
    for path in (keep, best):
        path.unlink(missing_ok=True)
    claimed.end()
    print(
        f"{args.net} on {args.dataset}: {metadata['accuracy']:.2f} % of the test images right; {args.out}"
    )
    return metadata


def without_forgotten(train, forgotten):
    """The training images less those that a network has forgotten (a saved network's metadata say which)."""
    stays = torch.ones(len(train), dtype=torch.bool)
    for entry in forgotten:
        stays &= ~torch.isin(train.index.cpu(), torch.tensor(entry["images"]))
    return train.take(torch.where(stays)[0])


def chosen_recipe(args):
    """The published recipe with the flags' values in it; milestones keep their share of the epochs."""
    how = recipe(args.net, args.dataset)
    given = {"epochs": args.epochs, "lr": args.lr, "warm": args.warm, "b": args.b}
    for flag, value in given.items():
        if value is not None:
            name = "batch_size" if flag == "b" else flag
            if not math.isfinite(value) or value < 0 or (name != "warm" and not value > 0):
                raise UserError(f"-{flag} {value}: it must be positive")
            if name == "epochs":
                how["milestones"] = [
                    round(milestone * value / how["epochs"]) for milestone in how["milestones"]
                ]
            how[name] = value
    return how | {"numerics": args.numerics}


def finished(args, metadata):
    """The metadata of the checkpoint that this very command has made before, or None; UserError where another lies there."""
    if args.force or not os.path.lexists(args.out):
        return None
    there = checkpoints.read_metadata(args.out)
    if "recipe" in there:  # before it was a choice, it was fp32
        there["recipe"] = {"numerics": "fp32", **there["recipe"]}
    differing = [
        name for name, value in metadata.items() if name != "device" and there.get(name) != value
    ]
    if differing:
        raise UserError(
            f"{args.out} was trained otherwise ({', '.join(differing)} differ); name another file with -out "
            "or replace it with -force"
        )
    print(
        f"done before: {args.out}, {there['accuracy']:.2f} % of the test images right (-force trains again)"
    )
    return there


def learn(model, train, test, how, args, keep, best_path):
    """Train by the recipe, going on from `keep`; returns (test accuracy in percent, seconds per epoch)."""

    def test_accuracy():
        return accuracy(logits_of(model, test, "test"), test.labels.to(inputs.device(args)))

    data = batches(train, model, how["batch_size"], shuffle=True, augment=True)
    keeps_best = PROTOCOLS[args.protocol].checkpoint_is_best_on_test
    best = (
        checkpoints.read_metadata(best_path).get("accuracy", -1.0) if best_path.exists() else -1.0
    )
    seconds, start = [], time.perf_counter()
    for _ in epochs(
        model,
        data,
        sgd(model, how["lr"]),
        how["epochs"],
        keep=keep,
        what=f"pre-training {args.net}",
        factor=lambda step: lr_factor(step, len(data), how["warm"], how["milestones"]),
    ):
        seconds.append(time.perf_counter() - start)
        if keeps_best and (now := test_accuracy()) > best:
            best = now
            checkpoints.save(model, best_path, {"accuracy": best})
        start = time.perf_counter()
    if keeps_best:
        checkpoints.fill(model, best_path)
    return test_accuracy(), sum(seconds) / max(1, len(seconds))


if __name__ == "__main__":
    run_script(main)
