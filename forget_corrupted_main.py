"""Heal a network of corrupted training data of which a part alone is known: a poison's trigger, or wrong labels.

    python pretrain_model.py -net ResNet18 -dataset Cifar10 -corruption patch -corrupt_count 500 -gpu
    python forget_corrupted_main.py -net ResNet18 -dataset Cifar10 -corruption patch -corrupt_count 500 -known_share 0.1 \\
        -method potion -gpu

writes one record under results/corrupted/. The method is given the known share as D_f, with its wrong labels, and all the
rest as D_r, in which the undiscovered part still lies. Df is here the accuracy on the true labels, the higher the better: of
test images with the trigger on them (patch; AttackSuccess: how many are sent to the attacker's class), or of the corrupted
training images (label). retrain with -known_share 1 has the truly clean set. On the CPU, without -gpu, the Digits take
seconds: -net ResNet18Slim -dataset Digits -corruption patch -corrupt_count 50.
Expected, as the demo runs it: the README's table.
"""

import common.threads  # noqa: F401 (before torch)

import splits
from common.console import run_script
from methods import METHODS
from runs import flags, inputs
from runs import run as experiment

# Select a parameter when I_Df > ALPHA * I_D: a smaller ALPHA selects more. Nothing is published: the random task's.
ALPHA = {
    "ssd": {"ResNet18": 10, "ResNet18Slim": 10, "ViT": 10},
    "lfssd": {"ResNet18": 3.5, "ResNet18Slim": 3.5, "ViT": 3.5},
}
# Multiply what is selected by min(LAMBDA * I_D / I_Df, 1): a smaller LAMBDA dampens further.
LAMBDA = {
    "ssd": {"ResNet18": 1, "ResNet18Slim": 1, "ViT": 1},
    "lfssd": {"ResNet18": 1, "ResNet18Slim": 1, "ViT": 1},
}


def split_of(args):
    """The data set, parted into what stays and what goes."""
    train, test = inputs.load_data(args)
    return splits.split_corrupted(
        train,
        test,
        args.corruption,
        args.corrupt_count,
        args.known_share,
        train_seed=args.train_seed,
        seed=args.seed,
    )


def main(argv=None):
    args = flags.arguments(__doc__, "corrupted", argv)
    # 1. What was learned, and which part of it is known to be wrong.
    run = experiment.prepare(args, split_of(args), ALPHA, LAMBDA)
    if run.model is None:  # nothing to do
        return run.record
    # 2. Forget it.
    with experiment.stopwatch() as forgetting:
        model = METHODS[args.method].unlearn(run.model, run.split, **run.settings)
    # 3. How well, and at what price?
    with experiment.stopwatch() as evaluation:
        scores = experiment.score(run, model)
    return experiment.finish(run, model, scores, forgetting, evaluation)


if __name__ == "__main__":
    run_script(main)
