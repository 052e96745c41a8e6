"""Memorisation: which training images does a network get right only because it learned them?

    memorisation(i) = P(right | i was learned) - P(right | i was not learned)

Both shares are over networks that learned different parts of the data. Images of high memorisation
are the test of unlearning a random set. Those of low memorisation ask for no change: a negative
control. Source: Feldman and Zhang, arXiv:2008.03703; for unlearning arXiv:2406.01257.
"""

import torch
from torch import Tensor


def memorisation(right: Tensor, learned: Tensor, seen: Tensor | None = None) -> Tensor:
    """The memorisation [M] of each image, from -1 to 1.

    right [n, M] bool: which network gives the image its label. learned [n, M] bool: which network
    learned it. seen [n, M] bool: of which image a network's answer is known; None: of all. NaN for
    an image that all of these networks have learned, or none.
    """
    if seen is None:
        seen = torch.ones_like(right)
    by_learned = _share(right, learned & seen)
    by_others = _share(right, ~learned & seen)
    return by_learned - by_others


def _share(right, among):
    """The share [M] of right answers among the chosen networks, both [n, M] bool."""
    return (right & among).double().sum(0) / among.double().sum(0)


def of_outputs(networks: list[dict[str, Tensor]], count: int) -> Tensor:
    """The memorisation [count] of all training images, by their positions in the training set.

    networks: the outputs of retrain runs, each of which forgot another random part.
    """
    shape = (len(networks), count)
    right, learned, seen = (torch.zeros(shape, dtype=torch.bool) for _ in range(3))
    for network, tensors in enumerate(networks):
        for part in ("forget", "retain"):
            places = tensors[f"{part}_positions"]
            answers = tensors[f"{part}_logits"].argmax(1)
            right[network, places] = answers == tensors[f"{part}_labels"]
            learned[network, places] = part == "retain"
            seen[network, places] = True
    return memorisation(right, learned, seen)
