"""Forget one sub-class: a fine class whose images bear the label of a coarse one, which is kept.

    python forget_sub_class_main.py -net ResNet18 -dataset Cifar20 -method ssd -forget_class rocket -gpu

needs the checkpoint that pretrain_model.py leaves and writes one record under results/sub_class/. On the CPU, without
-gpu, the Digits take seconds: -net ResNet18Slim -dataset DigitShapes -forget_class 0.
Expected, as the demo runs it: the README's table.

Differs 3: -seed is 0 unless given. The released script's default is 42.
"""

import common.threads  # noqa: F401 (before torch)

import splits
from common.console import run_script
from learning.protocol import PROTOCOLS
from methods import METHODS
from runs import flags, inputs
from runs import run as experiment

# Select a parameter when I_Df > ALPHA * I_D: a smaller ALPHA selects more.
ALPHA = {
    "ssd": {"ResNet18": 10, "ResNet18Slim": 3.5, "ViT": 25},
    "lfssd": {"ResNet18": 10, "ResNet18Slim": 2.5, "ViT": 10},
}
# Multiply what is selected by min(LAMBDA * I_D / I_Df, 1): a smaller LAMBDA dampens further.
LAMBDA = {
    "ssd": {"ResNet18": 1, "ResNet18Slim": 1, "ViT": 1},
    "lfssd": {"ResNet18": 1, "ResNet18Slim": 1, "ViT": 1},
}


def split_of(args):
    """The data set, parted into what stays and what goes."""
    train, test = inputs.load_data(args)
    return splits.split_sub_class(train, test, args.forget_class, protocol=PROTOCOLS[args.protocol])


def main(argv=None):
    args = flags.arguments(__doc__, "sub_class", argv)
    # 1. What was learned, and what is to be forgotten.
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
