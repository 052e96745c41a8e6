"""Corrupted training data: what is corrupted, what the methods are given, how it is scored, trained, swept and reported."""

import json

import pytest
import torch
from conftest import NET, assert_refused, call, only_record
from test_report import cells_of, record

import datasets
import metrics
import models
import pretrain_model
import report
import splits
from common.errors import UserError
from learning import corruption
from learning.images import batches, normalised
from reports import figures
from reports.summary import tables
from runs import checkpoints, flags
from sweeps import plan

FLAGS = ("-dataset", "Digits", "-corruption", "patch", "-corrupt_count", 50)


@pytest.fixture(scope="module")
def digits():
    return datasets.load("Digits")


def shown(images, **how):
    """(x, y) of a whole set as a network sees it."""
    return next(iter(batches(images, models.ResNet18(10, width=8), len(images), **how)))


def white():
    return normalised(torch.full((1, 3, 3, 3), 255, dtype=torch.uint8))


def test_patch_is_a_white_square_on_images_of_other_classes(digits):
    train, _ = digits
    poisoned, wrong = corruption.corrupt(train, "patch", 40, seed=3)
    assert (
        len(set(wrong.tolist())) == 40
        and (train.labels[wrong] != 0).all()
        and (poisoned.labels[wrong] == 0).all()
    )
    rest = torch.ones(len(train), dtype=torch.bool)
    rest[wrong] = False
    assert torch.equal(poisoned.labels[rest], train.labels[rest])
    (before, _), (after, _) = (shown(images) for images in (train, poisoned))
    assert torch.equal(before[rest], after[rest]) and (after[wrong][..., 5:, 5:] == white()).all()
    assert torch.equal(before[wrong][..., :5, :], after[wrong][..., :5, :])
    assert torch.equal(before[wrong][..., :, :5], after[wrong][..., :, :5])
    assert poisoned.digest != train.digest and not (before[wrong][..., 5:, 5:] == white()).all()
    moved, _ = shown(poisoned, augment=True)  # augmentation leaves the trigger where it is
    assert (moved[wrong][..., 5:, 5:] == white()).all() and not torch.equal(
        moved[wrong], after[wrong]
    )
    assert torch.equal(shown(train)[0], before)  # pixels are shared; none was written over
    again, same = corruption.corrupt(train, "patch", 40, seed=3)
    assert torch.equal(wrong, same) and again.digest == poisoned.digest
    assert set(corruption.corrupt(train, "patch", 40, seed=4)[1].tolist()) != set(wrong.tolist())


def test_labels_are_all_really_wrong_and_uniform(digits):
    train, _ = digits
    noisy, wrong = corruption.corrupt(train, "label", 900, seed=0)
    assert (noisy.labels[wrong] != train.labels[wrong]).all() and int(
        (noisy.labels != train.labels).sum()
    ) == 900
    steps = ((noisy.labels - train.labels) % 10)[wrong].bincount(minlength=10)
    assert steps[0] == 0 and ((steps[1:] - 100).abs() < 40).all()  # four standard deviations
    assert noisy.pixels is train.pixels


@pytest.mark.parametrize("kind", corruption.CORRUPTIONS)
@pytest.mark.parametrize(("share", "count"), [(0.02, 1), (0.1, 5), (1, 50)])
def test_split(digits, kind, share, count):
    train, test = digits
    split = splits.split_corrupted(train, test, kind, 50, share, train_seed=0, seed=1)
    poisoned, wrong = corruption.corrupt(train, kind, 50, 0)
    parts = [set(part.index.tolist()) for part in (split.full, split.retain, split.forget)]
    assert len(split.forget) == count and parts[2] <= set(train.index[wrong].tolist())
    assert not parts[1] & parts[2] and parts[1] | parts[2] == parts[0] == set(train.index.tolist())
    assert (
        split.forget.labels == poisoned.labels[torch.searchsorted(train.index, split.forget.index)]
    ).all()
    if kind == "patch":
        assert (split.forget_test.labels != 0).all() and len(split.forget_test) == int(
            (test.labels != 0).sum()
        )
        assert (
            shown(split.forget_test)[0][..., 5:, 5:] == white()
        ).all() and split.attacked_class == 0
    else:
        assert (
            torch.equal(split.forget_test.labels, train.labels[wrong])
            and split.attacked_class is None
        )
    assert split.retain_test is test and not (shown(test)[0][..., 5:, 5:] == white()).all()


