"""A network with two inputs, the upper and the lower half of an image, forgets the digit 4.

    python examples/two_inputs.py

Expected, after 8 seconds on one core:

    accuracy on test images        kept  forgotten
    trained                      97.3 %     97.8 %
    after SSD                    97.8 %      2.2 %
    retrained without it         98.3 %      0.0 %
"""

import digits
import torch
from torch import nn
from torch.nn import functional as F

import ssd

FORGOTTEN = 4


class TwoHalves(nn.Module):
    def __init__(self):
        super().__init__()
        self.upper = digits.small_network(pixels=32, outputs=64)
        self.lower = digits.small_network(pixels=32, outputs=64)
        self.head = nn.Linear(128, 10)

    def forward(self, upper, lower):
        return self.head(torch.cat([self.upper(upper), self.lower(lower)], 1).relu())


def loss(model, batch):
    upper, lower, y = batch
    return F.cross_entropy(model(upper, lower), y)


def main():
    # 1. A network has learned ten classes.
    x, y, test_x, test_y = digits.load(size=8)
    images = (x[:, :, :4], x[:, :, 4:], y)
    test_halves = (test_x[:, :, :4], test_x[:, :, 4:])
    model = digits.trained(TwoHalves, *images, loss=loss)
    print(f"{'accuracy on test images':<24}{'kept':>10}{'forgotten':>11}")
    digits.print_accuracies("trained", model(*test_halves), test_y, FORGOTTEN)

    # 2. It forgets one of them.
    forget, full, kept = digits.divided(images, y == FORGOTTEN)
    ssd.unlearn(model, forget, full, alpha=4, lam=1, loss=loss)
    digits.print_accuracies("after SSD", model(*test_halves), test_y, FORGOTTEN)

    # 3. The goal is a network that never saw this class.
    goal = digits.trained(TwoHalves, *kept, loss=loss)
    digits.print_accuracies("retrained without it", goal(*test_halves), test_y, FORGOTTEN)


if __name__ == "__main__":
    main()
