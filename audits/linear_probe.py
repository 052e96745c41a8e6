"""Linear probe: is the forgotten class still in the features? (probes/linear.py)"""

from audits._audit import Audit, Column
from audits.networks import Networks


def measure(candidate: Networks, retrained: Networks, original: Networks) -> dict:
    """{column: value}, percent, the mean over networks."""
    if not candidate.have_probe("linear"):
        return {}
    return {
        "D_f %": candidate.mean_probe("linear", "forget"),
        "D_r %": candidate.mean_probe("linear", "retain"),
    }


AUDIT = Audit(
    title="Linear probe",
    question="How well does a new head recognise the forgotten class?",
    measure=measure,
    columns={"D_f %": Column("near"), "D_r %": Column("near")},
    needs="probes",
)
