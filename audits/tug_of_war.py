"""Tug of war: the product of 1 - |difference to retrain| over three accuracies.

    ToW = (1 - |dA_f|) (1 - |dA_r|) (1 - |dA_test|)

1: as retrain. RUM's form takes the training accuracies of D_f and D_r and the test accuracy (Zhao
et al., arXiv:2406.01257). Ours takes the test scores of a record: D_f, D_r and the test accuracy.
They differ where a class is forgotten: RUM's D_f is training images, ours is test images.
"""

from audits._audit import Audit, Column
from audits.networks import Networks

OURS = ("Df", "RetainTestAcc", "TestAcc")  # scores of a record, percent
RUMS = ("forget", "retain", "test")  # parts of the outputs


def tug_of_war(differences: list[float]) -> float:
    """The product of 1 - |difference|. Differences of shares, from -1 to 1."""
    product = 1.0
    for difference in differences:
        product *= 1 - abs(difference)
    return product


def measure(candidate: Networks, retrained: Networks, original: Networks) -> dict:
    """{column: value}: each network against one retrained network, then the mean."""
    ours, rums = [], []
    for network, goal in zip(candidate.records, retrained.records, strict=True):
        gaps = [network["scores"][name] - goal["scores"][name] for name in OURS]
        ours.append(tug_of_war([gap / 100 for gap in gaps]))
        accuracies = network["outputs"]["accuracy"]
        goals = goal["outputs"]["accuracy"]
        gaps = [accuracies[part] - goals[part] for part in RUMS]
        rums.append(tug_of_war([gap / 100 for gap in gaps]))
    return {"on test scores": sum(ours) / len(ours), "RUM's": sum(rums) / len(rums)}


AUDIT = Audit(
    title="Tug of war",
    question="How close are three accuracies to retrain's?",
    measure=measure,
    columns={"on test scores": Column("high"), "RUM's": Column("high")},
    least=1,
)
