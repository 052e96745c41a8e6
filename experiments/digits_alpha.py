"""How alpha for ResNet18Slim on the digits was found, and which digits SSD can forget: on validation images alone.

    python -m experiments.digits_alpha Digits           one class: what is forgotten cleanly (3 minutes on two cores)
    python -m experiments.digits_alpha DigitShapes      one sub-class: the distance to retrain (12 minutes)

carves every fifth training image off for validation, trains five networks (seeds 0 to 4) on the rest by the recipe of
training.py and forgets each digit with each alpha. Cleanly: accuracy on the digit at most 5 %, at most 5 points lost on
the others. Distance: mean of |D_f - retrain's| and |D_r - retrain's|. No test image is looked at. Writes
docs/digits_alpha-*.json and, for Digits, docs/digits_alpha.png.
"""

import common.threads  # noqa: F401 (before torch)

import copy
import json
import sys
from pathlib import Path

import torch

import datasets
import models
import splits
import ssd
from learning.images import batches
from learning.recipes import lr_factor, recipe
from learning.training import fit, predict, sgd
from metrics import accuracy

ALPHAS = (1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)
SEEDS = range(5)
SPLITS = {"Digits": splits.split_class, "DigitShapes": splits.split_sub_class}


def percent(model, images):
    return accuracy(predict(model, batches(images, model, 512)), images.labels)


def trained(train, seed, what):
    """A ResNet18Slim trained on `train` by the recipe."""
    torch.manual_seed(seed)
    how, model = (
        recipe("ResNet18Slim", train.name),
        models.create("ResNet18Slim", len(train.classes)),
    )
    data = batches(train, model, how["batch_size"], shuffle=True, augment=True)
    return fit(
        model,
        data,
        sgd(model, how["lr"]),
        how["epochs"],
        what=what,
        factor=lambda step: lr_factor(step, len(data), how["warm"], how["milestones"]),
    )


def grid(dataset, seed):
    """Rows (measure, digit, alpha, D_f wanted, D_f, D_r wanted, D_r), percent, of one trained network."""
    whole, _ = datasets.load(dataset)
    train, validation = (
        whole.take(positions) for positions in datasets.every_fifth(whole, whole.fine_labels)
    )
    model = trained(train, seed, f"{dataset}, seed {seed}")
    weights = copy.deepcopy(model.state_dict())
    for digit in range(10):
        split = SPLITS[dataset](train, validation, digit)
        if dataset == "Digits":  # a network that never saw a class never names it
            wanted = 0.0, percent(model, split.retain_test)
        else:
            retrained = trained(split.retain, seed, f"retrain without {digit}")
            wanted = percent(retrained, split.forget_test), percent(retrained, split.retain_test)
        for measure in ("fisher", "norm"):
            full, forget = (
                ssd.importance(model, batches(part, model, 64), measure=measure)
                for part in (split.full, split.forget)
            )
            for alpha in ALPHAS:
                ssd.dampen(model, full, forget, alpha=alpha, lam=1)
                after = percent(model, split.forget_test), percent(model, split.retain_test)
                model.load_state_dict(weights)
                yield measure, digit, alpha, wanted[0], after[0], wanted[1], after[1]


def plot(rows, path):
    """Ten panels, one a digit: accuracy on it and on the others over alpha; a thin line a network, a thick one the mean."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        2, 5, figsize=(11, 4.6), sharex=True, sharey=True, layout="constrained"
    )
    for digit, axis in enumerate(axes.flat):
        for column, colour, name in (
            (4, "#D55E00", "the digit (D_f)"),
            (6, "#0072B2", "the other nine (D_r)"),
        ):
            values = [
                [row[column] for row in rows if row[1:3] == (digit, alpha)] for alpha in ALPHAS
            ]
            axis.plot(ALPHAS, values, color=colour, linewidth=0.7, alpha=0.45)
            axis.plot(
                ALPHAS, [sum(v) / len(v) for v in values], color=colour, linewidth=2.5, label=name
            )
        axis.set_title(f"forget {digit}", fontsize=10)
        axis.grid(color="#dddddd")
    figure.supxlabel("alpha (a smaller alpha selects more parameters)", fontsize=10)
    figure.supylabel("accuracy on validation images, %", fontsize=10)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), fontsize=9, loc="outside lower right", ncols=2
    )
    figure.suptitle(
        f"SSD forgets one of ten digits: {len(SEEDS)} trained networks (thin) and their mean (thick)",
        fontsize=11,
    )
    figure.savefig(path, dpi=120)


def main(dataset):
    rows = [row for seed in SEEDS for row in grid(dataset, seed)]
    found = {}
    for measure in ("fisher", "norm"):
        print(
            f"{dataset}, {measure}; networks of {len(SEEDS)} in which a digit is forgotten cleanly; mean distance to retrain"
        )
        print("alpha  digits 0 to 9        all  distance")
        for alpha in ALPHAS:
            mine = [row for row in rows if row[0] == measure and row[2] == alpha]
            clean = [
                sum(row[1] == digit and row[4] <= 5 and row[6] >= row[5] - 5 for row in mine)
                for digit in range(10)
            ]
            distance = (
                sum(abs(row[4] - row[3]) + abs(row[6] - row[5]) for row in mine) / 2 / len(mine)
            )
            found[f"{measure} alpha {alpha:g}"] = {"cleanly": clean, "distance": round(distance, 2)}
            print(f"{alpha:5g}  {' '.join(map(str, clean))}  {sum(clean):3d}  {distance:8.1f}")
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items()]
    Path(f"docs/digits_alpha-{dataset}.json").write_text("{" + ",\n ".join(lines) + "}\n")
    if dataset == "Digits":
        plot([row for row in rows if row[0] == "fisher"], "docs/digits_alpha.png")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["Digits"]))
