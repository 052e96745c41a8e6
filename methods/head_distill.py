"""Head distillation: only the last layer learns to hide what all others still know.

    minimise CE( softmax of the original's logits, softmax of the new head's )    over D

On D_f the original's logits of each image's own label are masked before the softmax. The features
are frozen: nothing is forgotten. It is no method to use but a negative control: it passes
accuracies and the entropy attack, and a score that it passes does not see what the features hold
(docs/audit.md). Source of the idea: arXiv:2604.08271. Defaults: ours.
"""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from learning.features import before_head, head_of
from learning.images import ImageSet, batches
from learning.training import ADAM, adam, fit
from methods._method import Method
from splits import Split


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    batch_size: int = 256,
    epochs: int = 20,
    lr: float = 1e-2,
) -> nn.Module:
    """Train the head on features that are computed once, in place. Nothing else changes."""
    head = head_of(model)
    parts, targets = [], []
    for images, is_forgotten in ((split.retain, False), (split.forget, True)):
        features = before_head(model, batches(images, model, batch_size)).float()
        parts.append(features)
        targets.append(_targets(head, features, images, is_forgotten))
    count = len(split.retain) + len(split.forget)
    rows = TensorDataset(torch.cat(parts), torch.cat(targets), torch.arange(count))
    data = DataLoader(rows, batch_size, shuffle=True)
    fit(head, data, adam(head, lr), epochs, loss=_soft_cross_entropy, title="head distillation")
    return model.eval()


@torch.no_grad()
def _targets(head, features: Tensor, images: ImageSet, is_forgotten: bool) -> Tensor:
    """The probabilities [N, C] that the new head is to give; 0 for the label of D_f's images."""
    logits = head(features)
    if is_forgotten:
        logits = logits.scatter(1, images.labels[:, None], -torch.inf)
    return logits.softmax(1)


def _soft_cross_entropy(head: nn.Module, features: Tensor, targets: Tensor, index: Tensor):
    return nn.functional.cross_entropy(head(features), targets)


METHOD = Method(
    unlearn,
    family="control",
    optimizer=ADAM,
)
