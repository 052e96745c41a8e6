"""The contract that every method keeps, on every task and network."""

import ast
import inspect
import re
import runpy
import warnings
from dataclasses import replace

import pytest
import torch
from helpers import (
    NETWORKS,
    ROOT,
    net,
    settings_for,
    small_split,
    tiny_resnet,
    twin,
    weights_of,
)
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

import methods
import models
from common.errors import UserError
from methods import ALIASES, GOAL, METHODS, ORIGINAL
from metrics import logits_of

TASKS = ("full_class", "sub_class", "random")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.filterwarnings("ignore:potion")  # an untrained network has nothing to heal
def test_contract(method, task, network):
    torch.manual_seed(0)
    split = small_split(task)
    model = NETWORKS[network](split.num_classes)
    settings = settings_for(method, model)
    if METHODS[method].needs_class and task == "random":
        with pytest.raises(UserError, match="class"):
            METHODS[method].unlearn(model, split, **settings)
        return
    optimizers = []
    hook = register_optimizer_step_pre_hook(lambda *call: optimizers.append(call[0]))
    try:
        result = METHODS[method].unlearn(model, split, **settings)
    finally:
        hook.remove()
    assert_optimisers(optimizers, METHODS[method].optimizer)
    assert type(result) is type(model)
    assert not result.training
    with torch.no_grad():
        assert torch.isfinite(result(torch.randn(2, 3, 16, 16))).all()
    for p in result.parameters():
        assert torch.isfinite(p).all()
        assert p.requires_grad
        assert p.grad is None
        assert not p._backward_hooks
    for module in result.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks


def assert_optimisers(optimizers, expected):
    """Every optimiser that took a step is what the method's file says."""
    assert bool(optimizers) == bool(expected)
    for optimizer in optimizers:
        assert type(optimizer).__name__ == expected["optimizer"]
        assert "weight_decay" in expected
        (group,) = optimizer.param_groups
        for name in expected.keys() & group.keys():
            value = list(group[name]) if name == "betas" else group[name]
            assert value == expected[name], name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", ["full_class", "sub_class"])
@pytest.mark.filterwarnings("ignore:potion")
def test_the_seed_counts_where_the_table_says_so(method, task):
    """The same network forgets a class with two seeds."""
    split = small_split(task)
    torch.manual_seed(0)
    start = tiny_resnet(split.num_classes)
    results = []
    for seed in (1, 2):
        model = twin(start)
        settings = settings_for(method, model)
        torch.manual_seed(seed)
        results.append(weights_of(METHODS[method].unlearn(model, split, **settings)))
    differs = not torch.equal(*results)
    assert differs == METHODS[method].draws_for_class


def test_one_method_is_the_original_and_one_is_the_goal():
    assert (ORIGINAL, GOAL) == ("baseline", "retrain")


def test_aliases_are_the_released_names():
    released = {
        "ssd_tuning": "ssd",
        "blindspot": "bad_teacher",
        "UNSIR": "unsir",
        "FisherForgetting": "fisher",
        "NTK": "ntk",
    }
    assert released == ALIASES


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_its_source_or_idea(name):
    method = METHODS[name]
    module = inspect.getmodule(method.unlearn)
    assert module.__doc__
    assert method.unlearn.__doc__
    kinds = [p.kind for p in list(method.parameters.values())[2:]]
    assert set(kinds) <= {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", METHODS)
def test_every_signature_has_type_hints(name):
    signature = inspect.signature(METHODS[name].unlearn)
    assert signature.return_annotation is torch.nn.Module
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter


@pytest.mark.parametrize("name", METHODS)
def test_ranges_name_what_the_methods_take(name):
    takes = METHODS[name].parameters
    for parameter, (low, high) in METHODS[name].ranges.items():
        assert parameter in takes
        assert 0 < low < high
        if type(takes[parameter].default) is int:
            assert type(low) is int
            assert type(high) is int


@pytest.mark.parametrize("name", METHODS)
def test_networks_that_a_method_is_too_slow_on_are_networks(name):
    assert set(METHODS[name].too_slow_on) <= models.NETS.keys()


# ---- what -set takes ----


def test_settings_are_read_by_the_signature():
    texts = ["lr=0.1", "epochs=3", "study=class_script", "clip=0"]
    chosen = {"clip": 0.0, "epochs": 3, "lr": 0.1, "study": "class_script"}
    settings = methods.settings("scrub", texts)
    assert settings == chosen
    assert list(settings) == sorted(settings)
    assert type(settings["clip"]) is float
    assert type(settings["epochs"]) is int


@pytest.mark.parametrize(
    ("method", "texts", "message"),
    [
        ("baseline", ["lr=1"], "baseline has nothing to set"),
        ("fisher", ["alpha=1"], "fisher has scale=1e-06, batch_size=32"),
        ("ssd", ["alpha=1"], "ssd has nothing to set"),
        ("finetune", ["lr=1", "lr=1"], "lr is given twice"),
        ("finetune", ["epochs=1.5"], "epochs takes a whole number"),
        ("finetune", ["lr=fast"], "lr takes a number"),
        ("finetune", ["epochs=0"], "counts lie between 1 and 1e9"),
        ("finetune", ["lr=nan"], "other numbers between 0 and 1e30"),
        ("scrub", ["study=mine"], "study is one of stated, class_script"),
    ],
)
def test_settings_that_do_not_fit_the_signature_are_refused(method, texts, message):
    with pytest.raises(UserError, match=re.escape(message)):
        methods.settings(method, texts)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("potion", {"growth": 1.0}),
        ("potion", {"strength": 0.0}),
        ("potion", {"rho": 1.0}),
        ("salun", {"share": 0.0}),
        ("salun", {"share": 1.5}),
        ("bad_teacher", {"retain_share": 1.5}),
    ],
)
def test_settings_that_lead_nowhere_are_refused(method, settings):
    model = net()
    given = {**settings_for(method, model), **settings}
    with pytest.raises(UserError, match=next(iter(settings))):
        METHODS[method].unlearn(model, small_split("full_class"), **given)


