"""What the order of D and the batch size do to SSD.

    python -m experiments.order -net ResNet18Slim -dataset Folder -data DIR -forget_class cat \\
        [-alpha 10] [-gpu]

Gradients are squared batch by batch, so both move I_D. This takes the checkpoint that
pretrain_model.py left and dampens it by importances of D

    in three orders: by class; the released scripts', with D_f at the end; shuffled, three times
    in batches of other sizes
    of single samples, which depend on neither

and prints a table: how much is selected, how much of it is what order by class selects too
(Jaccard), and the scores. The same numbers go to docs/figures/order-{net}-{dataset}-{class}.json.
"""

import common.threads  # noqa: F401 (before torch)

import copy
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

import metrics
import models
import splits
import ssd
from common.console import run_script
from common.files import write_whole
from forget_full_class_main import ALPHA
from learning.images import ImageSet, batches
from learning.protocol import RELEASED
from runs import environment, flags, inputs
from runs.cache import Cache
from runs.request import dial
from runs.tasks import FULL_CLASS

FIGURES = Path(__file__).parent.parent / "docs" / "figures"
COLUMNS = ("selected %", "Jaccard", "D_r %", "D_f %", "MIA %")


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """A way to read D when its importances are taken."""

    title: str
    full: ImageSet  # D in its order
    batch_size: int = 64
    per_sample: bool = False


def by_class(split):
    """D sorted by class in batches of 64: what the paper says."""
    return Reading(title="by class, 64 (paper)", full=split.full)


def readings(split, forget_class):
    """All that are compared, the paper's first."""
    released = splits.split_class(split.train, split.test, forget_class, protocol=RELEASED)
    result = [by_class(split), Reading(title="released: D_f last, 64", full=released.full)]
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(split.train), generator=generator)
        result.append(Reading(title=f"shuffled ({seed}), 64", full=split.train.take(order)))
    for size in (16, 128, 256):
        result.append(Reading(title=f"by class, {size}", full=split.full, batch_size=size))
    result.append(Reading(title="each sample's own", full=split.full, per_sample=True))
    return result


def outcome(model, split, untrained, alpha, reading):
    """(the parameters selected, bool [P]; scores) of SSD on a copy of the model."""
    model = copy.deepcopy(model)

    def importance(images):
        data = batches(images, model, reading.batch_size)
        return ssd.importance(model, data, per_sample=reading.per_sample)

    full, forget = importance(reading.full), importance(split.forget)
    selected = torch.cat([(forget[name] > alpha * full[name]).flatten() for name in full])
    ssd.dampen(model, full, forget, alpha=alpha, lam=1)
    logits = metrics.split_logits(model, split)
    return selected, metrics.score(logits, untrained, split, batch_size=64)


def row(selected, reference, scores):
    """{column: value}; reference: the parameters that order by class selects."""
    in_both = int((selected & reference).sum())
    in_either = int((selected | reference).sum())
    jaccard = in_both / max(1, in_either)
    share = 100 * float(selected.double().mean())
    values = (share, jaccard, scores["RetainTestAcc"], scores["Df"], scores["MIA"])
    return dict(zip(COLUMNS, values, strict=True))


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = flags.arguments(__doc__, FULL_CLASS, [*argv, "-method", "ssd"])
    train, test = inputs.load_data(args, Cache())
    network = inputs.network(args, train, Cache())
    model = network.copy(args)
    untrained = models.untrained(model)
    split = splits.split_class(train, test, args.forget_class)
    alpha = dial(args, "alpha", ALPHA)
    print(f"SSD, alpha {alpha:g}, lambda 1, {args.net} on {args.dataset}", end="")
    print(f", forget {args.forget_class}\n")
    print("| I_D | " + " | ".join(COLUMNS) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    reference, rows = None, {}
    for reading in readings(split, args.forget_class):
        selected, scores = outcome(model, split, untrained, alpha, reading)
        if reference is None:
            reference = selected
        rows[reading.title] = row(selected, reference, scores)
        cells = [f"{value:.2f}" for value in rows[reading.title].values()]
        print("| " + " | ".join([reading.title, *cells]) + " |", flush=True)
    result = {
        "command": args.command.replace("forget_full_class_main.py", "-m experiments.order"),
        "alpha": alpha,
        "weights_hash": network.weights_hash,
        "device": environment.device(args.gpu),
        "date": environment.today(),
        **environment.versions(),
        "rows": rows,
    }
    path = FIGURES / f"order-{args.net}-{args.dataset}-{args.forget_class}.json"
    write_whole(path, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    run_script(main)
