"""Networks, data sets and methods from outside: a user's files in a folder of their own."""

import shutil
import sys

import pytest
import torch
from helpers import ROOT, assert_refused, call, only_record
from torch import nn

import datasets
import forget_full_class_main
import forget_sub_class_main
import models
import pretrain_model
from common.errors import UserError
from learning.recipes import recipe
from methods import METHODS
from runs import checkpoints

NET = ("-net", "network.py:small")
DIGITS = (*NET, "-dataset", "Digits")
NO_WANDB = ("-wandb", "disabled")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with the files of examples/outside, which is the working folder."""
    for path in (ROOT / "examples" / "outside").glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def forget(*flags):
    return forget_full_class_main.main([*DIGITS, "-forget_class", "3", *NO_WANDB, *flags])


# ---- what can be done with them ----


def test_a_network_from_outside_is_trained_unlearned_and_retrained(own):
    trained = pretrain_model.main([*DIGITS, "-epochs", "3"])
    assert trained["net"] == "network.py:small"
    assert trained["accuracy"] > 50
    record = forget("-method", "ssd")
    assert record["config"]["alpha"] == 4  # of the file's ALPHA
    assert record["config"]["net"] == "network.py:small"
    assert forget("-method", "retrain")["scores"]["Df"] == 0


def test_the_recipe_stands_in_the_file_and_flags_go_before_it(own):
    settings = recipe("network.py:small", "Digits")
    assert (settings["epochs"], settings["milestones"], settings["lr"]) == (6, [4], 0.05)
    trained = pretrain_model.main([*DIGITS, "-epochs", "1", "-lr", "0.02"])
    assert (trained["recipe"]["epochs"], trained["recipe"]["lr"]) == (1, 0.02)


def test_a_method_from_outside_has_settings_and_an_identity(own):
    pretrain_model.main([*DIGITS, "-epochs", "1"])
    flags = ("-method", "method.py:ascend", "-set", "lr=0.002")
    first = forget(*flags)
    assert first["config"]["hyperparameters"]["lr"] == 0.002
    assert first["config"]["hyperparameters"]["optimizer"] == "SGD"  # of its METHOD
    assert set(first["config"]["outside"]) == {"net", "method"}
    assert forget(*flags)["date"] == first["date"]
    assert len(list(own.rglob("results/**/*.json"))) == 1
    text = (own / "method.py").read_text()
    (own / "method.py").write_text(text.replace("return -F.", "return -2 * F."))
    second = forget(*flags)  # a changed file is another run
    assert len(list(own.rglob("results/**/*.json"))) == 2
    assert second["config"]["outside"]["method"] != first["config"]["outside"]["method"]


def test_a_data_set_from_outside_has_classes_and_sub_classes(own):
    data = (*NET, "-dataset", "data_set.py:squares")
    assert pretrain_model.main([*data, "-epochs", "2"])["accuracy"] > 90
    flags = ("-forget_class", "dark right", "-method", "baseline", *NO_WANDB)
    record = forget_sub_class_main.main([*data, *flags])
    assert record["config"]["forget"] == "dark right"
    assert record["sizes"] == {"D": 400, "D_f": 100}
    classes, fine_classes = datasets.class_names("data_set.py:squares")
    assert (len(classes), len(fine_classes)) == (2, 4)


def test_a_sweep_and_its_workers_find_them(own):
    line = f"forget_full_class_main.py {' '.join(DIGITS)} -forget_class 3 -wandb disabled -method"
    lines = f"{line} ssd\n{line} method.py:ascend\n"
    done = call("sweep.py", "--jobs", 2, cwd=own, input=lines)
    assert done.returncode == 0, done.stderr
    assert len(list(own.rglob("results/**/*.json"))) == 2


def test_a_function_of_a_package_is_found_too(own):
    package = own / "mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (own / "network.py").rename(package / "nets.py")
    model = models.create("mine.nets:small", 7)
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 7)
    assert "mine.nets" in sys.modules


@pytest.mark.parametrize("net", ["network.py:small", "torchvision/resnet18"])
def test_fresh_networks_are_of_the_same_form_with_other_weights(own, net):
    torch.manual_seed(0)
    model = models.create(net, 10)
    for other in (models.fresh(model), models.untrained(model)):
        shapes = [tuple(p.shape) for p in other.parameters()]
        assert shapes == [tuple(p.shape) for p in model.parameters()]
        assert not torch.equal(next(other.parameters()), next(model.parameters()))


def test_networks_of_timm():
    timm = pytest.importorskip("timm")
    model = models.create("timm/resnet10t", 10)
    assert isinstance(model, timm.models.resnet.ResNet)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    vit = models.create("timm/vit_tiny_patch16_224", 10)
    assert vit.input_size == 224


def test_a_checkpoint_of_a_network_from_outside_is_loaded_again(own):
    pretrain_model.main([*DIGITS, "-epochs", "1"])
    train, _ = datasets.load("Digits")
    path = checkpoints.checkpoint_path("network.py:small", "Digits", 0)
    model, metadata, _ = checkpoints.load(path, "network.py:small", train)
    assert isinstance(model, nn.Sequential)
    assert metadata["recipe"]["epochs"] == 1


# ---- what cannot be: one line, exit code 2 ----


@pytest.mark.parametrize(
    ("net", "words"),
    [
        ("gone.py:small", "there is no file gone.py"),
        ("network.py:large", "has no large"),
        ("network.py:RECIPE", "no function"),
        ("data_set.py:squares", "must take 1 arguments"),
        ("no.such:network", "cannot be imported"),
        ("broken.py:net", "cannot be imported (NameError"),
        ("odd.py:raises", "raised ZeroDivisionError"),
        ("odd.py:number", "returned int"),
        ("torchvision/resnet19", "nearest names: resnet1"),
        ("Resnet18", "invalid choice: 'Resnet18'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(own, net, words):
    (own / "broken.py").write_text("undefined\n")
    (own / "odd.py").write_text("def raises(n): 1 / 0\ndef number(n): return n\n")
    done = call("pretrain_model.py", "-net", net, "-dataset", "Digits", cwd=own)
    assert_refused(done, words)
    assert not list(own.rglob("checkpoints/*.safetensors"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def f(model): return model", "takes (model)"),
        ("def f(model, split, *, rate): return model", "no run gives it 'rate'"),
        ("def f(model, split, lr=0.1): return model", "must stand after a *"),
        ("f = 3", "no method"),
    ],
)
def test_a_method_that_breaks_the_contract_is_refused(own, code, words):
    (own / "bad.py").write_text(code)
    with pytest.raises(UserError) as error:
        METHODS["bad.py:f"]
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def f(data, size, protocol): return 3", "must return (training set, test set)"),
        ("def f(data): return 3", "must take 3 arguments"),
    ],
)
def test_a_data_set_that_breaks_the_contract_is_refused(own, code, words):
    (own / "bad.py").write_text(code)
    with pytest.raises(UserError) as error:
        datasets.load("bad.py:f")
    assert words in str(error.value)


def test_a_recipe_of_another_form_is_refused(own):
    (own / "bad.py").write_text("RECIPE = {'epoch': 3}\ndef f(n): pass\n")
    with pytest.raises(UserError, match="RECIPE in its file"):
        recipe("bad.py:f", "Digits")


def test_names_of_the_tables_are_no_references():
    assert "ssd" in METHODS
    with pytest.raises(KeyError):
        METHODS["no such method"]


def test_records_of_what_is_gone_can_still_be_reported(own):
    pretrain_model.main([*DIGITS, "-epochs", "1"])
    forget("-method", "method.py:ascend")
    for name in ("network.py", "method.py"):
        (own / name).unlink()
    done = call("report.py", "results", cwd=own)
    assert done.returncode == 0, done.stderr
    assert "method.py:ascend" in done.stdout
    assert only_record(own / "results")["config"]["net"] == "network.py:small"


# ---- a set's own colours ----


def test_networks_by_their_own_colours_are_apart_from_the_others(own):
    flags = [*DIGITS, "-epochs", "1"]
    usual = pretrain_model.main(flags)
    by_own = pretrain_model.main([*flags, "-normalise", "own"])
    assert by_own["data_hash"] != usual["data_hash"]
    assert len(list(own.glob("checkpoints/*Digits-seed0*.safetensors"))) == 2
    record = forget("-method", "baseline", "-normalise", "own")
    assert record["config"]["normalise"] == "own"
    assert record["scores"]["TestAcc"] == pytest.approx(by_own["accuracy"])
    path = str(checkpoints.checkpoint_path("network.py:small", "Digits", 0))
    with pytest.raises(UserError, match="trained on other images"):
        forget("-method", "baseline", "-normalise", "own", "-weight_path", path)


# ---- a user's mistakes, one line each, before any work ----

NETS = """
import sys
import torch
from torch import nn