@pytest.mark.parametrize("method", ["assd", "alfssd", "jit", "salun"])
def test_no_method_warns_on_a_tiny_forget_set(method):
    split = small_split("random")
    few = replace(split, forget=split.forget.take(torch.arange(2)))
    model = tiny_resnet()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        METHODS[method].unlearn(model, few, **settings_for(method, model))


# ---- the page docs/methods.md ----

PAGE = (ROOT / "docs" / "methods.md").read_text()
DEPARTURE = re.compile(r"^(?:- )?Differs (\d+): (.*?)(?=^(?:- )|^Differs \d|^\s*$|\Z)", re.S | re.M)


def departures(text):
    """[(number, its text on one line)] of each "Differs 1: ..." of a docstring or a section."""
    result = []
    for number, words in DEPARTURE.findall(text):
        result.append((int(number), " ".join(words.split())))
    return result


def declared(path):
    """The departures in a file's docstring, numbered from 1."""
    result = departures(ast.get_docstring(ast.parse(path.read_text())))
    assert [number for number, _ in result] == list(range(1, len(result) + 1))
    return result


@pytest.mark.parametrize("method", METHODS)
def test_departures_of_a_method_are_the_same_in_the_docs(method):
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M))
    assert departures(sections[method]) == declared(ROOT / "methods" / f"{method}.py")


@pytest.mark.parametrize("file", ["metrics.py", "learning/training.py"])
def test_departures_of_scores_and_training_are_the_same_in_the_docs(file):
    name = file.split("/")[-1]
    section = re.search(rf"\(`(?:learning/)?{name}`\):\n\n(.*?)\n\n", PAGE, re.S)[1]
    assert departures(section) == declared(ROOT / file)
    assert departures(section)


@pytest.mark.parametrize("name", METHODS)
def test_the_docs_table_says_what_the_methods_table_says(name):
    (row,) = re.findall(rf"^\| \[{name}\]\(#{name}\) \| (.*) \|$", PAGE, re.M)
    aliases, _, tasks, seed = [cell.strip() for cell in f" {row}".split(" | ")]
    method = METHODS[name]
    assert aliases.split() == list(method.aliases)
    assert tasks.startswith("class" if method.needs_class else "all")
    assert (seed != "no") == method.draws_for_class


def test_the_example_of_the_page_on_extending_is_a_method(tmp_path):
    page = (ROOT / "docs" / "extending.md").read_text()
    section = page.split("## Add a method")[1].split("\n## Add")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    (tmp_path / "ascent.py").write_text(code)
    method = runpy.run_path(str(tmp_path / "ascent.py"))["METHOD"]
    split, model = small_split("full_class"), net(dropout=0.0)
    labels = split.forget.labels
    before = logits_of(model, split.forget)
    after = logits_of(method.unlearn(model, split, batch_size=48), split.forget)
    assert F.cross_entropy(after, labels) > F.cross_entropy(before, labels)
    assert method.settable.keys() == method.ranges.keys()
