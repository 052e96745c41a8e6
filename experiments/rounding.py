"""What computing in another arithmetic changes: which parameters SSD selects, and the scores.

    python -m experiments.rounding CHECKPOINT -net ResNet18Slim -dataset Digits [-data DIR] \\
        [-numerics bf16] [-alpha 6] [-gpu]

For every class: SSD in fp32 and in the other arithmetic from the same weights. Prints the
parameters that only one of the two selects, as a share of those that either selects, and how far
D_r, D_f and MIA move, in points.
"""

import common.threads  # noqa: F401 (before torch)

import copy
import statistics

import datasets
import models
import splits
from common.console import parser, run_script
from experiments.order import by_class, outcome
from learning import numerics
from runs import checkpoints

HEADER = "| class | selected, fp32 % | change side, % of either | D_r | D_f | MIA |"
SCORES = ("RetainTestAcc", "Df", "MIA")


def result_in(arithmetic, model, split, untrained, alpha):
    """(which parameters are selected, bool [P]; scores) of SSD in this arithmetic."""
    model = copy.deepcopy(model)
    numerics.compute_in(model, arithmetic)
    return outcome(model, split, untrained, alpha, by_class(split))


def change(exact, rounded):
    """(percent that changes side, the scores' moves) from one result_in to another."""
    selected_exact, scores_exact = exact
    selected_rounded, scores_rounded = rounded
    by_either = int((selected_exact | selected_rounded).sum())
    by_one = int((selected_exact ^ selected_rounded).sum())
    moves = [scores_rounded[name] - scores_exact[name] for name in SCORES]
    return 100 * by_one / max(1, by_either), moves


def arguments(argv):
    flags = parser(__doc__)
    flags.add_argument("checkpoint")
    flags.add_argument("-net", choices=list(models.NETS), required=True)
    flags.add_argument("-dataset", choices=list(datasets.SETS), required=True)
    flags.add_argument("-data", default="data")
    flags.add_argument("-numerics", choices=numerics.NUMERICS[1:], default="bf16")
    flags.add_argument("-alpha", type=float, default=10)
    flags.add_argument("-gpu", action="store_true")
    return flags.parse_args(argv)


def main(argv=None):
    args = arguments(argv)
    device = "cuda" if args.gpu else "cpu"
    train, test = datasets.load(args.dataset, args.data, size=models.DECODE_SIZE[args.net])
    train, test = train.to(device), test.to(device)
    model, _, _ = checkpoints.load(args.checkpoint, args.net, train)
    model.to(device)
    untrained = models.untrained(model)
    print(HEADER)
    print("|---" * (HEADER.count("|") - 1) + "|")
    rows = []
    for name in train.classes:
        split = splits.split_class(train, test, name)
        exact = result_in("fp32", model, split, untrained, args.alpha)
        rounded = result_in(args.numerics, model, split, untrained, args.alpha)
        changed, moves = change(exact, rounded)
        rows.append([changed, *moves])
        share = 100 * float(exact[0].double().mean())
        cells = [name, f"{share:.3g}", f"{changed:.2f}", *[f"{move:+.2f}" for move in moves]]
        print("| " + " | ".join(cells) + " |", flush=True)
    means = [statistics.fmean(map(abs, column)) for column in zip(*rows, strict=True)]
    cells = ["mean of absolute values", "", *[f"{mean:.2f}" for mean in means]]
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    run_script(main)
