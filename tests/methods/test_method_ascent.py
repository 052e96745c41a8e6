"""Gradient ascent: a plain loop, and when it stops."""

from dataclasses import replace

import pytest
import torch
from helpers import all_of, assert_same, net, small_split, tiny_resnet, twin
from torch.nn import functional as F

from common.errors import UserError
from methods import _ascent, ascent


@pytest.mark.filterwarnings("ignore:ascent")
def test_a_pass_is_the_plain_loop():
    split = small_split("full_class")
    model = net(dropout=0.0)
    plain = twin(model).train()
    torch.manual_seed(3)
    ascent.unlearn(model, split, batch_size=16, lr=0.1, passes=1)
    torch.manual_seed(3)
    optimizer = torch.optim.SGD(plain.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    x, y = all_of(split.forget, plain)
    for some in torch.randperm(len(x)).split(16):
        optimizer.zero_grad()
        (-F.cross_entropy(plain(x[some]), y[some])).backward()
        optimizer.step()
    assert_same(model, plain)


@pytest.mark.parametrize(
    ("shares", "passes"),
    [((0.55, 0.21, 0.20), 3), ((0.2,), 1), ((0.9, 0.1), 2)],
)
def test_it_stops_at_the_threshold(monkeypatch, shares, passes):
    """0.21 goes on, 0.20 stops."""
    remaining = list(shares)
    monkeypatch.setattr(_ascent, "share_known", lambda model, split: remaining.pop(0))
    notes = {}
    ascent.unlearn(net(), small_split("full_class"), batch_size=16, notes=notes)
    assert notes == {"forget_passes": passes}
    assert remaining == []


def test_it_warns_where_it_never_gets_there(monkeypatch):
    monkeypatch.setattr(_ascent, "share_known", lambda model, split: 0.9)
    notes = {}
    with pytest.warns(UserWarning, match="after 3 passes the network still gives"):
        ascent.unlearn(
            net(), small_split("full_class"), batch_size=16, lr=0.0, passes=3, notes=notes
        )
    assert notes == {"forget_passes": 3}


def test_what_is_known_is_counted_in_eval_mode_by_the_labels_that_were_taught():
    split = small_split("full_class")
    model = tiny_resnet().eval()
    x, y = all_of(split.forget, model)
    with torch.no_grad():
        expected = (model(x).argmax(1) == y).double().mean().item()
    assert _ascent.share_known(model, split) == pytest.approx(expected)


@pytest.mark.parametrize("right", [7, 20, 29])
def test_a_share_that_equals_the_threshold_is_no_more_than_it(right, monkeypatch):
    split = small_split("full_class")
    images = split.retain.take(torch.arange(100))
    answers = images.labels.clone()
    answers[right:] = (answers[right:] + 1) % 10
    logits = F.one_hot(answers, 10).float()
    monkeypatch.setattr(_ascent.metrics, "logits_of", lambda model, images: logits)
    assert _ascent.share_known(net(), replace(split, forget=images)) <= right / 100


def test_a_forget_set_of_one_image_is_refused_where_batchnorm_is_trained():
    split = small_split("full_class")
    one = replace(split, forget=split.forget.take(torch.tensor([0])))
    with pytest.raises(UserError, match="one image"):
        ascent.unlearn(tiny_resnet(), one, batch_size=16)
