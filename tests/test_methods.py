"""The contract that every method keeps, on every task and network; and what each must not get wrong."""

import ast
import copy
import inspect
import re
from dataclasses import asdict, fields

import pytest
import torch
from conftest import ROOT
from test_models import tiny_vit
from torch.optim.optimizer import register_optimizer_step_pre_hook

import datasets
import models
import splits
import ssd
from learning.images import batches
from learning.protocol import PAPER, RELEASED, Protocol
from learning.training import task_batch_size
from methods import METHODS, finetune, retrain

RECIPE = {
    "epochs": 1,
    "milestones": [],
    "lr": 0.05,
    "warm": 1,
    "batch_size": 48,
}  # no last batch of two: see LOG.md
SETTINGS = {"alpha": 2, "lam": 1, "batch_size": 48, "recipe": RECIPE}
NETWORKS = {"ResNet18": lambda num_classes: models.ResNet18(num_classes, width=8), "ViT": tiny_vit}


def small_split(task):
    train, test = datasets.load("DigitShapes" if task == "sub_class" else "Digits")
    train, test = (
        train.take(torch.arange(0, len(train), 5)),
        test.take(torch.arange(0, len(test), 5)),
    )
    if task == "random":
        return splits.split_random(train, test, 0.1, 0)
    return (splits.split_class if task == "full_class" else splits.split_sub_class)(
        train, test, "7"
    )


def settings_for(method, model):
    offered = {**SETTINGS, "untrained": copy.deepcopy(model), "images": 8}
    takes = METHODS[method].parameters
    return {
        k: v
        for k, v in offered.items()
        if k in takes and not (k == "batch_size" and takes[k].default is not inspect._empty)
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", ["full_class", "sub_class", "random"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.filterwarnings("ignore:potion")  # an untrained network has nothing to heal
def test_contract(method, task, network):
    torch.manual_seed(0)
    split = small_split(task)
    model = NETWORKS[network](split.num_classes)
    if method == "unsir" and task == "random":
        pytest.skip("refused: test_baselines.py")
    used = []
    hook = register_optimizer_step_pre_hook(lambda *call: used.append(call[0]))
    try:
        result = METHODS[method].unlearn(model, split, **settings_for(method, model))
    finally:
        hook.remove()
    assert_optimisers(used, METHODS[method].optimizer)
    assert type(result) is type(model) and not result.training
    with torch.no_grad():
        assert torch.isfinite(result(torch.randn(2, 3, 16, 16))).all()
    assert all(
        torch.isfinite(p).all() and p.requires_grad and p.grad is None for p in result.parameters()
    )
    assert not any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in result.modules()
    )


def assert_optimisers(used, said):
    """Every optimiser that took a step is what the method's file says."""
    assert bool(used) == bool(said)
    for optimizer in used:
        assert type(optimizer).__name__ == said["optimizer"]
        (group,) = optimizer.param_groups
        for name in said.keys() & group.keys():
            value = list(group[name]) if name == "betas" else group[name]
            assert value == said[name], name
        assert {"weight_decay"} < said.keys()


DEPARTURE = re.compile(r"^(?:- )?Differs (\d+): (.*?)(?=^(?:- )|^Differs \d|^\s*$|\Z)", re.S | re.M)


def departures(text):
    """[(number, its text on one line)] of each "Differs 1: ..." of a docstring or a section."""
    found = []
    for number, said in DEPARTURE.findall(text):
        found.append((int(number), " ".join(said.split())))
    return found


