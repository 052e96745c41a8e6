"""Selective Synaptic Dampening: forget without training. Needs torch alone and works on any nn.Module.

Foster, Schoepf, Brintrup: Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening,
AAAI 2024, arXiv:2308.07707. Its label-free measure ("norm"): Loss-Free SSD, arXiv:2402.19308; the norm not squared
("xlf"): Potion, arXiv:2406.09173. An alpha that nobody need choose: Adaptive SSD, arXiv:2402.10098.

    importance   I_S = mean over batches b of S of ( d/dtheta mean_{(x,y) in b} CE(f(x), y) )^2
    select       I_Df > alpha * I_D
    dampen       theta <- min( lam * I_D / I_Df, 1 ) * theta           for the selected parameters
    adaptive     alpha = p-th percentile of I_Df / I_D,   p = 100 - ln( 1 + 100 s |D_f| / |D| ),   s = 1

D is all that the model was trained on, D_f included. Beware: gradients are squared batch by batch, so importances depend
on batch size and order, and published values of alpha belong to batches of 64 of a set sorted by class (128 of a shuffled
one for random forgetting). `per_sample=True` depends on neither.
"""

import math
import warnings
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from gradients import per_sample_sums


def importance(model, batches, *, measure="fisher", per_sample=False):
    """How much each parameter matters for `batches`, an iterable of (x [B, ...], y [B] int64).

    measure: "fisher", the squared gradient of the cross-entropy (SSD); "norm", the absolute gradient of ||f(x)||_2^2,
    labels ignored (LFSSD); "xlf", that of ||f(x)||_2 (Potion); "true_fisher", per sample alone: squared gradients of the
    cross-entropy to every label, each weighted by the model's own probability for it. Batches weigh the same, a short
    last one too. per_sample: every sample's own gradient is squared (or its absolute value taken), not the batch mean's,
    and samples weigh the same.
    Returns {parameter name: tensor of the parameter's shape}, zero where no gradient flows. The model is run in eval
    mode and given back as it came. ValueError for an unknown measure or no batches.
    """
    if measure not in LOSSES or (measure == "true_fisher" and not per_sample):
        raise ValueError(f"measure is {measure!r}; it must be one of {', '.join(LOSSES)} (true_fisher: with per_sample)")
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    device = next(iter(total.values())).device
    add = _add_samples if per_sample else _add_batch_mean
    count = 0
    with _eval_mode(model):
        for x, y in batches:
            add(total, model, parameters, x.to(device), y.to(device), measure)
            count += len(y) if per_sample else 1
    if count == 0:
        raise ValueError("there are no batches to take importances from")
    return {name: value / count for name, value in total.items()}


@torch.no_grad()
def dampen(model, full, forget, *, alpha, lam, shares=None):
    """Shrink in place the parameters that matter more to the forget set than alpha times to the full set.

    full, forget: importances I_D and I_Df. alpha: smaller selects more. lam (lambda): smaller dampens further.
    Returns the share of parameters selected, in [0, 1]; `shares`, a dict, takes that of each tensor, by name.
    ValueError for negative or NaN dials, importances that are not finite or not of this model; the model is then untouched.
    """
    if not (alpha >= 0 and lam >= 0):
        raise ValueError(f"alpha is {alpha} and lam {lam}; neither may be negative")
    parameters = dict(model.named_parameters())
    for importances in (full, forget):
        for name, p in parameters.items():
            if name not in importances or importances[name].shape != p.shape:
                raise ValueError(f"the importances hold nothing of {name}'s shape; they are another model's")
        for name, finite in _at_once({name: torch.isfinite(importances[name]).all() for name in parameters}).items():
            if not finite:
                raise ValueError(f"the importance of {name} is not finite; the model or its data are broken")
    counts = {}
    for name, p in parameters.items():
        i_full, i_forget = full[name].to(p), forget[name].to(p)
        chosen = i_forget > alpha * i_full
        factor = (lam * i_full / i_forget).clamp(max=1)
        p.copy_(torch.where(chosen, factor * p, p))
        counts[name] = chosen.sum()
    counts = _at_once(counts)
    if shares is not None:
        shares.update({name: count / parameters[name].numel() for name, count in counts.items()})
    return sum(counts.values()) / max(1, sum(p.numel() for p in parameters.values()))


def _at_once(scalars):
    """{name: tensor of one number} as Python's numbers, for which a GPU is waited for once."""
    return dict(zip(scalars, torch.stack(list(scalars.values())).tolist(), strict=True)) if scalars else {}


