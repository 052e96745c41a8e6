"""What computing in another arithmetic changes: which parameters SSD selects, and the scores.

    python -m benchmarks.rounding CHECKPOINT -net ResNet18Slim -dataset Digits [-data DIR] [-numerics bf16] [-alpha 6] [-gpu]

For every class: SSD in fp32 and in the other arithmetic from the same weights. Prints the parameters that are selected by
one of the two alone, as a share of those selected by either, and how far D_r, D_f and MIA move, in points.
"""

import common.threads  # noqa: F401 (before torch)

import argparse
import copy
import statistics

import datasets
import models
import splits
from experiments.order import outcome
from learning import numerics
from runs import checkpoints


def run(model, split, untrained, kind, alpha):
    """(which parameters are selected, bool [P]; scores) of SSD in arithmetic `kind`."""
    model = copy.deepcopy(model)
    numerics.compute_in(model, kind)
    return outcome(model, split, untrained, alpha)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("-net", choices=models.NETS, required=True)
    parser.add_argument("-dataset", choices=datasets.SETS, required=True)
    parser.add_argument("-data", default="data")
    parser.add_argument("-numerics", choices=numerics.NUMERICS[1:], default="bf16")
    parser.add_argument("-alpha", type=float, default=10)
    parser.add_argument("-gpu", action="store_true")
    args = parser.parse_args()
    device = "cuda" if args.gpu else "cpu"
    train, test = (images.to(device) for images in datasets.load(args.dataset, args.data))
    model = checkpoints.load(args.checkpoint, args.net, train)[0].to(device)
    untrained, moved = models.untrained(model), []
    print(
        "| class | selected, fp32 % | change side, % of either | D_r | D_f | MIA |\n|---|---|---|---|---|---|"
    )
    for name in train.classes:
        split = splits.split_class(train, test, name)
        (exact, plain), (rounded, other) = (
            run(model, split, untrained, kind, args.alpha) for kind in ("fp32", args.numerics)
        )
        either, one = int((exact | rounded).sum()), int((exact ^ rounded).sum())
        moved.append(
            [
                100 * one / max(1, either),
                *(other[k] - plain[k] for k in ("RetainTestAcc", "Df", "MIA")),
            ]
        )
        print(
            f"| {name} | {100 * float(exact.double().mean()):.3g} | {moved[-1][0]:.2f} | "
            + " | ".join(f"{value:+.2f}" for value in moved[-1][1:])
            + " |",
            flush=True,
        )
    means = [statistics.fmean(map(abs, column)) for column in zip(*moved, strict=True)]
    print("| mean of absolute values | | " + " | ".join(f"{value:.2f}" for value in means) + " |")


if __name__ == "__main__":
    main()
