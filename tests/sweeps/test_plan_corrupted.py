"""What a sweep over corrupted data has to do."""

from helpers import NET

import pretrain_model
from sweeps.lines import Line
from sweeps.plan import plan

FLAGS = (*NET, "-dataset", "Digits", "-corruption", "patch", "-corrupt_count", "50")


def jobs_of(*lines):
    """The plan of lines of (method, known share)."""
    argvs = [(*FLAGS, "-known_share", share, "-method", method) for method, share in lines]
    return plan([Line("forget_corrupted_main", argv) for argv in argvs]).jobs


def test_a_sweep_pretrains_on_the_corrupted_set_first():
    training, potion = jobs_of(("potion", "0.1"))
    assert training.trains
    assert potion.needs & training.makes
    args = pretrain_model.arguments(training.line.argv)
    assert (args.corruption, args.corrupt_count) == ("patch", 50)
    assert args.out.name == "ResNet18Slim-Digits-seed0-patch50.safetensors"


def test_each_run_waits_for_the_retrain_to_which_as_much_is_known():
    jobs = jobs_of(("potion", "0.1"), ("retrain", "0.1"), ("retrain", "1"))
    _, same_share, all_known, potion = jobs
    assert potion.needs & same_share.makes
    assert not potion.needs & all_known.makes
    assert same_share.makes != all_known.makes
