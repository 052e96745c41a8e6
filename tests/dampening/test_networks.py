"""Networks that are compiled, wrapped or hooked, and what importance leaves of their own."""

import pytest
import torch
from oracles import assert_same, one_line, small_net
from torch import nn

import ssd
from dampening import blocks

WAYS = [("fisher", False), ("norm", False), ("fisher", True)]


def batch_of(count=6):
    return torch.randn(count, 2, 4, 4), torch.randint(3, (count,))


def renamed(importances, prefix):
    return {prefix + name: value for name, value in importances.items()}


@pytest.mark.parametrize(("measure", "per_sample"), WAYS)
@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        (lambda model: torch.compile(model, backend="eager"), "_orig_mod."),
        (nn.DataParallel, "module."),
    ],
    ids=["compiled", "DataParallel"],
)
def test_wrapped_networks_have_their_importances(wrap, prefix, measure, per_sample):
    torch.manual_seed(0)
    model, batches = small_net(), [batch_of(), batch_of(4)]
    wanted = ssd.importance(model, batches, measure=measure, per_sample=per_sample)
    wrapped = wrap(model)
    importances = ssd.importance(wrapped, batches, measure=measure, per_sample=per_sample)
    assert_same(importances, renamed(wanted, prefix))
    before = model[0].weight.detach().clone()
    assert ssd.dampen(wrapped, importances, importances, alpha=0.5, lam=0.5) > 0.5
    assert torch.allclose(model[0].weight, before / 2)


def test_a_network_compiled_in_place():
    torch.manual_seed(0)
    model, batches = small_net(), [batch_of()]
    for measure, per_sample in WAYS:
        wanted = ssd.importance(model, batches, measure=measure, per_sample=per_sample)
        model.compile(backend="eager")
        importances = ssd.importance(model, batches, measure=measure, per_sample=per_sample)
        assert_same(importances, wanted)


def test_gradients_that_were_there_are_there_afterwards():
    torch.manual_seed(0)
    model, (x, y) = small_net(), batch_of()
    nn.functional.cross_entropy(model(x), y).backward()
    kept = {name: p.grad for name, p in model.named_parameters()}
    copies = {name: gradient.clone() for name, gradient in kept.items()}
    x.requires_grad_(True)
    for measure, per_sample in WAYS:
        ssd.importance(model, [(x, y)], measure=measure, per_sample=per_sample)
    for name, p in model.named_parameters():
        assert p.grad is kept[name]
        assert torch.equal(p.grad, copies[name])
        assert not p._post_accumulate_grad_hooks
    assert x.grad is None


def test_gradients_that_were_there_survive_an_error():
    model, (x, y) = small_net(), batch_of()
    nn.functional.cross_entropy(model(x), y).backward()
    kept = {name: p.grad for name, p in model.named_parameters()}
    with pytest.raises(ValueError, match="has the label 5"):
        ssd.importance(model, [(x, y), (x, torch.full_like(y, 5))])
    for name, p in model.named_parameters():
        assert p.grad is kept[name]
    assert model.training


def test_an_optimiser_in_the_backward_pass_is_refused():
    """It would train the network while importances are taken."""
    model = small_net()
    model[0].weight.register_post_accumulate_grad_hook(lambda p: None)
    with pytest.raises(ValueError) as error:
        ssd.importance(model, [batch_of()])
    one_line(error, "parameter 0.weight has a hook that runs when its gradient is there")


def test_only_one_gradient_is_held_at_a_time():
    """When a layer's gradient is handed over, those of the layers after it are gone."""
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(5)))
    held = []

    def look(*_):
        held.append(sum(p.grad is not None for p in model.parameters()))

    for layer in model[1:]:
        layer.register_full_backward_hook(look)
    ssd.importance(model, [(torch.randn(3, 4), torch.tensor([0, 1, 2]))])
    assert len(held) == 4
    assert max(held) <= 2


def test_importances_are_kept_where_the_caller_wants_them():
    model, batch = small_net(), batch_of()
    importances = ssd.importance(model, [batch], store="meta")
    assert all(value.is_meta for value in importances.values())
    assert_same(ssd.importance(model, [batch], store="cpu"), ssd.importance(model, [batch]), 0)


def test_buffers_are_no_parameters():
    model = small_net()
    importances = ssd.importance(model, [batch_of()])
    assert importances.keys() == dict(model.named_parameters()).keys()
    statistics = model[1].running_mean.clone()
    ssd.dampen(model, importances, importances, alpha=0.5, lam=0)
    assert torch.equal(model[1].running_mean, statistics)
    assert model[0].weight.norm() == 0


def test_a_selection_is_a_float_with_shares():
    model = nn.Linear(2, 2)
    ones = {name: torch.ones_like(p) for name, p in model.named_parameters()}
    forget = {"weight": torch.full((2, 2), 3.0), "bias": torch.ones(2)}
    selection = ssd.dampen(model, ones, forget, alpha=2, lam=1)
    assert selection == 4 / 6
    assert f"{selection:.2f}" == "0.67"
    assert selection.by_name == {"weight": 1, "bias": 0}


def test_a_tensor_is_dampened_block_by_block(monkeypatch):
    """Blocks of rows give what the whole gives, whatever the layout in memory."""
    results = []
    for entries in (10**6, 7):
        monkeypatch.setattr(blocks, "BLOCK_ENTRIES", entries)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Linear(7, 6))
        model.to(memory_format=torch.channels_last)
        full = {name: torch.rand_like(p) for name, p in model.named_parameters()}
        forget = {name: torch.rand_like(p) for name, p in model.named_parameters()}
        overlap = ssd.suitability(model, full, forget).overlap
        selection = ssd.dampen(model, full, forget, alpha=1, lam=0.7)
        results.append((model.state_dict(), selection.by_name, overlap))
    (whole, whole_shares, whole_overlap), (parted, parted_shares, parted_overlap) = results
    assert parted_shares == whole_shares
    assert parted_overlap == pytest.approx(whole_overlap)
    for name, value in whole.items():
        assert torch.equal(parted[name], value)


def test_parameters_that_share_memory_are_refused():
    """They would be dampened twice."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = nn.Parameter(model[0].weight.data)
    with pytest.raises(ValueError) as error:
        ssd.importance(model, [(torch.randn(3, 3), torch.arange(3))])
    one_line(error, "parameters 0.weight and 1.weight share their memory; make them one")


def test_a_place_to_keep_that_is_none_is_refused():
    with pytest.raises(ValueError) as error:
        ssd.importance(small_net(), [batch_of()], store="disk")
    one_line(error, "store is 'disk'; it must be a device that is there")
