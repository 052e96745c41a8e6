"""KLoM: how far the margins of unlearned networks are from those of retrained ones, image by image.

    KL(P_unlearned || P_retrained) of phi, from histograms of 20 bins

Source: Georgiev et al., "Attribute-to-Delete", arXiv:2410.23232. Its null depends strongly on the
number of networks: 5.5 at 10 a side, 0.33 at 100. So values compare at equal numbers only.

Differs 1: The largest value counts, in the last bin. Public code drops it.
Differs 2: The floored shares are not brought back to a sum of 1.
"""

import torch
from torch import Tensor

from audits._audit import Audit, Column
from audits.networks import PARTS, Networks

BINS = 20
LARGEST = 100.0  # margins are clipped to +- this
LEAST_SHARE = 1e-5  # of the retrained networks in a bin


def klom(unlearned: Tensor, retrained: Tensor) -> Tensor:
    """KL(unlearned || retrained) in nats of each image's margins, [M].

    unlearned [n, M], retrained [n', M]: margins. The bins are of equal width, over the range of
    both together. A share of retrained networks is at least 1e-5.
    """
    unlearned = unlearned.clamp(-LARGEST, LARGEST)
    retrained = retrained.clamp(-LARGEST, LARGEST)
    both = torch.cat([unlearned, retrained])
    lowest, highest = both.min(0).values, both.max(0).values
    p = _shares(unlearned, lowest, highest)
    q = _shares(retrained, lowest, highest).clamp(min=LEAST_SHARE)
    divergence = p * (p / q).log()
    return torch.where(p > 0, divergence, 0).sum(0)


def _shares(margins, lowest, highest):
    """The share of the margins [n, M] in each bin, [BINS, M]."""
    width = (highest - lowest).clamp(min=1e-300)  # where all are equal they share the first bin
    place = ((margins - lowest) / width * BINS).long()
    place = place.clamp(max=BINS - 1)  # the largest value belongs to the last bin
    counts = torch.zeros(BINS, margins.shape[1], dtype=torch.float64)
    counts.scatter_add_(0, place, torch.ones_like(margins))
    return counts / len(margins)


def measure(candidate: Networks, retrained: Networks, original: Networks) -> dict:
    """{column: value}: the median and the 95th percentile over the images of each part."""
    values = {}
    for part in PARTS:
        divergences = klom(candidate.margins[part], retrained.margins[part])
        values[f"{part} P50"] = float(divergences.quantile(0.5))
        values[f"{part} P95"] = float(divergences.quantile(0.95))
    return values


COLUMNS = {}
for _part in PARTS:
    COLUMNS[f"{_part} P50"] = Column("low")
    COLUMNS[f"{_part} P95"] = Column("low")

AUDIT = Audit(
    title="KLoM",
    question="How far are the margins from retrained networks' margins, in nats?",
    measure=measure,
    columns=COLUMNS,
    least=2,
)
