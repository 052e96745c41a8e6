"""A value, its null and its interval, all from halves of the networks.

The training seeds are parted at random into two halves, 100 times. Each time an audit is measured
three times, with as many networks each:

    value      the method's networks of the first half    against the retrained ones of the second
    floor      the retrained networks of the first half   against the retrained ones of the second
    ceiling    the originals of the first half            against the retrained ones of the second

So a value is compared with what a true retrain gets with as many networks. The value is the mean
over the halvings. Its interval is the middle 95 % of them: the spread over random halves estimates
the standard deviation over networks (Efron's half-sampling; a jackknife that leaves out half).
"""

from dataclasses import dataclass

import torch

from audits._audit import Audit
from audits.networks import Networks

HALVINGS = 100
COVERAGE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its interval. Both ends are the number itself where there is one network."""

    mean: float
    low: float
    high: float


def halvings(count: int) -> list[tuple[list[int], list[int]]]:
    """Pairs of equal halves of `count` networks, by their places; the same ones at every call.

    Of an odd number one network is left out, another one each time. A single network is both its
    halves: only audits that need no second network take that.
    """
    if count == 1:
        return [([0], [0])]
    generator = torch.Generator().manual_seed(0)
    half = count // 2
    pairs = []
    for _ in range(HALVINGS):
        order = torch.randperm(count, generator=generator).tolist()
        pairs.append((order[:half], order[half : 2 * half]))
    return pairs


def measured(
    audit: Audit, candidate: Networks, retrained: Networks, original: Networks
) -> dict[str, Estimate]:
    """{column: Estimate} of an audit.

    The networks at one place of the three have the same training seed. For the floor the candidate
    is `retrained`, for the ceiling `original`.
    """
    values: dict[str, list[float]] = {}
    for first, second in halvings(len(candidate)):
        result = audit.measure(candidate.take(first), retrained.take(second), original.take(first))
        for column, value in result.items():
            values.setdefault(column, []).append(value)
    return {column: _estimate(of_column) for column, of_column in values.items()}


def of_images(audit: Audit, candidate: Networks, retrained: Networks) -> torch.Tensor:
    """The audit's number of each forgotten image [M], the mean over the halvings, ascending."""
    assert audit.of_images is not None
    numbers = []
    for first, second in halvings(len(candidate)):
        numbers.append(audit.of_images(candidate.take(first), retrained.take(second)))
    return torch.stack(numbers).mean(0).sort().values


def _estimate(values):
    values = torch.tensor(values, dtype=torch.float64)
    tail = (1 - COVERAGE) / 2
    low, high = values.quantile(tail), values.quantile(1 - tail)
    return Estimate(float(values.mean()), float(low), float(high))
