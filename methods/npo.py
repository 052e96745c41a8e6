"""NPO: gradient ascent that fades where an image is already forgotten.

Zhang, Lin, Bai, Mei: Negative Preference Optimization: From Catastrophic Collapse to Effective
Unlearning. COLM 2024, arXiv:2404.05868. For classifiers as in REM's benchmark (arXiv:2505.17730).

    minimise -(2/b) log sigmoid( b (z - z_ref) )        z: cross-entropy of an image of D_f
                                                        z_ref: the original network's

The weight of an image's gradient is 2 sigmoid(-b (z - z_ref)): 1 at the start, as in plain ascent,
and less the more the image is forgotten. It ends once at most the share `threshold` of D_f is
recognised. Defaults: those of REM's benchmark for ResNet9 on CIFAR-10, as its public
reimplementation has them.

Differs 1: Images are not augmented, neither in the passes nor where the stop is decided.
Differs 2: z_ref is computed once, in eval mode. There it is computed in train mode, batch by batch.
Differs 3: The first state below the threshold is delivered. There, it is the best of several states
by a score on training images.
"""

import torch.nn.functional as F
from torch import Tensor, nn

import metrics
from learning.training import SGD
from methods import _ascent
from methods._method import Method
from splits import Split


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    batch_size: int,
    lr: float = 0.005,
    threshold: float = 0.2,
    passes: int = 10,
    beta: float = 1.0,
    notes: dict | None = None,
) -> nn.Module:
    """Train in place.

    threshold: a share of D_f. passes: over D_f, at most; at least one. beta: b.
    """
    reference = losses(metrics.logits_of(model.eval(), split.forget), split.forget.labels)

    def loss(model, x, y, index):
        z = losses(model(x), y)
        return removal(z, reference[index.to(reference.device)], beta).mean()

    return _ascent.climb(
        model,
        split,
        loss,
        batch_size=batch_size,
        lr=lr,
        threshold=threshold,
        passes=passes,
        notes=notes,
        title="NPO",
    )


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of each image, nats, [N]. logits [N, C], labels [N]."""
    return F.cross_entropy(logits, labels.to(logits.device), reduction="none")


def removal(z: Tensor, reference: Tensor, beta: float) -> Tensor:
    """NPO's loss of each image, [N], from its cross-entropies now and in the original network."""
    return -2 / beta * F.logsigmoid(beta * (z - reference))


METHOD = Method(
    unlearn,
    family="other",
    optimizer=SGD,
    ranges={"lr": (1e-4, 5e-2), "passes": (1, 30), "beta": (0.05, 2)},
    check=_ascent.check,
)
