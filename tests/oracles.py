"""What ssd.py and per_sample_gradients.py are held against: slow loops, and networks for them.

Needs only torch.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn


def naive_importance(model, batches, measure="fisher", *, per_sample=True, dtype=torch.float32):
    """What ssd.importance should return: one backward pass for each gradient, sizes averaged.

    dtype: in which it is computed, by a copy of the model where the model is of another.
    """
    if any(p.dtype != dtype for p in model.parameters()):
        model = copy.deepcopy(model).to(dtype)
    model.eval()
    parameters = dict(model.named_parameters())
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    count = 0
    for x, y in batches:
        size = 1 if per_sample else len(x)
        for part_x, part_y in zip(x.split(size), y.split(size), strict=True):
            count += 1
            for loss in naive_losses(model(part_x.to(dtype)), part_y, measure):
                options = {"allow_unused": True, "retain_graph": True, "materialize_grads": True}
                gradients = torch.autograd.grad(loss, list(parameters.values()), **options)
                for value, g in zip(total.values(), gradients, strict=True):
                    value += g.abs() if measure in ("norm", "xlf") else g.square()
    return {name: value / count for name, value in total.items()}


def naive_losses(logits, y, measure):
    """The losses of a batch whose gradients are taken one by one.

    true_fisher: every label's, times the square root of its probability.
    """
    if measure == "fisher":
        return [F.cross_entropy(logits, y)]
    if measure == "norm":
        return [logits.square().sum(1).mean()]
    if measure == "xlf":
        return [logits.square().sum(1).sqrt().mean()]
    log_p = F.log_softmax(logits, 1)[0]
    return [-log_p[label] * log_p[label].detach().div(2).exp() for label in range(len(log_p))]


def assert_same(importances, wanted, tolerance=1e-4):
    """Each tensor within `tolerance` of the wanted one, relative to its norm."""
    assert importances.keys() == wanted.keys()
    for name, value in wanted.items():
        error = (importances[name] - value).norm()
        assert error <= tolerance * value.norm() + 1e-12, name  # 1e-12: rounding of what is 0


def assert_close_on_scale(importances, wanted, tolerance, floor):
    """The same, where rounding error below `floor` of the whole network's norm does not count."""
    scale = torch.cat([value.flatten() for value in wanted.values()]).norm()
    for name, value in wanted.items():
        error = (importances[name] - value).norm()
        assert error <= tolerance * (value.norm() + floor * scale), name


# ---- networks ----


class Odd(nn.Module):
    """Convolutions with groups, strides and dilation, in-place ReLU, LayerNorm over a sequence.

    And a layer that is not used.
    """

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=2, dilation=2)
        self.bn = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.grouped = nn.Conv2d(8, 12, (1, 3), groups=4, bias=False)
        self.norm = nn.LayerNorm(12)
        self.mix = nn.Linear(12, 6)
        self.head = nn.Linear(6, 5)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.grouped(self.relu(self.bn(self.conv(x))))
        x = self.norm(x.flatten(2).transpose(1, 2))
        return self.head(torch.tanh(self.mix(x)).mean(1))


def odd_batch(count=11):
    """(x, y) for Odd."""
    return torch.randn(count, 3, 9, 8), torch.randint(5, (count,))


def settled(model):
    """The model with running statistics that are not the initial ones: train mode differs."""
    for module in model.modules():
        is_batch_norm = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        if is_batch_norm and module.running_var is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def small_net():
    """Linear, convolution, both BatchNorms and LayerNorm: every rule. x: [B, 2, 4, 4]."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 8),
        nn.BatchNorm1d(8),
        nn.Tanh(),
        nn.LayerNorm(8),
        nn.Linear(8, 3),
    )


# ---- messages ----


def one_line(error, words):
    """The message of a refusal, which is one line and holds `words`."""
    message = str(error.value)
    assert "\n" not in message
    assert words in message, message
    return message
