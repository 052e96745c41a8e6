"""Fisher forgetting. Golatkar, Achille, Soatto, CVPR 2020, arXiv:1911.04933.

    F      = mean over D_r of sum over labels c of p(c|x) ( d/dtheta CE(f(x), c) )^2     each sample's own gradients
    var    = scale * min( 1 / (F + 1e-8), 1e3 )
    theta  ~ N(theta, var)

All defaults and these steps are the released scripts': for tensors whose first axis has as many entries as there are
classes the bound is 1e2; a matrix's var is averaged over its second axis; where a whole class is forgotten, its row of
those tensors gets mean 0 and var 1e-4; last, var is multiplied by 10 for those tensors (whole class) and for vectors.

Differs 1: The variance goes with 1/F, as in the released scripts; in the paper it goes with
F^(-1/2).
"""

import torch

import ssd
from learning.images import batches
from methods._method import Method


def unlearn(model, split, *, scale=1e-6, batch_size=32):
    """Add noise where the retained data do not mind, in place. batch_size changes the speed alone."""
    data = batches(split.retain, model, batch_size, what="Fisher")
    fisher = ssd.importance(model, data, measure="true_fisher", per_sample=True)
    forgotten = split.forget_class if split.forgets_whole_class else None
    with torch.no_grad():
        for name, p in model.named_parameters():
            mean, var = normal(p, fisher[name], split.num_classes, forgotten, scale)
            p.copy_(
                mean + var.sqrt() * torch.randn(p.shape, device=p.device)
            )  # however p lies in memory
    return model.eval()


def normal(p, fisher, num_classes, forgotten, scale):
    """(mean, variance) of a parameter tensor's new values, both of its shape; forgotten: a class, or None."""
    per_class = p.shape[0] == num_classes
    mean, var = p.clone(), scale * (1 / (fisher + 1e-8)).clamp(max=1e2 if per_class else 1e3)
    if p.ndim > 1:
        var = var.mean(1, keepdim=True).expand_as(p).clone()
    if per_class and forgotten is not None:
        mean[forgotten], var[forgotten] = 0, 1e-4
    if p.ndim == 1 or (per_class and forgotten is not None):
        var = 10 * var
    return mean, var


METHOD = Method(
    unlearn,
    family="other",
    too_slow_on=("ViT",),
    ranges={"scale": (1e-8, 1e-4)},
    aliases=("FisherForgetting",),
)
