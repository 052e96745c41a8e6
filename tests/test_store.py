"""What is computed once and kept: importances of several requests in one pass, logits, and how numbers are computed."""

import json
import shutil
from collections import Counter

import pytest
import torch
from conftest import DIGITS, call, copy_of, records_of
from test_methods import NETWORKS, RECIPE, SETTINGS, settings_for, small_split

import datasets
import metrics
import models
import splits
import ssd
from learning import numerics
from learning.augment import Augmentation
from learning.images import Batches, batches, image_set
from learning.protocol import RELEASED
from learning.training import fit, sgd
from methods import METHODS
from runs import checkpoints, store

CHECKPOINT = "checkpoints/ResNet18Slim-Digits-seed0.safetensors"
pytestmark = pytest.mark.filterwarnings("ignore:this CPU has no instructions for bf16")


def released_requests(model, classes, batch_size=16):
    train, test = datasets.load("Digits")
    train = train.take(torch.arange(0, len(train), 3))
    splits = [splits.split_class(train, test, name, protocol=RELEASED) for name in classes]
    return [batches(split.full, model, batch_size) for split in splits]


@pytest.mark.parametrize(
    ("measure", "per_sample"), [("fisher", False), ("norm", False), ("fisher", True)]
)
def test_importances_in_one_pass_equal_those_taken_alone_and_no_batch_is_computed_twice(
    measure, per_sample
):
    torch.manual_seed(0)
    model = models.ResNet18(10, width=8).eval()
    requests = released_requests(model, range(3) if per_sample else range(10))
    alone = [
        ssd.importance(model, data, measure=measure, per_sample=per_sample) for data in requests
    ]
    sizes = []
    hook = model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    together, images, logits = store.importances(model, requests, measure, per_sample)
    hook.remove()
    for wanted, got in zip(alone, together, strict=True):
        for name, value in wanted.items():
            assert (got[name] - value).norm() <= 1e-5 * value.norm(), name
    distinct = {
        tuple(part.tolist())
        for data in requests
        for part in data.images.index.split(data.batch_size)
    }
    if not per_sample:  # which looks at one image of each batch first
        assert Counter(sizes) == Counter(map(len, distinct)) and len(distinct) < 0.6 * sum(
            map(len, requests)
        )
        train = datasets.load("Digits")[0]
        assert logits.shape == (len(images), 10)
        assert torch.allclose(
            logits,
            metrics.logits_of(model, train)[torch.searchsorted(train.index, images)],
            atol=1e-6,
        )


def test_single_samples_importances_of_any_network_are_kept(tmp_path):
    """Where torch.func.vmap takes them, what the network gives inside it must not get out."""

    class Scaled(torch.nn.Sequential):
        def __init__(self):
            super().__init__(torch.nn.Flatten(), torch.nn.Linear(192, 10))
            self.scale = torch.nn.Parameter(torch.ones(10))

        def forward(self, x):
            return super().forward(x) * self.scale

    torch.manual_seed(0)
    (data,), train = released_requests(model := Scaled(), [1]), datasets.load("Digits")[0]
    dials = {"measure": "fisher", "per_sample": True}
    values, _ = store.importance(model, [data], tmp_path / "net", identity={}, train=train, **dials)
    for name, wanted in ssd.importance(model, data, **dials).items():
        assert torch.allclose(values[name], wanted, rtol=1e-4), name
    assert len(list(tmp_path.iterdir())) == 1  # no logits


