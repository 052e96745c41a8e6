"""Score a network again that a forget script has kept with -save.

    python forget_full_class_main.py -net ResNet18Slim -dataset Digits -forget_class 0 \\
        -method ssd -save net.safetensors
    python score.py net.safetensors

loads the data that the network's file names, scores the network as the script did, and compares
with the record that the script left: on the same machine the numbers agree to the last digit.
Exit code 1 where they do not.
"""

import common.threads  # noqa: F401 (before torch)

import argparse
import importlib
import shlex
import sys
from pathlib import Path

import metrics
from common import console
from common.console import run_script
from common.errors import UserError
from learning.protocol import PROTOCOLS
from runs import checkpoints, flags, inputs, records
from runs.cache import Cache
from runs.request import scoring
from runs.run import score_logits, untrained_for
from runs.tasks import TASKS
from splits import after_forgetting


def main(argv=None):
    given = arguments(argv)
    cache = Cache()
    # 1. Which run has made this network.
    metadata = checkpoints.read_metadata(given.network)
    args = run_of(metadata, given)
    script = importlib.import_module(TASKS[args.task].script)
    split = script.split_of(args, cache)
    model = inputs.network(args, split.train, cache).copy(args)
    split = after_forgetting(split, metadata["forgotten_before"])
    # 2. Score it as that run did.
    protocol = PROTOCOLS[args.protocol]
    untrained = untrained_for(args, model)
    options = scoring(metadata["method"], protocol)
    logits = metrics.split_logits(model, split)
    scores = score_logits(logits, untrained, split, args.b, protocol, options, notes={})
    # 3. Compare with the record.
    record = records.read(metadata["record"])
    show(scores, record, metadata)
    if record and record["scores"] != scores:
        sys.exit(1)
    return scores


def arguments(argv) -> argparse.Namespace:
    """The flags, read."""
    parser = console.parser(__doc__)
    parser.add_argument("network", help="the file that -save named")
    parser.add_argument(
        "-data", metavar="DIR", help="where data sets lie, if not where the script found them"
    )
    parser.add_argument("-gpu", action="store_true", help="use the GPU")
    return parser.parse_args(argv)


def run_of(metadata, given) -> argparse.Namespace:
    """The flags of the run that has made the network, with the network as their checkpoint."""
    if "command" not in metadata or "forgotten_before" not in metadata:
        raise UserError(
            f"{given.network} is no network that a forget script has kept; "
            "name a file that -save made"
        )
    _, script, *argv = shlex.split(metadata["command"])
    # Of a flag that is given twice the last one counts.
    argv += ["-weight_path", given.network, "-wandb", "disabled", "-save", ""]
    if given.data:
        argv += ["-data", given.data]
    if given.gpu:
        argv.append("-gpu")
    (task,) = [task for task in TASKS.values() if task.script == Path(script).stem]
    args = flags.arguments("", task, argv)
    args.gpu = given.gpu
    return args


def show(scores, record, metadata):
    """Print each score next to the record's."""
    forgotten = [entry["forget"] for entry in metadata["forgotten"]]
    print(f"{metadata['method']}, forgotten: {', '.join(forgotten) or 'nothing'}")
    if record is None:
        for name, value in scores.items():
            print(f"  {name:14} {value!r}")
        print(f"the record is gone: {metadata['record']}")
        return
    for name, value in scores.items():
        print(f"  {name:14} {value!r:20} record: {record['scores'][name]!r}")
    if record["scores"] == scores:
        print("equal to the record")
    else:
        print(f"NOT equal to the record {metadata['record']}")


if __name__ == "__main__":
    run_script(main)
