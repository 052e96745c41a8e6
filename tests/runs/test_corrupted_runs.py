"""Corrupted training data: trained on, healed, scored and recorded."""

import pytest
from helpers import DIGITS, ENVIRONMENT, assert_refused, call, forget, only_record

import datasets
import metrics
import splits
from common.errors import UserError
from runs import checkpoints, flags
from runs.tasks import TASKS

POISON = ("-dataset", "Digits", "-corruption", "patch", "-corrupt_count", 50)
CHECKPOINT = "checkpoints/ResNet18Slim-Digits-seed0-patch50.safetensors"


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """A folder with a network that has learned the trigger."""
    folder = tmp_path_factory.mktemp("poisoned")
    flags = ("-net", "ResNet18Slim", *POISON, "-epochs", 8)
    done = call("pretrain_model.py", *flags, cwd=folder, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def baseline(poisoned):
    """(what the script prints, the record) of the network as it was trained."""
    printed = forget(poisoned, "corrupted", *POISON, "-known_share", 0.1, "-method", "baseline")
    return printed, only_record(poisoned / "results" / "corrupted")


def test_the_checkpoint_says_how_its_data_were_corrupted(poisoned):
    assert checkpoints.read_metadata(poisoned / CHECKPOINT)["corruption"] == "patch 50"


def test_the_trigger_works(baseline):
    printed, record = baseline
    assert record["scores"]["AttackSuccess"] > 50
    assert record["scores"]["Df"] < 50
    assert record["scores"]["TestAcc"] > 60
    assert record["collapse"] == []
    assert "healed" in printed
    assert "attack" in printed


def test_the_record_says_what_is_known_of_the_corruption(baseline):
    _, record = baseline
    assert record["config"]["forget"] == "50 patch known 0.1"


def test_scores_of_triggered_images_by_hand(poisoned, baseline):
    _, record = baseline
    train, test = datasets.load("Digits")
    split = splits.split_corrupted(train, test, "patch", 50, 0.1, train_seed=0, seed=0)
    model, *_ = checkpoints.load(poisoned / CHECKPOINT, "ResNet18Slim", split.full)
    judged = metrics.logits_of(model, split.forget_test).argmax(1)
    as_attacked = (judged == 0).double().mean()
    as_they_are = (judged == split.forget_test.labels).double().mean()
    assert record["scores"]["AttackSuccess"] == pytest.approx(100 * float(as_attacked))
    assert record["scores"]["Df"] == pytest.approx(100 * float(as_they_are))


# ---- what is refused ----


def test_how_many_are_corrupted_must_be_said(tmp_path):
    done = call("pretrain_model.py", *DIGITS, "-corruption", "patch", cwd=tmp_path)
    assert_refused(done, "-corrupt_count")


def test_what_is_corrupted_must_be_said(poisoned):
    with pytest.raises(UserError, match=r"what is corrupted.*-corruption"):
        forget(poisoned, "corrupted", "-dataset", "Digits", "-known_share", 1, "-method", "ssd")


def test_only_one_script_heals(poisoned):
    with pytest.raises(UserError, match=r"forget_corrupted_main\.py"):
        forget(poisoned, "full_class", *POISON, "-forget_class", 0, "-method", "ssd")


@pytest.mark.parametrize("share", ["0", "1.01", "nan"])
def test_a_share_that_is_none_or_more_than_all_is_refused(share):
    argv = [*DIGITS, *map(str, POISON), "-method", "ssd", "-known_share", share]
    with pytest.raises(UserError, match="-known_share"):
        flags.arguments("", TASKS["corrupted"], argv)


WRONG_LABELS = ("-corruption", "label", "-corrupt_count", 50, "-known_share", 1)


def test_each_corruption_needs_its_own_network(poisoned):
    with pytest.raises(UserError, match=r"label50.*pretrain_model\.py"):
        forget(poisoned, "corrupted", "-dataset", "Digits", *WRONG_LABELS, "-method", "ssd")


def test_a_network_of_another_corruption_is_refused(poisoned):
    named = ("-method", "ssd", "-weight_path", CHECKPOINT)
    with pytest.raises(UserError, match=r"trained with patch 50, seed 0.*-corruption"):
        forget(poisoned, "corrupted", "-dataset", "Digits", *WRONG_LABELS, *named)
