"""What audit.py knows of an audit besides its code."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

BETTER = ("low", "high", "near")  # near: as near to retrain's as can be, on either side


@dataclass(frozen=True)
class Column:
    """One number of an audit."""

    better: str  # which values are better than others: one of BETTER

    def __post_init__(self):
        assert self.better in BETTER, self.better


@dataclass(frozen=True)
class Audit:
    """A score of unlearning that is measured on several networks.

    `measure(candidate, retrained, original) -> {column: value}` takes three Networks of equal size.
    The first are those that are judged, the second is what they should be like, the third are those
    that have forgotten nothing. No network of the first two has a training seed of the other. A
    column that cannot be measured with so many networks or images is missing.
    """

    title: str
    question: str  # that it answers, in one sentence
    measure: Callable[..., dict[str, float]]
    columns: dict[str, Column]
    least: int = 1  # networks a side that it needs
    needs: str = "logits"  # what the runs must have left: logits, features, probes
    # (candidate, retrained) -> [M]: a number for each forgotten image, for a figure
    of_images: Callable[..., Tensor] | None = None