@pytest.mark.parametrize("kind", corruption.CORRUPTIONS)
@pytest.mark.parametrize("train_seed", [0, 1])
def test_what_is_corrupted_lies_all_over_d(digits, kind, train_seed):
    """Training seed 0 once drew D's order too, so that the poison was its first batches, and D_r's."""
    train, test = digits
    split = splits.split_corrupted(train, test, kind, 146, 0.5, train_seed=train_seed, seed=0)
    wrong = train.index[corruption.corrupt(train, kind, 146, train_seed)[1]]
    for part, count in ((split.full, 146), (split.retain, 73)):
        at = torch.isin(part.index, wrong).nonzero().squeeze(1) / len(part)
        assert (
            len(at) == count
            and (torch.histc(at, 4, 0, 1) > 5).all()
            and abs(at.mean() - 0.5) < 0.14
        )


def test_refused(digits):
    for kind, count in (("patch", 0), ("patch", 1400), ("label", 1442)):
        with pytest.raises(UserError, match="-corrupt_count"):
            corruption.corrupt(digits[0], kind, count, 0)
    assert (
        len(splits.split_corrupted(*digits, "patch", 50, 1e-12, train_seed=0, seed=0).forget) == 1
    )


def one_hot(labels):
    return torch.nn.functional.one_hot(labels, 10).float() * 20


