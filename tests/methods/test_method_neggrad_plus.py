"""NegGrad+ against a plain loop that goes round D_f."""

from dataclasses import replace

import pytest
import torch
from helpers import all_of, assert_same, net, small_split, tiny_resnet, tiny_split, twin
from torch.nn import functional as F

from common.errors import UserError
from methods import neggrad_plus


def shuffled(images, model, size):
    """Batches in a new order; a last one of one image is omitted."""
    x, y = all_of(images, model)
    for some in torch.randperm(len(x)).split(size):
        if len(some) > 1:
            yield x[some], y[some]


def round_and_round(images, model, size):
    while True:
        yield from shuffled(images, model, size)


@pytest.mark.parametrize(("split", "size"), [(tiny_split(), 999), (small_split("full_class"), 16)])
def test_it_is_the_plain_loop(split, size):
    """A batch of everything; many batches, of which D_f has fewer."""
    model = net(dropout=0.0)
    plain = twin(model).train()
    torch.manual_seed(3)
    options = {"batch_size": size, "epochs": 2, "lr": 0.1, "retain_weight": 0.9}
    neggrad_plus.unlearn(model, split, **options)
    torch.manual_seed(3)
    optimizer = torch.optim.SGD(plain.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    forget = round_and_round(split.forget, plain, size)
    for _ in range(2):
        for x, y in shuffled(split.retain, plain, size):
            forget_x, forget_y = next(forget)
            descent = F.cross_entropy(plain(x), y)
            ascent = F.cross_entropy(plain(forget_x), forget_y)
            optimizer.zero_grad()
            (0.9 * descent - 0.1 * ascent).backward()
            optimizer.step()
    assert_same(model, plain)


def test_a_forget_set_of_one_image_is_refused_where_batchnorm_is_trained():
    split = small_split("full_class")
    one = replace(split, forget=split.forget.take(torch.tensor([0])))
    with pytest.raises(UserError, match="one image"):
        neggrad_plus.unlearn(tiny_resnet(), one, batch_size=16)
    neggrad_plus.unlearn(net(), one, batch_size=16, epochs=1)  # a network without BatchNorm


def test_a_weight_above_1_is_refused():
    with pytest.raises(UserError, match="between 0 and 1"):
        neggrad_plus.unlearn(net(), small_split("full_class"), batch_size=16, retain_weight=1.5)
