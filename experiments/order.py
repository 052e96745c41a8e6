"""What the order of D and the batch size do to SSD: gradients are squared batch by batch, so both move I_D.

    python -m experiments.order -net ResNet18Slim -dataset Folder -data DIR -forget_class cat [-alpha 10] [-gpu]

takes the checkpoint that pretrain_model.py left and dampens it by importances of D in three orders (by class; the released
scripts', D_f at the end; shuffled, three times), of other batch sizes, and of single samples, which depend on neither.
Prints how much is selected, how much of it is what order by class selects too (Jaccard), and the scores, as a table; the
same numbers go to docs/order-{net}-{dataset}-{class}.json.
"""

import common.threads  # noqa: F401 (before torch)

import copy
import json
import sys
from pathlib import Path

import torch
from tqdm import tqdm

import forget_full_class_main as script
import metrics
import models
import splits
import ssd
from common.console import run_script
from common.files import write_whole
from learning.images import batches
from learning.protocol import RELEASED
from runs import environment, flags, inputs
from runs import run as experiment


def readings(train, test, split, forget_class):
    """Yields (what is done, D in its order, batch size, per_sample)."""
    yield "by class, 64 (paper)", split.full, 64, False
    yield (
        "released: D_f last, 64",
        splits.split_class(train, test, forget_class, protocol=RELEASED).full,
        64,
        False,
    )
    for seed in range(3):
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        yield f"shuffled ({seed}), 64", train.take(order), 64, False
    for size in (16, 128, 256):
        yield f"by class, {size}", split.full, size, False
    yield "each sample's own", split.full, 64, True


def outcome(model, split, untrained, alpha, *, full_set=None, size=64, per_sample=False):
    """(the parameters selected, bool [P]; scores) of SSD on a copy of the model; full_set: D in another order than split's."""
    model = copy.deepcopy(model)
    full, forget = (
        ssd.importance(model, batches(part, model, size), per_sample=per_sample)
        for part in (full_set or split.full, split.forget)
    )
    chosen = torch.cat([(forget[name] > alpha * full[name]).flatten() for name in full])
    ssd.dampen(model, full, forget, alpha=alpha, lam=1)
    logits = metrics.split_logits(model, split)
    return chosen, metrics.score(logits, untrained, split, batch_size=64)


def main(argv=None):
    args = flags.arguments(
        __doc__, "full_class", [*(sys.argv[1:] if argv is None else argv), "-method", "ssd"]
    )
    train, test = inputs.load_data(args)
    model, _, weights = inputs.trained(args, train)
    model.to(inputs.device(args))
    split, untrained = splits.split_class(train, test, args.forget_class), models.untrained(model)
    alpha = experiment.dial(args, "alpha", script.ALPHA)
    print(
        f"SSD, alpha {alpha:g}, lambda 1, {args.net} on {args.dataset}, forget {args.forget_class}\n"
    )
    print("| I_D | selected % | Jaccard | D_r % | D_f % | MIA % |\n|---|---|---|---|---|---|")
    first, rows = None, {}
    for what, full_set, size, per_sample in tqdm(
        list(readings(train, test, split, args.forget_class)), disable=None
    ):
        chosen, scores = outcome(
            model, split, untrained, alpha, full_set=full_set, size=size, per_sample=per_sample
        )
        first = chosen if first is None else first
        jaccard = int((chosen & first).sum()) / max(1, int((chosen | first).sum()))
        said = [
            100 * float(chosen.double().mean()),
            jaccard,
            *(scores[name] for name in ("RetainTestAcc", "Df", "MIA")),
        ]
        rows[what] = dict(
            zip(("selected %", "Jaccard", "D_r %", "D_f %", "MIA %"), said, strict=True)
        )
        print(f"| {what} | " + " | ".join(f"{value:.2f}" for value in said) + " |", flush=True)
    found = {
        "command": args.command.replace("forget_full_class_main.py", "-m experiments.order"),
        "alpha": alpha,
        "weights_hash": weights,
        "device": environment.device(args.gpu),
        "date": environment.today(),
        **environment.versions(),
        "rows": rows,
    }
    write_whole(
        Path(f"docs/order-{args.net}-{args.dataset}-{args.forget_class}.json"),
        (json.dumps(found, indent=1) + "\n").encode(),
    )


if __name__ == "__main__":
    run_script(main)
