"""Feature similarity: are the features of D_f those of a retrained network?

Linear CKA of the features of each stage, averaged over the places of a map, with those of a
retrained network of another training seed. Two retrained networks are not at 1 either: that is the
null. CKA moves without the function moving (docs/audit.md), so it is read with a second measure.
Source: Kornblith et al., "Similarity of neural network representations revisited", ICML 2019.
"""

from torch import Tensor

from audits._audit import Audit, Column
from audits.networks import Networks


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear CKA of features [M, D] and [M, D'] of the same images, from 0 to 1.

    ||Y'X||^2 / (||X'X|| ||Y'Y||) of centred features, in Frobenius norms. 0 where one is constant.
    """
    x, y = x.double(), y.double()
    x, y = x - x.mean(0), y - y.mean(0)
    scale = float((x.T @ x).norm() * (y.T @ y).norm())
    if scale == 0:
        return 0.0
    return float((y.T @ x).norm() ** 2) / scale


def measure(candidate: Networks, retrained: Networks, original: Networks) -> dict:
    """{column: value}: each network against one retrained network, then the mean."""
    alike: dict[str, list[float]] = {}
    for features, goals in zip(candidate.features, retrained.features, strict=True):
        for stage, of_stage in features.items():
            alike.setdefault(f"stage {stage}", []).append(linear_cka(of_stage, goals[stage]))
    return {stage: sum(values) / len(values) for stage, values in alike.items()}


AUDIT = Audit(
    title="Feature similarity (CKA)",
    question="Are the features of the forgotten images those of a retrained network?",
    measure=measure,
    columns={f"stage {number}": Column("high") for number in (4, 3, 2, 1)},
    least=2,
    needs="features",
)
