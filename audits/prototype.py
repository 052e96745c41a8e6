"""Prototype attack: do five images of the class mend the head? (probes/prototype.py)"""

from audits._audit import Audit, Column
from audits.networks import Networks


def measure(candidate: Networks, retrained: Networks, original: Networks) -> dict:
    """{column: value}, percent, the mean over networks."""
    if not candidate.have_probe("prototype"):
        return {}
    return {
        "D_f %": candidate.mean_probe("prototype", "forget"),
        "D_f % before": candidate.mean_probe("prototype", "forget_before"),
        "D_r %": candidate.mean_probe("prototype", "retain"),
    }


AUDIT = Audit(
    title="Prototype attack",
    question="How much of the forgotten class do five of its images bring back?",
    measure=measure,
    columns={"D_f %": Column("near"), "D_f % before": Column("near"), "D_r %": Column("near")},
    needs="probes",
)
