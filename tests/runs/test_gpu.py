"""The code for a GPU, on machines without one.

Tensors say that they lie on a GPU, hold a CPU tensor, and refuse what a GPU would.

What cannot be pretended: speed, TF32, autocast, and how a GPU rounds.
"""

import copy
import importlib
import json

import pytest
import torch
from helpers import DIGITS, settings_for
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import datasets
import metrics
import models
import splits
from methods import METHODS

aten = torch.ops.aten
GPU = torch.device("cuda", 0)
TAKES_BOTH = {
    aten.copy_.default,
    aten._to_copy.default,
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
waits = []  # an entry for each number that Python has read from the GPU


class OnGPU(torch.Tensor):
    """A tensor on the pretended GPU; `held` has its values."""

    @staticmethod
    def __new__(cls, held):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device="meta",
            requires_grad=held.requires_grad,
        )

    def __init__(self, held):
        self.held = held

    device = property(lambda self: GPU)

    def tolist(self):
        waits.append("tolist")
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


class Pretence(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def compute(func, args, kwargs):
    """One operation, on what the tensors hold.

    Its result lies where its device says, else where its arguments do.
    """
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    there = [isinstance(t, OnGPU) for t in tensors]
    if (
        any(there)
        and func not in TAKES_BOTH
        and any(t.dim() for t, on in zip(tensors, there, strict=True) if not on)
    ):
        raise RuntimeError(f"{func}: tensors on two devices")
    if func is aten.index.Tensor and any(there) and not there[0]:
        raise RuntimeError("indices on the GPU into a tensor on the CPU")
    if any(there) and (
        func is aten._local_scalar_dense.default or str(kwargs.get("device")) == "cpu"
    ):
        waits.append(func)
    named = kwargs.pop("device", None) if func is not aten.copy_.default else None
    kwargs.pop("pin_memory", None)
    goes_there = any(there) if named is None else torch.device(named).type in ("cuda", "meta")
    held = func(
        *tree_map(_held, args),
        **tree_map(_held, kwargs),
        **({} if named is None else {"device": "cpu"}),
    )
    name = func._schema.name
    if name.endswith("_") and not name.endswith("__") and isinstance(args[0], torch.Tensor):
        return args[0]  # in place
    if name.startswith(("aten::_foreach", "aten::_fused")) and name.endswith("_"):
        return held
    return tree_map(lambda t: OnGPU(t) if goes_there and isinstance(t, torch.Tensor) else t, held)


def _held(value):
    return value.held if isinstance(value, OnGPU) else value


@pytest.fixture
def gpu(monkeypatch):
    """torch.cuda as on a machine with a GPU of 80 GiB."""
    torch._C._ensureCUDADeviceGuardSet()
    made = torch.tensor
    for name, value in {
        "_lazy_init": None,
        "is_available": True,
        "mem_get_info": (80 * 2**30,) * 2,
        "synchronize": None,
        "get_device_name": "pretended",
        "manual_seed_all": None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _: torch.get_rng_state())
    monkeypatch.setattr(
        torch, "tensor", lambda values, device="cpu", **kw: made(values, **kw).to(device)
    )
    waits.clear()
    with Pretence():
        yield GPU


def test_the_pretended_gpu_refuses_what_a_gpu_would(gpu):
    there, here = torch.arange(3.0).to(gpu), torch.arange(3.0)
    for tensor in (there, there + 1, torch.zeros(2, device=gpu), there[here.long()]):
        assert tensor.device == gpu
    assert type(there.cpu()) is torch.Tensor
    assert torch.equal(there.cpu(), here)
    for mixed in (
        lambda: there + here,
        lambda: here[there.long()],
        lambda: torch.stack([here, there]),
        lambda: there.numpy(),
    ):
        with pytest.raises((RuntimeError, TypeError)):
            mixed()
    waits.clear()
    assert float(there.sum()) == 3 and len(waits) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:potion")  # an untrained network has nothing to heal
def test_methods_stay_on_the_gpu_and_compute_what_they_do_on_a_cpu(method, gpu):
    found = {}
    torch.manual_seed(0)
    here = models.ResNet18(10, width=4)
    for device in ("cpu", gpu):
        model = copy.deepcopy(here).to(device)
        parts = [
            part.to(device).take(torch.arange(0, len(part), 5)) for part in datasets.load("Digits")
        ]
        split = splits.split_class(*parts, "7")
        settings = settings_for(method, model)
        if method in ("finetune", "neggrad_plus"):
            settings["lr"] = (
                1e-4  # at their own rates a GPU's fused steps round themselves away from a CPU's
            )
        waits.clear()
        torch.manual_seed(1)
        result = METHODS[method].unlearn(model, split, **settings)
        assert len(waits) < 30, "a GPU waits for Python"
        assert {p.device.type for p in result.parameters()} == {torch.device(device).type}
        logits = metrics.logits_of(result, split.train), metrics.logits_of(result, split.test)
        found[device] = [value.cpu().double() for value in logits]
    for one, other in zip(*found.values(), strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-3)


def test_a_training_set_too_large_for_the_gpu_is_split_beside_its_test_set(gpu):
    train, test = datasets.load("Digits")
    split = splits.split_corrupted(train, test.to(gpu), "patch", 50, 0.5, train_seed=0, seed=0)
    model = models.ResNet18(10, width=4)
    assert len(metrics.logits_of(model, split.forget_test)) == len(split.forget_test)


def test_scripts_leave_the_scores_of_a_cpu(gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    poison = ("-corruption", "patch", "-corrupt_count", "40")
    for flags in ((), poison):
        importlib.import_module("pretrain_model").main([*DIGITS, *flags, "-epochs", "2", "-gpu"])
    for script, flags in (
        ("forget_full_class_main", ("-forget_class", "7", "-method", "ssd", "-alpha", "2")),
        (
            "forget_full_class_main",
            ("-forget_class", "7", "-method", "ssd", "-alpha", "2", "-importance", "sample"),
        ),
        ("forget_random_main", ("-forget_perc", "0.02", "-method", "lfssd")),
        ("forget_corrupted_main", (*poison, "-known_share", "0.5", "-method", "assd")),
    ):
        command = [*DIGITS, *flags, "-wandb", "disabled", "-results"]
        here, there = (
            importlib.import_module(script).main([*command, *more])
            for more in (["here"], ["there", "-gpu"])
        )
        assert (
            here["scores"] == pytest.approx(there["scores"], abs=1e-3)
            and there["device"] == "pretended"
        )
    assert json.loads(next(tmp_path.glob("there/random/*.json")).read_text())["config"]["gpu"]
