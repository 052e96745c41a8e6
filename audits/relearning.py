"""Relearning: does D_f come back sooner than to a network that never learned it?

The area between the curve of probes/relearning.py and retrain's, as a share of the area between the
original's curve and retrain's. 0: as retrain; 1: as if nothing had been forgotten. The steps are
powers of two, and the area is that over their logarithm: the mean over the entries.
"""

from audits._audit import Audit, Column
from audits.networks import Networks

LEAST_GAP = 5.0  # points between the originals' mean accuracy and retrain's, to divide by


def share_of_gap(candidate: float, retrained: float, original: float) -> float | None:
    """Where a mean accuracy lies between retrain's (0) and the original's (1), percent.

    None where the two are nearly the same: then there is nothing to relearn.
    """
    gap = original - retrained
    if abs(gap) < LEAST_GAP:
        return None
    return (candidate - retrained) / gap


def measure(candidate: Networks, retrained: Networks, original: Networks) -> dict:
    """{column: value} from the mean curves of the networks."""
    values = {}
    for name, data in (("by ten images of D_f", "forget"), ("by D_r only", "retain")):
        kinds = (candidate, retrained, original)
        if not all(networks.have_probe("relearning") for networks in kinds):
            return {}
        areas = [networks.mean_curve("relearning", data) for networks in kinds]
        share = share_of_gap(*areas)
        if share is not None:
            values[name] = share
    return values


AUDIT = Audit(
    title="Relearning",
    question="How much sooner does D_f come back than to a retrained network?",
    measure=measure,
    columns={"by ten images of D_f": Column("low"), "by D_r only": Column("low")},
    needs="probes",
)