def test_departures_are_numbered_and_the_same_in_the_docs():
    page = (ROOT / "docs" / "methods.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.S | re.M))
    files = {name: ROOT / "methods" / f"{name}.py" for name in METHODS}
    for name in ("metrics", "training"):
        files[name] = ROOT / f"{name}.py"
        sections[name] = re.search(rf"\(`{name}\.py`\):\n\n(.*?)\n\n", page, re.S)[1]
    count = 0
    for name, path in files.items():
        declared = departures(ast.get_docstring(ast.parse(path.read_text())))
        assert [number for number, _ in declared] == list(range(1, len(declared) + 1)), name
        assert departures(sections[name]) == declared, name
        count += len(declared)
    assert count > 25


def test_protocols_are_all_paper_or_all_released_and_every_row_is_explained():
    assert not any(asdict(PAPER).values()) and all(asdict(RELEASED).values())
    rows = re.findall(r"^ *\| (\w+) \|", Protocol.__doc__, re.M)
    assert rows[1:] == [row.name for row in fields(Protocol)]


def test_task_batch_sizes_are_the_released_scripts():
    for task, size in (("full_class", 64), ("sub_class", 64), ("random", 128)):
        assert task_batch_size(small_split(task)) == size


def test_every_method_says_its_source_or_idea():
    for name, method in METHODS.items():
        module = inspect.getmodule(method.unlearn)
        assert module.__doc__ and method.unlearn.__doc__, name
        kinds = [p.kind for p in list(method.parameters.values())[2:]]
        assert set(kinds) <= {inspect.Parameter.KEYWORD_ONLY}, name


def test_retrain_shares_nothing_with_the_original_and_never_sees_a_forgotten_image(monkeypatch):
    torch.manual_seed(0)
    split, model = small_split("full_class"), models.ResNet18(10, width=8)
    METHODS["finetune"].unlearn(
        model, split, batch_size=32, epochs=1
    )  # so that every statistic is one of training
    seen = []
    plain = retrain.batches
    monkeypatch.setattr(
        retrain,
        "batches",
        lambda images, *args, **kw: seen.append((images, kw)) or plain(images, *args, **kw),
    )
    result = retrain.unlearn(model, split, recipe=RECIPE, batch_size=64)
    for (name, before), after in zip(
        model.state_dict().items(), result.state_dict().values(), strict=True
    ):
        if "num_batches" not in name:
            assert (before != after).any(), name
    assert [(images is split.retain, kw) for images, kw in seen] == [
        (True, {"shuffle": True, "augment": True})
    ]
    assert not set(split.retain.index.tolist()) & set(split.forget.index.tolist())


def test_released_retrain_keeps_all_but_the_last_layer_and_its_rate_is_traced(monkeypatch):
    torch.manual_seed(0)
    split, model = small_split("full_class"), models.ResNet18(10, width=8)
    start, rates = {}, []
    plain = retrain.fit

    def traced(network, data, optimizer, epochs, *, factor, what):
        start.update({name: tensor.clone() for name, tensor in network.state_dict().items()})
        rates.extend(
            optimizer.param_groups[0]["lr"] * factor(step) for step in range(epochs * len(data))
        )
        rates.append(data)
        return plain(network, data, optimizer, 1, factor=factor, what=what)

    monkeypatch.setattr(retrain, "fit", traced)
    recipe = {"epochs": 5, "milestones": [3, 4], "lr": 0.1, "warm": 1, "batch_size": 16}
    retrain.unlearn(model, split, recipe=recipe, batch_size=64, protocol=RELEASED)
    differing = {
        name for name, tensor in model.state_dict().items() if not torch.equal(tensor, start[name])
    }
    assert differing == {"fc.weight", "fc.bias"}
    data, n = rates.pop(), len(split.retain) // 64 + 1
    assert data.batch_size == 64 and not data.augment and len(data) == n
    wanted = [0.01 * step / n for step in range(2 * n)] + [0.01] * n + [0.002] * n + [0.0004] * n
    assert rates == pytest.approx(wanted)
    assert max(rates) > 0.015 and PAPER.retrain_by_short_recipe is False


def test_finetune_trains_on_the_retain_set_at_a_constant_rate(monkeypatch):
    calls = []
    monkeypatch.setattr(finetune, "fit", lambda *args, **kw: calls.append((args, kw)))
    split, model = small_split("random"), models.ResNet18(10, width=8)
    finetune.unlearn(model, split, batch_size=128)
    (_, data, optimizer, epochs), options = calls[0]
    group = optimizer.param_groups[0]
    assert data.images is split.retain and data.shuffle and data.batch_size == 128 and epochs == 5
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (
        0.02,
        0.9,
        5e-4,
    ) and "factor" not in options


@pytest.mark.parametrize("method", ["ssd", "lfssd"])
def test_dampening_uses_the_stored_importance_and_notes_the_share(method):
    torch.manual_seed(0)
    split, measure = small_split("full_class"), {"ssd": "fisher", "lfssd": "norm"}[method]
    nets = [models.ResNet18(10, width=8) for _ in range(3)]
    for net in nets[1:]:
        net.load_state_dict(nets[0].state_dict())
    notes = {}
    full = ssd.importance(nets[0], batches(split.full, nets[0], 32), measure=measure)
    METHODS[method].unlearn(
        nets[0], split, alpha=2, lam=1, batch_size=32, full_importance=full, notes=notes
    )
    METHODS[method].unlearn(nets[1], split, alpha=2, lam=1, batch_size=32)
    assert all(
        torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True)
    )
    sizes = {name: p.numel() for name, p in nets[0].named_parameters()}
    by_name = notes["selected_by_name"]
    assert by_name.keys() == sizes.keys()
    assert sum(by_name[k] * sizes[k] for k in sizes) / sum(sizes.values()) == pytest.approx(
        notes["selected"]
    )
    nothing = {}
    with pytest.warns(UserWarning, match="alpha = 50 "):  # the scripts' users are told too
        METHODS[method].unlearn(
            copy.deepcopy(nets[2]), split, alpha=50.0, lam=1, batch_size=32, full_importance=full
        )
    METHODS[method].unlearn(
        nets[2],
        split,
        alpha=2,
        lam=1,
        batch_size=32,
        notes=nothing,
        full_importance={name: value + 1e9 for name, value in full.items()},
    )
    assert nothing["selected"] == 0  # the given I_D was used, and not computed again
    changed = sum(
        int((a != b).sum()) for a, b in zip(nets[0].parameters(), nets[2].parameters(), strict=True)
    )
    assert (
        0
        < changed
        <= notes["selected"] * sum(p.numel() for p in nets[0].parameters())
        < changed * 1.2
    )