@pytest.mark.parametrize(
    ("num_classes", "chosen", "wanted"), [(20, (19, 4, 14, 5, 10), 2.55), (100, range(100), 31.9)]
)
def test_published_grids_have_few_distinct_batches(monkeypatch, num_classes, chosen, wanted):
    """The counts in store.py's docstring: the grid's five classes of CIFAR-20, all of CIFAR-100; batches of 64."""
    order = torch.arange(50_000)  # sorted by class
    label = order * num_classes // 50_000
    images = image_set(
        "Sorted",
        torch.zeros(1, 3, 1, 1, dtype=torch.uint8).expand(50_000, -1, -1, -1),
        label,
        map(str, chosen),
        Augmentation(1, 0, False, 0),
        digest="",
    )
    model, seen = torch.nn.Linear(1, 1), []
    requests = [
        batches(images.take(torch.cat([order[label != c], order[label == c]])), model, 64)
        for c in chosen
    ]

    def counted(model, data, **_):
        seen.extend(model(x) for x, _ in data)
        return {name: torch.zeros_like(p) for name, p in model.named_parameters()}

    monkeypatch.setattr(store.ssd, "importance", counted)
    store.importances(model, requests, "fisher", False)
    assert sum(map(len, requests)) / len(seen) == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("option", ["shuffle", "augment"])
def test_importances_of_batches_without_an_order_are_not_kept(tmp_path, option):
    model = models.ResNet18(10, width=8)
    images = datasets.load("Digits")[0]
    data = Batches(images, 64, torch.device("cpu"), 8, **{option: True})
    with pytest.raises(ValueError, match="one order of D"):
        store.importance(
            model, [data], tmp_path / "net", identity={}, measure="fisher", per_sample=False
        )
    assert not list(tmp_path.iterdir())


def test_kept_importance_depends_on_order_and_batch_size_but_not_for_single_samples(
    tmp_path, monkeypatch
):
    model = models.ResNet18(10, width=8).eval()
    first, second = released_requests(model, [1, 2])
    wider = released_requests(model, [1], batch_size=32)[0]
    calls = []
    monkeypatch.setattr(
        store,
        "importances",
        lambda m, requests, *_: (
            calls.append(len(requests)) or ([{"a": torch.ones(1)} for _ in requests], None, None)
        ),
    )

    def ask(*requests, per_sample=False):
        store.importance(
            model,
            list(requests),
            tmp_path / "net",
            identity={},
            measure="fisher",
            per_sample=per_sample,
        )

    for requests in ((first,), (first,), (second,), (wider,)):
        ask(*requests)
    assert calls == [1, 1, 1]
    ask(first, per_sample=True)
    ask(second, per_sample=True)
    assert calls == [1, 1, 1, 1]
    (tmp_path / "other").mkdir()
    calls.clear()
    store.importance(
        model,
        [first, second, second],
        tmp_path / "other" / "net",
        identity={},
        measure="fisher",
        per_sample=False,
    )
    ask(second)
    assert (
        calls == [2] and len(list((tmp_path / "other").iterdir())) == 2
    )  # each once, no lock left