def sorted_ratios(full, forget):
    """I_Df / I_D of all parameters in ascending order, [P' <= P]; left out: NaN and infinity, where I_D is 0.

    Sorting is what an adaptive alpha costs; any number of percentiles can then be read. ValueError where nothing is left.
    """
    ratios = torch.cat([(forget[name] / full[name].to(forget[name])).flatten() for name in full])
    ratios = ratios[torch.isfinite(ratios)].sort().values
    if not len(ratios):
        raise ValueError("no parameter has a finite I_Df / I_D; the importances are zero, and the model or its data broken")
    return ratios


def adaptive_alpha(ratios, share_forgotten, strength=1.0):
    """The alpha that leaves ln(1 + 100 s |D_f| / |D|) percent of the sorted ratios above it, linearly interpolated.

    share_forgotten: |D_f| / |D|, in (0, 1]; strength: s, of Potion's search (at most 100 percent are ever selected).
    """
    selected = min(100.0, math.log1p(100 * strength * share_forgotten))
    at = (1 - selected / 100) * (len(ratios) - 1)
    low, high = (float(ratios[int(position)]) for position in (at, math.ceil(at)))
    return low + (at - int(at)) * (high - low)


def unlearn(model, forget_batches, full_batches, *, alpha, lam, measure="fisher", per_sample=False):
    """Make `model` forget `forget_batches`: both importances, then `dampen`. Changes the model in place, returns it.

    alpha: a number, or "adaptive" (with the paper's lam = 1: Adaptive SSD).
    """
    sizes = {"full": 0, "forget": 0}
    full = importance(model, _counted(full_batches, sizes, "full"), measure=measure, per_sample=per_sample)
    forget = importance(model, _counted(forget_batches, sizes, "forget"), measure=measure, per_sample=per_sample)
    if alpha == "adaptive":
        alpha = adaptive_alpha(sorted_ratios(full, forget), sizes["forget"] / sizes["full"])
    else:
        warn_at_ceiling(alpha, sizes["full"], sizes["forget"])
    dampen(model, full, forget, alpha=alpha, lam=lam)
    return model


def warn_at_ceiling(alpha, full_size, forget_size):
    """Warn where alpha >= |D| / |D_f|: where D's batches over D_f are D_f's own, nothing can be selected any more."""
    if alpha >= full_size / forget_size:
        warnings.warn(f"alpha = {alpha:g} reaches |D| / |D_f| = {full_size / forget_size:.4g}: where D's "
                      "batches over D_f are D_f's own, nothing can be selected; take a smaller alpha", stacklevel=2)  # fmt: skip


def _counted(batches, sizes, name):
    for x, y in batches:
        sizes[name] += len(y)
        yield x, y


@contextmanager
def _eval_mode(model):
    """Every module in eval mode, and each back in its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


# ---- the measures: K losses per sample, [K, B], and the power to which the size of their gradients is taken ----


def _rooted(log_p):
    """[C, B] of sqrt(p(c)) CE(f(x), c): the squares of its gradients are those of CE(f(x), c), weighted by p(c)."""
    return (-(log_p.detach() / 2).exp() * log_p).T


LOSSES = {
    "fisher": lambda logits, y: F.cross_entropy(logits, y, reduction="none")[None],
    "norm": lambda logits, y: logits.square().sum(1)[None],
    "xlf": lambda logits, y: torch.linalg.vector_norm(logits, dim=1)[None],
    "true_fisher": lambda logits, y: _rooted(F.log_softmax(logits, 1)),
}
POWER = {"fisher": 2, "norm": 1, "xlf": 1, "true_fisher": 2}


def _add_batch_mean(total, model, parameters, x, y, measure):
    """Add the size of the gradient of the batch's mean loss, all parameters at once."""
    loss = LOSSES[measure](model(x), y).mean()
    gradients = torch.autograd.grad(loss, parameters.values(), allow_unused=True)
    found = {name: g for name, g in zip(parameters, gradients, strict=True) if g is not None}
    sums, gradients = [total[name] for name in found], list(found.values())
    if POWER[measure] == 2:
        torch._foreach_addcmul_(sums, gradients, gradients)
    else:
        torch._foreach_add_(sums, torch._foreach_abs(gradients))


def _add_samples(total, model, parameters, x, y, measure):
    """Add the size of each sample's own gradient, parameter by parameter."""
    for name, value in per_sample_sums(model, parameters, x, lambda logits, at: LOSSES[measure](logits, y[at]), POWER[measure]):
        total[name] += value
