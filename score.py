"""Score a network again that a forget script has kept with -save.

    python forget_full_class_main.py -net ResNet18Slim -dataset Digits -forget_class 0 -method ssd -save net.safetensors
    python score.py net.safetensors

loads the data that the network's file names, scores the network as the script did, and compares
with the record that the script left: on the same machine the numbers agree to the last digit.
Exit code 1 where they do not.
"""

import common.threads  # noqa: F401 (before torch)

import importlib
import shlex
import sys
from functools import partial
from pathlib import Path

import metrics
import splits
from common.console import parser, run_script
from common.errors import UserError
from runs import checkpoints, flags, inputs, records
from runs import run as experiment


def main(argv=None):
    own = arguments(argv)
    # 1. Which run has made this network.
    metadata = checkpoints.read_metadata(own.network)
    args, script = run_of(metadata, own)
    split = script.split_of(args)
    model, _, _ = inputs.trained(args, split.train)
    split = splits.after_forgetting(split, metadata["forgotten_before"])
    # 2. Score it as that run did.
    device = inputs.device(args)
    model.to(device)
    untrained = experiment.untrained_for(args, model)
    config = {"method": metadata["method"], "protocol": args.protocol, "b": args.b}
    scores = experiment.scores_of(partial(metrics.logits_of, model), untrained, split, config, {})
    # 3. Compare with the record.
    record = records.read(metadata["record"])
    show(scores, record, metadata)
    if record and record["scores"] != scores:
        sys.exit(1)
    return scores


def arguments(argv):
    own = parser(__doc__)
    own.add_argument("network", help="the file that -save named")
    own.add_argument(
        "-data", metavar="DIR", help="where data sets lie, if not where the script found them"
    )
    own.add_argument("-gpu", action="store_true", help="use the GPU")
    return own.parse_args(argv)


def run_of(metadata, own):
    """(the flags of the run that has made the network, with it as their checkpoint; the script's module)."""
    if "command" not in metadata or "forgotten_before" not in metadata:
        raise UserError(
            f"{own.network} is no network that a forget script has kept; name a file that -save made"
        )
    _, script, *argv = shlex.split(metadata["command"])
    argv += [
        "-weight_path",
        own.network,
        "-wandb",
        "disabled",
        "-save",
        "",
    ]  # of two the last counts
    if own.data:
        argv += ["-data", own.data]
    if own.gpu:
        argv.append("-gpu")
    name = Path(script).stem
    task = name.removeprefix("forget_").removesuffix("_main")
    args = flags.arguments("", task, argv)
    args.gpu = own.gpu
    return args, importlib.import_module(name)


def show(scores, record, metadata):
    """Print each score beside the record's."""
    forgotten = [entry["forget"] for entry in metadata["forgotten"]]
    print(f"{metadata['method']}, forgotten: {', '.join(forgotten) or 'nothing'}")
    if record is None:
        for name, value in scores.items():
            print(f"  {name:14} {value!r}")
        print(f"the record is gone: {metadata['record']}")
        return
    for name, value in scores.items():
        print(f"  {name:14} {value!r:20} record: {record['scores'][name]!r}")
    equal = record["scores"] == scores
    print("equal to the record" if equal else f"NOT equal to the record {metadata['record']}")


if __name__ == "__main__":
    run_script(main)