def test_original_network_is_scored_once_for_all_classes(place, tmp_path):
    """Baselines read one store of logits; it gives the scores that a pass of their own gives."""
    train, test = datasets.load("Digits")
    folder = copy_of(place, tmp_path)
    model, _, _ = checkpoints.load(folder / CHECKPOINT, "ResNet18Slim", train)
    times = []
    for task, *what in (
        ("full_class", "-forget_class", 1),
        ("full_class", "-forget_class", 2),
        ("random", "-forget_perc", 0.02),
    ):
        done = call(
            f"forget_{task}_main.py",
            *DIGITS,
            "-method",
            "baseline",
            "-wandb",
            "disabled",
            *what,
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        times.append(
            {
                path.name: path.stat().st_mtime_ns
                for path in (folder / "checkpoints").glob("*.logits-*")
            }
        )
    assert (
        len(times[0]) == 2 and times[0] == times[1] == times[2]
    )  # training and test images, written once
    for record in records_of(folder).values():
        forget, task = record["config"]["forget"], record["task"]
        split = (
            splits.split_random(train, test, 0.02, 0)
            if task == "random"
            else splits.split_class(train, test, forget)
        )
        logits = metrics.split_logits(model, split)
        wanted = metrics.score(logits, models.ResNet18(10, width=16), split, batch_size=64)
        for name in ("TestAcc", "RetainTestAcc", "Df", "MIA"):
            assert record["scores"][name] == pytest.approx(wanted[name], abs=1e-9)


@pytest.mark.parametrize(
    ("method", "flags", "sets"),
    [("ssd", (), 2), ("lfssd", (), 2), ("ssd", ("-importance", "sample"), 1)],
)
def test_the_pass_of_importances_keeps_the_training_images_logits(
    place, tmp_path, method, flags, sets
):
    """A baseline after it scores none of them anew, and has the scores of one that went before."""
    folder = tmp_path / "place"
    shutil.copytree(
        place, folder, ignore=shutil.ignore_patterns("*importance*", "*.logits-*", "results")
    )
    shutil.copytree(folder, tmp_path / "other")

    def run(method, folder, *flags):
        flags = (*DIGITS, "-method", method, "-wandb", "disabled", "-forget_class", 1, *flags)
        done = call("forget_full_class_main.py", *flags, cwd=folder)
        assert done.returncode == 0, done.stderr
        return {
            path.name: path.stat().st_mtime_ns
            for path in (folder / "checkpoints").glob("*.logits-*")
        }

    kept = run(method, folder, *flags)
    assert len(kept) == sets  # the test images' are read to tell a collapse
    after = run("baseline", folder)
    assert len(after) == 2 and kept.items() <= after.items()
    run("baseline", tmp_path / "other")
    both = [list(records_of(at).values()) for at in (folder, tmp_path / "other")]
    first, second = (
        next(r for r in found if r["config"]["method"] == "baseline") for found in both
    )
    assert first["scores"] == pytest.approx(second["scores"], abs=1e-6)
    assert first["entropy_histogram"] == second["entropy_histogram"]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_in_bf16_and_leaves_float32(method, network):
    torch.manual_seed(0)
    split = small_split("full_class")
    model = NETWORKS[network](split.num_classes)
    numerics.compute_in(model, "bf16")
    result = METHODS[method].unlearn(model, split, **settings_for(method, model))
    assert result.numerics == "bf16" and all(
        p.dtype == torch.float32 and torch.isfinite(p).all() for p in result.parameters()
    )
    assert metrics.logits_of(result, split.forget).dtype == torch.float32


def test_numerics_change_what_they_say(monkeypatch):
    torch.manual_seed(0)
    split = small_split("full_class")
    model = models.ResNet18(10, width=8)
    fit(model, batches(split.train, model, 48, shuffle=True), sgd(model, 0.05), 2)
    plain = metrics.logits_of(model, split.train)
    per_sample = ssd.importance(model, batches(split.forget, model, 16), per_sample=True)
    numerics.compute_in(model, "bf16")
    rounded = metrics.logits_of(model, split.train)
    assert 1e-4 < float((rounded - plain).norm() / plain.norm()) < 0.05
    with torch.no_grad():  # weights are cast once a pass, and again in the next
        assert torch.equal(
            rounded, torch.cat([model(x) for x, _ in batches(split.train, model, 100)])
        )
        model.fc.weight.mul_(2)
        assert not torch.equal(metrics.logits_of(model, split.train), rounded)
        model.fc.weight.div_(2)
    for name, value in ssd.importance(
        model, batches(split.forget, model, 16), per_sample=True
    ).items():
        assert torch.equal(value, per_sample[name]), (
            name
        )  # single samples' gradients are always taken in full
    assert models.fresh(model).numerics == models.untrained(model).numerics == "bf16"
    for kind in ("tf32", "bf16", "fp32"):
        numerics.compute_in(model, kind)
        for switch in (torch.backends.cuda.matmul, torch.backends.cudnn):
            assert switch.allow_tf32 == (kind == "tf32")
        assert (torch.backends.cuda.matmul.fp32_precision == "tf32") == (kind == "tf32")
    assert torch.equal(metrics.logits_of(model, split.train), plain)


def test_retrain_computes_as_pretraining_did_and_is_scored_as_the_run_wants(monkeypatch):
    from methods import retrain

    seen = []
    plain = retrain.fit
    monkeypatch.setattr(
        retrain,
        "fit",
        lambda network, *args, **kw: seen.append(network.numerics) or plain(network, *args, **kw),
    )
    split, model = small_split("full_class"), models.ResNet18(10, width=8)
    result = METHODS["retrain"].unlearn(
        model, split, recipe={**RECIPE, "numerics": "bf16"}, batch_size=SETTINGS["batch_size"]
    )
    assert seen == ["bf16"] and result.numerics == "fp32"


@pytest.mark.slow
def test_numerics_are_stamped(tmp_path):
    net = ("pretrain_model.py", *DIGITS, "-epochs", 1)
    out = tmp_path / CHECKPOINT
    assert call(*net, "-numerics", "bf16", cwd=tmp_path).returncode == 0
    assert checkpoints.read_metadata(out)["recipe"]["numerics"] == "bf16"
    other = call(*net, cwd=tmp_path)
    assert other.returncode == 2 and "recipe" in other.stderr and "-force" in other.stderr
    for flags in ((), ("-numerics", "bf16")):
        done = call(
            "forget_full_class_main.py",
            *DIGITS,
            "-forget_class",
            1,
            "-method",
            "ssd",
            "-wandb",
            "disabled",
            *flags,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
    found = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json")]
    assert {record["config"]["numerics"] for record in found} == {"fp32", "bf16"}
    assert len(list(out.parent.glob("*importance*"))) == 2
    refused = call(
        "forget_full_class_main.py",
        *DIGITS,
        "-forget_class",
        1,
        "-method",
        "ssd",
        "-numerics",
        "tf32",
        cwd=tmp_path,
    )
    assert refused.returncode == 2 and "-gpu" in refused.stderr


def test_a_sweep_takes_importances_of_the_released_order_in_one_pass(place, tmp_path, monkeypatch):
    """The flag that the sweep adds; with it and without it the records are the same."""
    from test_scripts import forget

    from sweeps.plan import plan

    monkeypatch.chdir(tmp_path)
    flags = [*DIGITS, "-method", "ssd", "-alpha", "2", "-weight_path", str(place / CHECKPOINT)]
    jobs = plan(
        [
            (
                "forget_full_class_main",
                [*flags, "-protocol", protocol, "-forget_class", name, *more],
            )
            for protocol in ("released", "paper")
            for name in ("1", "2", "3")
            for more in ([], ["-b", "32"])
        ]
    )
    assert [job.together for job in jobs if "paper" in job.argv] == [()] * 6
    released = [job for job in jobs if "released" in job.argv]
    assert len(released) == 6 and all(
        {f"-together={job.forgotten}", *job.together} == {f"-together={name}" for name in "123"}
        for job in released
    )
    flags = (
        *DIGITS[2:],
        "-method",
        "ssd",
        "-alpha",
        2,
        "-protocol",
        "released",
        "-forget_class",
        1,
    )
    for folder, more in (
        ("alone", ()),
        ("together", ("-together=2", "-together=3", "-together=no such class")),
    ):
        shutil.copytree(
            place / "checkpoints",
            tmp_path / folder / "checkpoints",
            ignore=shutil.ignore_patterns("*importance*", "*.logits-*"),
        )
        forget(tmp_path / folder, "full_class", *flags, *more)
    kept = [
        len(list((tmp_path / folder / "checkpoints").glob("*importance*")))
        for folder in ("alone", "together")
    ]
    (alone,), (together,) = (
        records_of(tmp_path / folder).values() for folder in ("alone", "together")
    )
    assert kept == [1, 3] and together["config"] == alone["config"]
    assert together["scores"] == pytest.approx(alone["scores"], abs=1e-6)
    assert together["selected"] == pytest.approx(alone["selected"], abs=1e-4)
