"""Membership within the class: are forgotten images surer than test images of the same classes?

The attack has one network. Its score is the margin; members are the forgotten images, non-members
the test images of the same classes. The classes must be the same: a network is less sure of a class
that it has not learned, and across classes a retrain looked leakier than the original
(docs/audit.md).

AUC 0.5: nobody can tell, where training and test images are drawn alike. They need not be, and then
retrain's AUC is not 0.5 either. So retrain's value is the goal, on either side. The advantage
2 |AUC - 0.5| has no direction: it also shows networks that have forgotten too much, whose forgotten
images are *less* sure than test images.
"""

import torch

from audits._audit import Audit, Column
from audits.networks import Networks
from audits.separation import auc, tpr_at_fpr


def measure(candidate: Networks, retrained: Networks, original: Networks) -> dict:
    """{column: value}, the mean over networks."""
    members = candidate.margins["forget"]  # [n, M]
    non_members = candidate.margins["same_classes"]
    aucs = auc(members.T, non_members.T)  # [n]
    values = {"AUC": float(aucs.mean()), "advantage": float((2 * aucs - 1).abs().mean())}
    values["entropy attack (MIA)"] = candidate.mean_score("MIA") / 100
    pairs = zip(members, non_members, strict=True)
    rates = [tpr_at_fpr(of_network, others) for of_network, others in pairs]
    if None not in rates:
        values["TPR at 1 % FPR"] = float(torch.tensor(rates).mean())
    return values


AUDIT = Audit(
    title="Membership within the class",
    question="Is a forgotten image surer than a test image of its class?",
    measure=measure,
    columns={
        "AUC": Column("near"),
        "advantage": Column("near"),
        "TPR at 1 % FPR": Column("near"),
        "entropy attack (MIA)": Column("near"),
    },
    least=1,
)
