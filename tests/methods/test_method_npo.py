"""NPO: its loss by hand, and a plain loop."""

import pytest
import torch
from helpers import all_of, assert_same, net, small_split, tiny_split, twin
from torch.nn import functional as F

from common.errors import UserError
from methods import npo


def test_the_loss_of_worked_numbers():
    """z 1.0 against 0.1: 0.682308, and d/dz -0.5781; at the reference 2 ln 2 and -1."""
    z = torch.tensor([1.0, 0.3], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.1, 0.3], dtype=torch.float64)
    values = npo.removal(z, reference, 1.0)
    assert values.tolist() == pytest.approx([0.682308, 1.386294], abs=1e-6)
    (slope,) = torch.autograd.grad(values.sum(), z)
    assert (slope / 3).tolist() == pytest.approx([-0.192700, -1 / 3], abs=1e-6)


@pytest.mark.parametrize(
    ("nats", "weight"), [(3, 0.094852), (1, 0.537883), (-1, 1.462117), (-3, 1.905148)]
)
def test_the_weight_of_an_image_fades_as_it_is_forgotten(nats, weight):
    z = torch.tensor([2.0 + nats], dtype=torch.float64, requires_grad=True)
    value = npo.removal(z, torch.tensor([2.0], dtype=torch.float64), 1.0)
    (slope,) = torch.autograd.grad(value.sum(), z)
    assert -slope.item() == pytest.approx(weight, abs=1e-6)


@pytest.mark.parametrize(("split", "size"), [(tiny_split(), 999), (small_split("full_class"), 16)])
@pytest.mark.filterwarnings("ignore:NPO")
def test_it_is_the_plain_loop(split, size):
    model = net(dropout=0.0)
    plain = twin(model)
    x, y = all_of(split.forget, model)
    with torch.no_grad():
        reference = F.cross_entropy(plain.eval()(x), y, reduction="none")
    torch.manual_seed(3)
    notes = {}
    npo.unlearn(
        model, split, batch_size=size, lr=0.1, threshold=0.0, passes=2, beta=0.5, notes=notes
    )
    torch.manual_seed(3)
    optimizer = torch.optim.SGD(plain.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    done = 0
    for _ in range(2):
        plain.train()
        for some in torch.randperm(len(x)).split(size):
            if len(some) > 1:
                z = F.cross_entropy(plain(x[some]), y[some], reduction="none")
                likelier = torch.sigmoid(0.5 * (z - reference[some]))
                optimizer.zero_grad()
                (-2 / 0.5 * likelier.log()).mean().backward()
                optimizer.step()
        done += 1
        with torch.no_grad():
            if not (plain.eval()(x).argmax(1) == y).any():
                break
    assert_same(model, plain)
    assert notes == {"forget_passes": done}


def test_a_threshold_above_1_is_refused():
    with pytest.raises(UserError, match="a share of D_f"):
        npo.METHOD.check(net(), small_split("full_class"), batch_size=16, threshold=20)