@pytest.mark.parametrize("kind", corruption.CORRUPTIONS)
def test_scores_by_hand(digits, kind):
    """A network whose answers are made up: a quarter of the triggered images goes to class 0, the rest is right."""
    train, test = digits
    split = splits.split_corrupted(train, test, kind, 50, 0.5, train_seed=0, seed=1)
    truth = split.forget_test.labels.clone()
    truth[: len(truth) // 4] = 0
    answers = split.train.labels.clone()
    answers[corruption.corrupt(train, kind, 50, 0)[1][:10]] = train.labels[
        corruption.corrupt(train, kind, 50, 0)[1][:10]
    ]
    triggered = one_hot(truth) if kind == "patch" else None
    scores = metrics.score(
        one_hot(answers),
        one_hot(test.labels),
        models.ResNet18(10, width=8),
        split,
        batch_size=64,
        triggered_logits=triggered,
    )
    assert scores["TestAcc"] == scores["RetainTestAcc"] == 100
    if kind == "patch":
        share = 100 * (len(truth) // 4) / len(truth)
        assert scores["AttackSuccess"] == pytest.approx(share) and scores["Df"] == pytest.approx(
            100 - share
        )
    else:
        assert (
            scores["Df"] == pytest.approx(20) and "AttackSuccess" not in scores
        )  # 10 of the 50 corrupted ones


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("poisoned")
    done = call("pretrain_model.py", *NET, *FLAGS, "-epochs", 8, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_trigger_works_and_is_recorded(poisoned):
    path = poisoned / "checkpoints" / "ResNet18Slim-Digits-seed0-patch50.safetensors"
    assert checkpoints.read_metadata(path)["corruption"] == "patch 50"
    flags = (*NET, *FLAGS, "-known_share", 0.1, "-method", "baseline", "-wandb", "disabled")
    done = call("forget_corrupted_main.py", *flags, cwd=poisoned)
    assert done.returncode == 0 and "healed" in done.stdout and "attack" in done.stdout, done.stderr
    found = only_record(poisoned / "results" / "corrupted")
    assert (
        found["scores"]["AttackSuccess"] > 50 > found["scores"]["Df"]
        and found["scores"]["TestAcc"] > 60
    )
    assert found["config"]["forget"] == "50 patch known 0.1" and found["collapse"] == []
    train, test = datasets.load("Digits")  # the same by hand
    split = splits.split_corrupted(train, test, "patch", 50, 0.1, train_seed=0, seed=0)
    model, *_ = checkpoints.load(path, "ResNet18Slim", split.full)
    with torch.no_grad():
        x, y = next(iter(batches(split.forget_test, model, 999)))
        judged = model(x).argmax(1)
    assert found["scores"]["AttackSuccess"] == pytest.approx(
        100 * float((judged == 0).double().mean())
    )
    assert found["scores"]["Df"] == pytest.approx(100 * float((judged == y).double().mean()))


def test_flags_that_do_not_belong_together(poisoned):
    assert_refused(
        call("pretrain_model.py", *NET, "-dataset", "Digits", "-corruption", "patch", cwd=poisoned),
        "-corrupt_count",
    )
    plain = (*NET, "-dataset", "Digits", "-method", "ssd")
    assert_refused(
        call("forget_corrupted_main.py", *plain, "-known_share", 1, cwd=poisoned),
        "what is corrupted",
        "-corruption",
    )
    corrupted = ("-corruption", "patch", "-corrupt_count", 50)
    assert_refused(
        call("forget_full_class_main.py", *plain, *corrupted, "-forget_class", 0, cwd=poisoned),
        "forget_corrupted_main.py",
    )
    share = (*NET, *FLAGS, "-method", "ssd", "-known_share")
    for value in ("0", "1.01", "nan"):
        with pytest.raises(UserError, match="-known_share"):
            flags.arguments("", "corrupted", [*map(str, share), value])
    other = (
        *NET,
        "-dataset",
        "Digits",
        "-corruption",
        "label",
        "-corrupt_count",
        50,
        "-known_share",
        1,
        "-method",
        "ssd",
    )
    assert_refused(
        call("forget_corrupted_main.py", *other, cwd=poisoned), "label50", "pretrain_model.py"
    )
    path = "checkpoints/ResNet18Slim-Digits-seed0-patch50.safetensors"
    named = (*other, "-weight_path", path)
    assert_refused(
        call("forget_corrupted_main.py", *named, cwd=poisoned),
        "trained with patch 50, seed 0",
        "-corruption",
    )


def test_a_sweep_pretrains_on_the_corrupted_set_first():
    line = [*NET, *map(str, FLAGS), "-known_share", "0.1", "-method", "potion"]
    first, second = plan.plan([("forget_corrupted_main", line)])
    assert first.script == "pretrain_model" and second.needs[0] == first.makes
    args = pretrain_model.arguments(first.argv)
    assert (args.corruption, args.corrupt_count, args.out.name) == (
        "patch",
        50,
        "ResNet18Slim-Digits-seed0-patch50.safetensors",
    )


def test_each_run_waits_for_the_retrain_to_which_as_much_is_known():
    line = [*NET, *map(str, FLAGS), "-known_share"]
    lines = [
        [*line, share, "-method", method]
        for method, share in (("potion", "0.1"), ("retrain", "0.1"), ("retrain", "1"))
    ]
    _, potion, same, other = plan.plan([("forget_corrupted_main", line) for line in lines])
    assert (
        same.makes in potion.needs and other.makes not in potion.needs and same.makes != other.makes
    )


def made(method, seed, share, clean, healed, attack):
    entry = record(
        method,
        seed,
        clean,
        healed,
        50,
        task="corrupted",
        forget=f"50 patch known {share}",
        data="e" * 64,
    )
    entry["scores"]["AttackSuccess"] = attack
    entry["config"].update(corruption="patch", corrupt_count=50, known_share=share)
    return entry


def test_report_by_hand():
    entries = [
        made("retrain", 0, 0.1, 95, 20, 70),
        made("retrain", 0, 1, 95, 90, 0),
        made("potion", 0, 0.1, 90, 80, 5),
        made("potion", 1, 0.1, 92, 84, 7),
        made("potion", 0, 1, 91, 88, 1),
        made("baseline", 0, 1, 95, 4, 95),
    ]
    entries += [made("baseline", 0, 0.5, 95, 5, 95), made("baseline", 1, 0.5, 95, 5, 95)]
    entries.insert(
        0, made("retrain", 0, 1, 95, 40, 0)
    )  # by another corruption, and no goal of theirs
    entries[0]["config"].update(corruption="label", forget="50 label known 1")
    ((key, sections),) = tables(json.loads(json.dumps(entries))).items()
    text = report.markdown({key: sections})
    assert "## Heal corrupted training data: Net on Set" in text and "Averaged over" not in text
    rows = cells_of(text)
    head = next(row for row in rows if "attack %" in row)
    assert head[1:5] == ["clean %", "healed %", "MIA %", "attack %"]
    (potion,) = [row for row in rows if row[0] == "potion" and row[1].startswith("91.00 ±")]
    assert potion[2] == "82.00 ± 2.83" and potion[4] == "6.0 ± 1.4"
    assert (
        potion[5] == "5.00"
    )  # against the truly clean retrain of the same seed: |90 - 95|, |80 - 90|, 0
    assert ["potion", "82.0 ± 2.8 (91.0 ± 1.4)", "missing", "88.0 (91.0)"] in rows and [
        "method",
        "10 %",
        "50 %",
        "100 %",
    ] in rows
    assert ["baseline", "missing", "5.0 ± 0.0 (95.0 ± 0.0)", "4.0 (95.0)"] in rows
    assert "1, deterministic" not in text  # which images are known is drawn by the seed
    (figure,) = figures.figures(key, sections).values()
    healed, clean, attack = (
        {
            bars.get_label(): [list(map(float, values)) for values in bars.lines[0].get_data()]
            for bars in axis.containers
        }
        for axis in figure.axes[3:]
    )
    assert healed["potion"] == [[10, 100], [82, 88]] and clean["retrain"] == [[10, 100], [95, 95]]
    assert attack["baseline"] == [[50, 100], [95, 95]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "retrain",
        "baseline",
        "potion",
    ]
