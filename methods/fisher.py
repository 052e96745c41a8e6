"""Fisher forgetting.

Golatkar, Achille, Soatto: Eternal Sunshine of the Spotless Net. CVPR 2020, arXiv:1911.04933.

    F      = mean over D_r of sum over labels c of p(c|x) ( d/dtheta CE(f(x), c) )^2
    var    = scale * min( 1 / (F + 1e-8), bound )
    theta  ~ N(theta, var)

Gradients are each sample's own. Defaults and the following steps: the released SSD scripts'. A
tensor is "per class" here if its first axis has as many entries as there are classes.

1. bound is 1e3, for tensors per class 1e2.
2. The var of a matrix is averaged over its second axis.
3. Where a whole class is forgotten, its row of the tensors per class gets mean 0 and var 1e-4.
4. Last, var is multiplied by 10 for vectors, and where a whole class is forgotten for the tensors
   per class.

Differs 1: The variance goes with 1/F, as in the released scripts; in the paper it goes with
F^(-1/2).
"""

import torch
from torch import Tensor, nn

import ssd
from learning.images import batches
from methods._method import Method
from splits import Split


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    scale: float = 1e-6,
    batch_size: int = 32,
) -> nn.Module:
    """Add noise where the retained data do not mind, in place.

    batch_size changes only the speed.
    """
    data = batches(split.retain, model, batch_size, title="Fisher")
    fisher = ssd.importance(model, data, measure="true_fisher", per_sample=True)
    forgotten = split.forget_class if split.forgets_whole_class else None
    with torch.no_grad():
        for name, p in model.named_parameters():
            mean, var = normal(p, fisher[name], split.num_classes, forgotten, scale)
            # Drawn in the order of p's indices, however p lies in memory.
            noise = torch.randn(p.shape, device=p.device)
            p.copy_(mean + var.sqrt() * noise)
    return model.eval()


def normal(
    p: Tensor, fisher: Tensor, num_classes: int, forgotten: int | None, scale: float
) -> tuple[Tensor, Tensor]:
    """(mean, variance) of the new values of a parameter tensor, both of its shape.

    forgotten: the label of a class that is forgotten as a whole, else None.
    """
    is_per_class = p.shape[0] == num_classes
    loses_row = is_per_class and forgotten is not None
    bound = 1e2 if is_per_class else 1e3
    mean = p.clone()
    var = scale * (1 / (fisher + 1e-8)).clamp(max=bound)
    if p.ndim > 1:
        var = var.mean(1, keepdim=True).expand_as(p).clone()
    if loses_row:
        mean[forgotten] = 0
        var[forgotten] = 1e-4
    if p.ndim == 1 or loses_row:
        var = 10 * var
    return mean, var


METHOD = Method(
    unlearn,
    family="other",
    too_slow_on=("ViT",),
    ranges={"scale": (1e-8, 1e-4)},
    aliases=("FisherForgetting",),
)
