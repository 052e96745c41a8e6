"""Order statistics by counting, against a sorted list: equal to the last bit."""

import math

import pytest
import torch
from oracles import one_line

import ssd
from dampening import blocks


def sorted_list(full, forget):
    """What sorted_ratios stands for."""
    parts = []
    for name in full:
        i_full, i_forget = full[name], forget[name]
        if torch.float64 not in (i_full.dtype, i_forget.dtype):
            i_full, i_forget = i_full.float(), i_forget.float()
        parts.append((i_forget / i_full).flatten())
    ratios = torch.cat(parts)
    return ratios[torch.isfinite(ratios)].sort().values


def assert_equal(full, forget, positions=None):
    ratios, wanted = ssd.sorted_ratios(full, forget), sorted_list(full, forget)
    assert len(ratios) == len(wanted)
    assert ratios.dtype == wanted.dtype
    for position in range(len(wanted)) if positions is None else positions:
        assert ratios[position] == wanted[position].item(), position


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_position_of_few_ratios(dtype):
    torch.manual_seed(0)
    full = {"a": torch.rand(7, 3).to(dtype), "b": torch.rand(5).to(dtype)}
    forget = {"a": torch.rand(7, 3).to(dtype), "b": torch.rand(5).to(dtype)}
    full["a"][0] = 0  # infinity, and NaN
    forget["a"][0, 0] = 0
    forget["b"][1:3] = 0  # ratios of 0
    assert_equal(full, forget)


def test_ties_and_numbers_of_every_size():
    """From the smallest denormal number to the largest of all, many of them equal."""
    values = [0.0, 1e-45, 3e-39, 1e-20, 0.5, 1.0, math.nextafter(1, 2), 1.5, 2**15, 1e20, 3.4e38]
    forget = torch.tensor(values).repeat(5)
    assert_equal({"a": torch.ones_like(forget)}, {"a": forget})
    assert_equal({"a": torch.ones_like(forget).double()}, {"a": forget.double() * (1 + 1e-12)})


def test_millions_with_ties_and_infinities():
    torch.manual_seed(0)
    shape = (3, 700_000)  # more than one chunk
    full = {"a": torch.rand(shape).round(decimals=2), "b": 1e-9 * torch.rand(1000)}
    forget = {"a": torch.rand(shape).round(decimals=2), "b": 1e-7 * torch.rand(1000)}
    last = len(sorted_list(full, forget)) - 1
    assert last > 2 * 10**6
    assert_equal(full, forget, [0, 1, last // 3, last // 2, last - 100, last - 1, last])


def test_the_adaptive_alpha_is_a_sorted_lists(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 10)
    torch.manual_seed(0)
    full, forget = {"a": torch.rand(137)}, {"a": torch.rand(137)}
    wanted = sorted_list(full, forget)
    ratios = ssd.sorted_ratios(full, forget)
    for share in (1e-6, 0.01, 0.1, 0.5, 1.0):
        for strength in (0.04, 1.0, 1e9, 1e300):
            by_counting = ssd.adaptive_alpha(ratios, share, strength)
            assert by_counting == ssd.adaptive_alpha(wanted, share, strength)


def test_precisions_may_be_mixed():
    full = {"a": torch.rand(20), "b": torch.rand(20).double()}
    forget = {"a": torch.rand(20).half(), "b": torch.rand(20)}
    assert_equal(full, forget)


def test_there_is_no_position_beyond_the_last():
    ratios = ssd.sorted_ratios({"a": torch.ones(3)}, {"a": torch.tensor([2.0, 1.0, 3.0])})
    assert list(ratios) == [1, 2, 3]
    for position in (3, -1):
        with pytest.raises(IndexError, match="there are 3 ratios"):
            ratios[position]


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan"), "half", None])
def test_an_adaptive_alpha_needs_a_share(share):
    with pytest.raises((TypeError, ValueError)) as error:
        ssd.adaptive_alpha(torch.tensor([1.0, 2.0]), share)
    one_line(error, "share_forgotten is ")


def test_layouts_do_not_matter():
    torch.manual_seed(0)
    full, forget = torch.rand(4, 3, 2, 2), torch.rand(4, 3, 2, 2)
    wanted = list(ssd.sorted_ratios({"a": full}, {"a": forget}))
    last = full.to(memory_format=torch.channels_last)
    assert list(ssd.sorted_ratios({"a": last}, {"a": forget})) == wanted
