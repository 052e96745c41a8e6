"""Fisher forgetting: the naive loop over images and labels, and its variances by hand."""

import pytest
import torch
from helpers import NETWORKS, all_of, tiny_resnet, tiny_split, twin

import ssd
from learning.images import batches
from methods import fisher


def naive_fisher(model, images):
    """{name: F}: an image at a time, a backward pass a label, weighted by its probability."""
    names = [name for name, _ in model.named_parameters()]
    total = [torch.zeros_like(p) for p in model.eval().parameters()]
    x, _ = all_of(images, model)
    for image in x:
        for label in range(3):
            log_p = model(image[None]).log_softmax(1)[0]
            gradients = torch.autograd.grad(-log_p[label], list(model.parameters()))
            for value, gradient in zip(total, gradients, strict=True):
                value += log_p[label].detach().exp() * gradient**2
    return {name: value / len(images) for name, value in zip(names, total, strict=True)}


@pytest.mark.parametrize("network", NETWORKS)
def test_it_draws_by_the_naive_loops_fisher(network):
    torch.manual_seed(0)
    split, model = tiny_split("sub_class"), NETWORKS[network](3)
    before = twin(model)
    information = naive_fisher(twin(model), split.retain)
    torch.manual_seed(3)
    result = fisher.unlearn(model, split, batch_size=7)
    torch.manual_seed(3)
    for (name, p), new in zip(before.named_parameters(), result.parameters(), strict=True):
        mean, var = fisher.normal(p.detach(), information[name], 3, None, 1e-6)
        change = var.sqrt() * torch.randn(p.shape)
        assert (new - mean - change).norm() <= 1e-4 * change.norm(), name


@pytest.mark.parametrize("network", NETWORKS)
def test_true_fisher_is_the_naive_loop(network):
    torch.manual_seed(0)
    split, model = tiny_split("sub_class"), NETWORKS[network](3)
    information = naive_fisher(twin(model), split.retain)
    data = batches(split.retain, model, 7)
    result = ssd.importance(model, data, measure="true_fisher", per_sample=True)
    for name, value in information.items():
        assert (result[name] - value).norm() <= 1e-4 * value.norm() + 1e-12, name


# Three classes, two inputs: the last layer. Below it 1 / F, at most 1e2, and its rows' means.
LAST_LAYER = torch.tensor([[1e3, 1.0], [0.0, 1e-2], [4.0, 4.0]])
INVERSE = [[1e-3, 1.0], [100, 100], [0.25, 0.25]]
ROWS = [1e-6 * sum(row) / 2 for row in INVERSE]


def test_variance_of_the_last_layer_where_a_class_goes():
    """Its row gets mean 0 and variance 1e-4; at the end all is ten times as much."""
    mean, var = fisher.normal(torch.ones(3, 2), LAST_LAYER, 3, 1, 1e-6)
    assert mean.tolist() == [[1, 1], [0, 0], [1, 1]]
    for row, value in zip(var.tolist(), (ROWS[0], 1e-4, ROWS[2]), strict=True):
        assert row == pytest.approx([10 * value, 10 * value])


def test_variance_of_the_last_layer_where_no_class_goes():
    """Sub-class and random: no row goes, no factor."""
    mean, var = fisher.normal(torch.ones(3, 2), LAST_LAYER, 3, None, 1e-6)
    assert mean.eq(1).all()
    for row, value in zip(var.tolist(), ROWS, strict=True):
        assert row == pytest.approx([value, value])


def test_variance_of_a_vector_of_another_length():
    _, var = fisher.normal(torch.ones(2), torch.tensor([0.0, 4.0]), 3, 1, 1e-6)
    assert var.tolist() == pytest.approx([10 * 1e-6 * 1e3, 10 * 1e-6 * 0.25])


def test_variance_of_the_last_layers_bias():
    """It is a vector and per class: ten times once."""
    mean, var = fisher.normal(torch.ones(3), torch.zeros(3), 3, 1, 1e-6)
    assert mean.tolist() == [1, 0, 1]
    assert var.tolist() == pytest.approx([1e-3, 1e-3, 1e-3])


def test_it_draws_around_the_old_weights():
    torch.manual_seed(0)
    split, model = tiny_split("random"), tiny_resnet()
    before = twin(model)
    result = fisher.unlearn(model, split)
    data = batches(split.retain, before, 32)
    information = ssd.importance(before, data, measure="true_fisher", per_sample=True)
    for (name, p), new in zip(before.named_parameters(), result.parameters(), strict=True):
        mean, var = fisher.normal(p.detach(), information[name], 10, None, 1e-6)
        z = (new.detach() - mean) / var.sqrt()
        if z.numel() > 500:
            assert abs(float(z.mean())) < 5 / z.numel() ** 0.5
            assert abs(float(z.std()) - 1) < 0.1
