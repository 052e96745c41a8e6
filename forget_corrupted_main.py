"""Heal a network of corrupted training data, of which only a part is known.

    python pretrain_model.py -net ResNet18 -dataset Cifar10 -corruption patch \\
        -corrupt_count 500 -gpu
    python forget_corrupted_main.py -net ResNet18 -dataset Cifar10 -corruption patch \\
        -corrupt_count 500 -known_share 0.1 -method potion -gpu

It writes one record under results/corrupted/. The corruption is a trigger that sends images to
another class (patch), wrong labels (label), two classes taken for each other (confusion), or noise
with true labels (gaussian). The method is given the known share as D_f, as the network was trained
on it. All other training images are D_r, and the undiscovered part still lies in them.

Df is here the accuracy on the true labels, so it is to rise:
- patch: of test images with the trigger on them. AttackSuccess says how many of them are sent to
  the attacker's class.
- label, confusion, gaussian: of the corrupted training images.
The goal is retrain with -known_share 1: its training set is truly clean.

To see it on a CPU in seconds, take the digits (pre-train first):

    python pretrain_model.py -net ResNet18Slim -dataset Digits -corruption patch -corrupt_count 50
    python forget_corrupted_main.py -net ResNet18Slim -dataset Digits -corruption patch \\
        -corrupt_count 50 -known_share 1 -method potion

Expected, as the demo runs it on 2 cores, seed 0 (percent; seconds of the method without I_D):

    method     D_r     healed  attack  seconds
    baseline   98.59     0.00  100.00   0
    retrain    99.44    71.88    0.00  22
    potion     97.75    55.62   20.94   3
"""

import common.threads  # noqa: F401 (before torch)

from common.console import run_script
from methods import METHODS
from runs import flags, inputs
from runs.cache import Cache
from runs.request import ask
from runs.run import finish, load, once, score, stopwatch
from runs.seeds import for_each_seed
from runs.tasks import CORRUPTED
from splits import split_corrupted

# Select a parameter when I_Df > ALPHA * I_D: a smaller ALPHA selects more.
# Nothing is published for this task; the values are the random task's.
ALPHA = {
    "ssd": {
        "ResNet18": 10,  # ours
        "ResNet18Slim": 10,  # ours
        "ViT": 10,  # ours
    },
    "lfssd": {
        "ResNet18": 3.5,  # ours
        "ResNet18Slim": 3.5,  # ours
        "ViT": 3.5,  # ours
    },
}
# Multiply what is selected by min(LAMBDA * I_D / I_Df, 1): a smaller LAMBDA dampens further.
LAMBDA = {
    "ssd": {
        "ResNet18": 1,  # ours
        "ResNet18Slim": 1,  # ours
        "ViT": 1,  # ours
    },
    "lfssd": {
        "ResNet18": 1,  # ours
        "ResNet18Slim": 1,  # ours
        "ViT": 1,  # ours
    },
}


def split_of(args, cache):
    """The data set, parted into what stays and what goes."""
    train, test = inputs.load_data(args, cache)
    return split_corrupted(
        train,
        test,
        args.corruption,
        args.corrupt_count,
        args.known_share,
        train_seed=args.train_seed,
        seed=args.seed,
    )


def main(argv=None, cache=None):
    cache = cache or Cache()
    args = flags.arguments(__doc__, CORRUPTED, argv)
    # 1. What was learned, and which part of it is known to be wrong.
    request = ask(args, split_of(args, cache), ALPHA, LAMBDA, cache)
    with once(request) as record:
        if record or args.dry_run:
            return record
        run = load(request)
        # 2. Forget it.
        with stopwatch() as forgetting:
            model = METHODS[args.method].unlearn(run.model, run.split, **run.settings)
        # 3. How well, and at what price?
        with stopwatch() as evaluation:
            scores = score(run, model)
        return finish(run, model, scores, forgetting.seconds, evaluation.seconds)


if __name__ == "__main__":
    run_script(for_each_seed(main))