def few(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 3))

def wide(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(7, num_classes))

def empty(num_classes):
    return nn.Identity()

def leaves(num_classes):
    sys.exit(0)

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3 * 64, 10)

    def forward(self, x):
        return self.head(x.flatten(1)), x

def pair(num_classes):
    return Pair()
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("few", r"must give logits \[2, 10\] float32 .* it gave \[2, 3\]"),
        ("wide", "does not take images of 8x8 pixels"),
        ("empty", "without parameters"),
        ("leaves", "raised SystemExit"),
        ("pair", "it gave tuple"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_it_is_trained(own, name, words):
    (own / "nets.py").write_text(NETS)
    with pytest.raises(UserError, match=words):
        pretrain_model.main(["-net", f"nets.py:{name}", "-dataset", "Digits", "-epochs", "1"])
    assert not list(own.glob("checkpoints/*.safetensors"))


METHODS_FILE = """
from torch import nn

def nothing(model, split, *, batch_size):
    return None

def another(model, split, *, batch_size):
    return nn.Linear(3, 3)

def raises(model, split, *, batch_size):
    raise KeyError("gone")

def leaves(model, split, *, batch_size):
    raise SystemExit(0)

def measureless(model, split, *, batch_size, full_importance):
    return model
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "must return the unlearned network"),
        ("another", "it returned Linear"),
        ("raises", "raised KeyError"),
        ("leaves", "raised SystemExit"),
        ("measureless", "says not of which kind"),
    ],
)
def test_a_method_that_breaks_the_contract_is_told_in_a_line(own, name, words):
    (own / "own.py").write_text(METHODS_FILE)
    pretrain_model.main([*DIGITS, "-epochs", "1"])
    with pytest.raises(UserError, match=words):
        forget("-method", f"own.py:{name}")


SETS_FILE = """
import torch
from learning.augment import Augmentation
from learning.images import image_set

def a_set(pixels=None, labels=(0, 1, 0, 1), classes=("a", "b")):
    if pixels is None:
        pixels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    augmentation = Augmentation(crop=8, padding=0, flip=False, degrees=0)
    return image_set("x", pixels, list(labels), classes, augmentation)

def high(data, size, protocol):
    return a_set(labels=(0, 1, 2, 1)), a_set()

def negative(data, size, protocol):
    return a_set(), a_set(labels=(0, -1, 0, 1))

def empty(data, size, protocol):
    return a_set(), a_set().take(torch.tensor([], dtype=torch.int64))

def numbers(data, size, protocol):
    return a_set(classes=(1, 2)), a_set(classes=(1, 2))

def twice(data, size, protocol):
    return a_set(classes=("a", "a")), a_set(classes=("a", "a"))

def unit(data, size, protocol):
    return a_set(torch.rand(4, 3, 8, 8)), a_set()

def grey(data, size, protocol):
    return a_set(torch.zeros(4, 1, 8, 8, dtype=torch.uint8)), a_set()
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("high", "training set there are labels outside of 0 to 1"),
        ("negative", "test set there are labels"),
        ("empty", "test set there is no image"),
        ("numbers", "not texts"),
        ("twice", "not all different"),
        ("unit", "torch.float32, and not"),
        ("grey", r"pixels are \[4, 1, 8, 8\]"),
    ],
)
def test_a_data_set_that_no_network_can_learn_is_refused(own, name, words):
    (own / "sets.py").write_text(SETS_FILE)
    with pytest.raises(UserError, match=words):
        datasets.load(f"sets.py:{name}", "data")


@pytest.mark.parametrize(
    "text",
    [
        "{'epochs': 'x'}",
        "{'epochs': 0, 'lr': 1}",
        "{'epochs': 2, 'lr': 1, 'milestones': 3}",
        "{'epochs': 2, 'lr': -1}",
        "{'epochs': 2.5, 'lr': 1}",
    ],
)
def test_a_recipe_that_cannot_be(own, text):
    (own / "nets.py").write_text(f"RECIPE = {text}\ndef net(num_classes): ...\n")
    with pytest.raises(UserError, match="RECIPE in its file"):
        recipe("nets.py:net", "Digits")


def test_names_too_long_for_a_record_are_refused_before_any_work(own):
    folder = own / ("z" * 150)
    folder.mkdir()
    shutil.copy(own / "network.py", folder)
    with pytest.raises(UserError, match="more than 160 bytes"):
        pretrain_model.main(["-net", f"{folder.name}/network.py:small", "-dataset", "Digits"])
    assert not list(own.glob("checkpoints/*"))


def test_torchvisions_other_networks_are_no_classifiers():
    with pytest.raises(UserError, match="has no network"):
        models.create("torchvision/deeplabv3_resnet50", 10)
