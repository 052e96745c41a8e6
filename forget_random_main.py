"""Forget randomly drawn training images.

    python forget_random_main.py -net ResNet18 -dataset Cifar10 -method ssd \\
        -forget_perc 0.00165 -gpu

needs the checkpoint that pretrain_model.py leaves. It writes one record under results/random/.
-forget_list FILE in place of -forget_perc names the images: their positions, a line each.

To see it on a CPU in seconds, take the digits (pre-train first):

    python pretrain_model.py -net ResNet18Slim -dataset Digits
    python forget_random_main.py -net ResNet18Slim -dataset Digits -method ssd -forget_perc 0.02

Expected, as the demo runs it on 2 cores, seed 0 (percent; seconds of the method without I_D):

    method     D_r     D_f     MIA     seconds
    baseline   97.75   100.00  89.66    0
    retrain    98.87    96.55  72.41   27
    ssd        94.93    93.10  72.41    0.1
"""

import common.threads  # noqa: F401 (before torch)

from common.console import run_script
from learning.protocol import PROTOCOLS
from methods import METHODS
from runs import flags, inputs
from runs.cache import Cache
from runs.request import ask
from runs.run import finish, load, once, score, stopwatch
from runs.seeds import for_each_seed
from runs.tasks import RANDOM
from splits import split_listed, split_random

# Select a parameter when I_Df > ALPHA * I_D: a smaller ALPHA selects more.
ALPHA = {
    "ssd": {
        "ResNet18": 10,  # published
        "ResNet18Slim": 10,  # ours
        "ViT": 10,  # published
    },
    "lfssd": {
        "ResNet18": 3.5,  # published
        "ResNet18Slim": 3.5,  # ours
        "ViT": 3.5,  # published
    },
}
# Multiply what is selected by min(LAMBDA * I_D / I_Df, 1): a smaller LAMBDA dampens further.
LAMBDA = {
    "ssd": {
        "ResNet18": 1,  # published
        "ResNet18Slim": 1,  # ours
        "ViT": 1,  # published
    },
    "lfssd": {
        "ResNet18": 1,  # published
        "ResNet18Slim": 1,  # ours
        "ViT": 1,  # published
    },
}


def split_of(args, cache):
    """The data set, parted into what stays and what goes."""
    train, test = inputs.load_data(args, cache)
    if args.forget_list is not None:
        return split_listed(train, test, args.forget_list, protocol=PROTOCOLS[args.protocol])
    return split_random(train, test, args.forget_perc, args.seed, protocol=PROTOCOLS[args.protocol])


def main(argv=None, cache=None):
    cache = cache or Cache()
    args = flags.arguments(__doc__, RANDOM, argv)
    # 1. What was learned, and what is to be forgotten.
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
