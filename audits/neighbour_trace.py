"""The neighbour trace: do forgotten images fall to the same other classes as with retrain?

For each forgotten image the probabilities of the classes other than its own, brought to a sum of 1
and averaged over the networks. The divergence (Jensen and Shannon's, in nats) to those of retrained
networks is averaged over the images. 0: the same; ln 2: nothing in common. Its null is above 0,
since the mean of a few networks varies. Also known as CMIA.
"""

import torch
from torch import Tensor

from audits._audit import Audit, Column
from audits.networks import Networks


def over_other_classes(logits: Tensor, labels: Tensor) -> Tensor:
    """The probabilities [M, C] of the classes other than the label, the mean over n networks.

    logits [n, M, C]; labels [M]. Where the label stands the probability is 0.
    """
    columns = labels.expand(logits.shape[:-1]).unsqueeze(-1)
    others = logits.double().scatter(-1, columns, -torch.inf)
    return others.softmax(-1).mean(0)


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """The Jensen-Shannon divergence in nats of distributions [M, C], for each row; [M]."""
    middle = (p + q) / 2
    to_middle = torch.special.xlogy(p, p) - torch.special.xlogy(p, middle)
    from_middle = torch.special.xlogy(q, q) - torch.special.xlogy(q, middle)
    return (to_middle + from_middle).sum(-1) / 2


def measure(candidate: Networks, retrained: Networks, original: Networks) -> dict:
    """{column: value}, the mean over the forgotten images."""
    labels = candidate.labels["forget"]
    p = over_other_classes(candidate.logits["forget"], labels)
    q = over_other_classes(retrained.logits["forget"], labels)
    return {"divergence": float(jensen_shannon(p, q).mean())}


AUDIT = Audit(
    title="Neighbour trace",
    question="Do forgotten images fall to the same other classes as with retrain?",
    measure=measure,
    columns={"divergence": Column("low")},
    least=1,
)
