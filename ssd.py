"""Selective Synaptic Dampening: forget without training. Needs only torch; works on any nn.Module.

Foster, Schoepf, Brintrup: Fast Machine Unlearning Without Retraining Through Selective Synaptic
Dampening, AAAI 2024, arXiv:2308.07707.

    importance   I_S = mean over batches b of S of ( d/dtheta mean_{(x,y) in b} CE(f(x), y) )^2
    select       I_Df > alpha * I_D
    dampen       theta <- min( lam * I_D / I_Df, 1 ) * theta        for the selected parameters

D is all that the model was trained on, D_f included; f(x) are the logits. Variants:

    LFSSD        I_S = mean over batches b of S of | d/dtheta mean_{x in b} ||f(x)||_2^2 |
    Potion       the same, the norm not squared
    ASSD         alpha = p-th percentile of I_Df / I_D over all parameters,   lam = 1
                 p = 100 - ln( 1 + 100 |D_f| / |D| )

LFSSD is Loss-Free SSD, arXiv:2402.19308: it needs no labels. Potion: arXiv:2406.09173. ASSD is
Adaptive SSD, arXiv:2402.10098.

Gradients are squared batch by batch, so importances depend on the batch size and on the order of D.
Published values of alpha belong to batches of 64 of a set sorted by class, and for random
forgetting to batches of 128 of a shuffled set. A D_f smaller than a batch has a noisier mean
gradient than a full batch, and so larger importances. With `per_sample=True` importances depend on
neither.

Networks in float16 and bfloat16 are taken as they are. Gradients are squared, summed and compared
in float32. Large models, and models on many GPUs: docs/own_model.md.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dampening import checks, samples
from dampening.blocks import row_blocks
from dampening.importances import importance_and_size
from dampening.processes import check_initialized, local, resharded, totals
from dampening.ratios import Ratios, comparable
from dampening.suitability import Suitability, measured

Importances = dict[str, Tensor]  # {parameter name: tensor of the parameter's shape}

ALPHAS = (0.5, 1, 2, 5, 10, 20, 50, 100)  # that `suitability` shows


# ---- importance ----


def importance(
    model: nn.Module,
    batches: Iterable,
    *,
    measure: str = "fisher",
    per_sample: bool = False,
    loss: Callable | None = None,
    reduce_over: Any = None,
    store: str | torch.device | None = None,
) -> Importances:
    """How much each parameter matters for `batches`.

    model: gives logits: a tensor, an object with `.logits`, or a tuple with them first. It is run
    in eval mode and given back as it came, its gradients too.
    batches: an iterable of
      - pairs (x [B, ...], y [B] integers) for logits [B, C]; what follows y is ignored;
      - pairs (x, y [B, T]) for logits of tokens [B, T, V]. y[b, t] is the target of the logits at
        the same position; tokens with y = -100 do not count;
      - dicts, given as model(**batch). For "fisher" the model's own `.loss` is taken; where it has
        none, the cross-entropy of its logits and batch["labels"]. The norms are those of its
        logits: of tokens whose label is not -100, or without labels, whose attention_mask is 1;
      - anything, with `loss`.
    Batches without samples are omitted.
    measure: "fisher", the squared gradient of the cross-entropy (SSD); "norm", the absolute
    gradient of ||f(x)||_2^2, labels ignored (LFSSD); "xlf", that of ||f(x)||_2 (Potion);
    "true_fisher", only with per_sample: squared gradients of the cross-entropy to every label, each
    weighted by the model's own probability for it (Fisher forgetting, arXiv:1911.04933).
    per_sample: every sample's own gradient is squared (or its absolute value taken), not the batch
    mean's, and samples weigh the same. Without it batches weigh the same, a short last one too.
    Pairs with labels [B] are fast; of other batches the samples are read one by one.
    loss: loss(model, batch) -> what is measured. For "fisher" the batch's mean loss, a scalar; with
    reduce_over and parts that differ, (mean loss, over how many terms it is the mean). For "norm"
    and "xlf" the logits [..., C]. Tensors in the batch are on the model's device. Another model
    that the loss uses should be frozen, or it receives gradients.
    reduce_over: a torch.distributed group whose processes all hold the model, each with its part of
    every batch, as `split_batches` gives them. Models sharded by fully_shard need no reduce_over.
    store: the device on which the result is kept, such as "cpu"; None: the parameters' own.

    Returns {parameter name: tensor of the parameter's shape}, zero where no gradient flows. The
    tensors are float32, or float64 for parameters in float64; sharded as the parameters are.
    ValueError or TypeError, of one line, for: an unknown measure; a model without parameters that
    can be trained; gradients switched off; batches or logits of another form; labels that are not
    classes; no batches; importances that are not finite.
    """
    importances, _ = importance_and_size(
        model,
        batches,
        measure=measure,
        per_sample=per_sample,
        loss=loss,
        reduce_over=reduce_over,
        store=store,
    )
    return importances


def split_batches(batches: Iterable, group: Any = None) -> Iterator:
    """This process's part of each batch, for `importance` and `unlearn` on several processes.

    batches: the same in every process. group: of torch.distributed; None: all processes. The parts
    are equal, or differ by one sample; `importance` weighs them by their sizes. Where a batch has
    fewer samples than there are processes, the others take part with one that counts for nothing.

    Splitting each batch matters. Gradients are averaged over processes before they are squared, so
    R processes that each read batches of their own compute the importances of batches R times as
    large, which is another SSD.
    Raises ValueError where there are no processes, and where a tensor in a batch has no row for
    each sample.
    """
    check_initialized("split_batches shares batches among processes")
    return samples.parts(batches, dist.get_rank(group), dist.get_world_size(group))


# ---- dampening ----


class Selection(float):
    """The share of all parameters that was selected, in [0, 1]: a float.

    by_name: {parameter name: the share of that tensor}.
    """

    by_name: dict[str, float]

    def __new__(cls, share: float, by_name: dict[str, float]):
        selection = super().__new__(cls, share)
        selection.by_name = by_name
        return selection

    def __getnewargs__(self):
        return float(self), self.by_name


@torch.no_grad()
def dampen(
    model: nn.Module,
    full: Importances,
    forget: Importances,
    *,
    alpha: float,
    lam: float,
) -> Selection:
    """Shrink in place the parameters whose I_Df is more than alpha times their I_D.

    theta <- min( lam * I_D / I_Df, 1 ) * theta   where   I_Df > alpha * I_D

    full, forget: importances I_D and I_Df, on any device: they are moved tensor by tensor. alpha:
    smaller selects more. lam (lambda): smaller dampens further. All is computed in float32 or
    wider, whatever the parameters' precision.

    Returns the share of parameters selected, in [0, 1], as a Selection: a float with the share of
    each tensor in `.by_name`.
    ValueError or TypeError, of one line, for: alpha or lam that is not a number of 0 or more; a
    model that cannot be dampened; importances that are not finite or not of this model. The model
    is then untouched.
    """
    alpha = checks.checked_alpha(alpha)
    lam = checks.checked_lam(lam)
    checks.checked_parameters(model)
    with resharded(model):
        parameters = checks.checked_parameters(model)
        for title, importances in (("I_D", full), ("I_Df", forget)):
            checks.check_importances(title, importances, parameters)
        selected = {}
        for name, p in parameters.items():
            selected[name] = _dampen_tensor(
                local(p), local(full[name]), local(forget[name]), alpha, lam
            )
        torch.clear_autocast_cache()  # of the weights as they were
        counts = totals(selected, parameters)
    by_name = {name: count / max(1, parameters[name].numel()) for name, count in counts.items()}
    size = sum(p.numel() for p in parameters.values())
    return Selection(sum(counts.values()) / max(1, size), by_name)


def _dampen_tensor(theta, full, forget, alpha, lam):
    """Dampen one tensor, or this process's part of it; how many of its entries were selected."""
    count = torch.zeros((), dtype=torch.int64, device=theta.device)
    for rows in row_blocks(theta):
        part = theta[rows]
        i_full = comparable(full[rows], theta)
        i_forget = comparable(forget[rows], theta)
        is_selected = i_forget > alpha * i_full
        factor = (lam * i_full / i_forget).clamp(max=1)  # 0 / 0 is NaN, but not selected
        part.copy_(torch.where(is_selected, factor * part, part))
        count += is_selected.sum()
    return count


def sorted_ratios(full: Importances, forget: Importances) -> Ratios:
    """I_Df / I_D of all parameters in ascending order, as a sequence that is never built.

    `ratios[k]` is the k-th, from 0, found by counting. It costs two passes over the importances,
    and no memory beyond a histogram. NaN and infinity, where I_D is 0, are omitted.
    ValueError where nothing is left, where an importance is not finite, or where the two are of
    different models; TypeError for no dict.
    """
    return Ratios(full, forget)


def adaptive_alpha(ratios: Ratios | Tensor, share_forgotten: float, strength: float = 1.0) -> float:
    """The p-th percentile of I_Df / I_D, p = 100 - ln(1 + 100 s |D_f| / |D|). arXiv:2402.10098.

    ratios: in ascending order, as `sorted_ratios` gives them. share_forgotten: |D_f| / |D|, in
    (0, 1]. strength: s, of Potion's search (arXiv:2406.09173). At most 100 percent are ever
    selected.
    ValueError or TypeError for a share outside (0, 1].
    """
    share_forgotten = checks.checked_share(share_forgotten)
    selected_percent = min(100.0, math.log1p(100 * strength * share_forgotten))
    # Linear interpolation between the two neighbours of this position.
    position = (1 - selected_percent / 100) * (len(ratios) - 1)
    below = float(ratios[int(position)])
    above = float(ratios[math.ceil(position)])
    return below + (position - int(position)) * (above - below)


# ---- both ----


def unlearn(  # noqa: PLR0913
    model: nn.Module,
    forget_batches: Iterable,
    full_batches: Iterable,
    *,
    alpha: float | str,
    lam: float,
    measure: str = "fisher",
    per_sample: bool = False,
    loss: Callable | None = None,
    reduce_over: Any = None,
    store: str | torch.device | None = None,
) -> nn.Module:
    """Make `model` forget `forget_batches`: both importances, then `dampen`.

    The model is changed in place and returned.

    alpha: a number, or "adaptive" (with the paper's lam = 1: Adaptive SSD).
    forget_batches, full_batches and all others: as for `importance`.
    Warns where alpha is too large to select anything.
    Errors: as for `importance` and `dampen`. Settings are checked before any work. D_f is read
    before D, since it is the smaller: what is wrong with it, or with the network, is said early.
    """
    is_adaptive = isinstance(alpha, str) and alpha == "adaptive"
    threshold = None if is_adaptive else checks.checked_alpha(alpha, or_else=', or "adaptive"')
    lam = checks.checked_lam(lam)
    for batches in (forget_batches, full_batches):
        checks.check_batches(batches)
    if forget_batches is full_batches and iter(full_batches) is full_batches:
        message = "D_f and D are one iterator, which can be read only once"
        raise ValueError(f"{message}; give two lists or DataLoaders")
    take = partial(
        importance_and_size,
        model,
        measure=measure,
        per_sample=per_sample,
        loss=loss,
        reduce_over=reduce_over,
        store=store,
    )
    forget, forget_size = take(forget_batches)
    full, full_size = take(full_batches)
    if threshold is None:
        share_forgotten = checks.share_of(forget_size, full_size)
        threshold = adaptive_alpha(sorted_ratios(full, forget), share_forgotten)
    elif forget_size is not None and full_size is not None:
        warn_at_ceiling(threshold, full_size, forget_size)
    selection = dampen(model, full, forget, alpha=threshold, lam=lam)
    if selection == 0:
        message = "no parameter was selected, so the model is unchanged; take a smaller alpha"
        warnings.warn(message, stacklevel=2)
    return model


def warn_at_ceiling(alpha: float, full_size: int, forget_size: int) -> None:
    """Warn where alpha >= |D| / |D_f|.

    Where D's batches over D_f are D_f's own, I_D is at least |D_f| / |D| of I_Df. Such an alpha
    then selects nothing.
    """
    ceiling = full_size / forget_size
    if alpha >= ceiling:
        message = f"alpha = {alpha:g} reaches |D| / |D_f| = {ceiling:.4g}"
        reason = "where D's batches over D_f are D_f's own, nothing can be selected"
        warnings.warn(f"{message}: {reason}; take a smaller alpha", stacklevel=3)


# ---- beforehand ----


@torch.no_grad()
def suitability(
    model: nn.Module,
    full: Importances,
    forget: Importances,
    *,
    alphas: Iterable[float] = ALPHAS,
    share_forgotten: float | None = None,
) -> Suitability:
    """What the importances say before anything changes; print it to see a table.

    Its overlap is the cosine of I_D and I_Df: where it is high, what is to be forgotten and what is
    to be kept lie in the same parameters. Further: the share of the parameters, in all and in each
    layer, that each alpha selects.

    full, forget: importances I_D and I_Df of `model`, which is left as it is.
    share_forgotten: |D_f| / |D|. With it, also the ceiling |D| / |D_f| of alpha, and Adaptive SSD's
    alpha with what it selects.
    Errors: as for `dampen`, and ValueError for a share_forgotten outside (0, 1].
    """
    thresholds = [checks.checked_alpha(alpha) for alpha in alphas]
    if not thresholds:
        raise ValueError("alphas is empty; give the values of alpha that are to be shown")
    ceiling, adaptive = None, None
    if share_forgotten is not None:
        share_forgotten = checks.checked_share(share_forgotten)
        ceiling = 1 / share_forgotten
    checks.checked_parameters(model)
    with resharded(model):
        parameters = checks.checked_parameters(model)
        for title, importances in (("I_D", full), ("I_Df", forget)):
            checks.check_importances(title, importances, parameters)
        if share_forgotten is not None:
            adaptive = adaptive_alpha(sorted_ratios(full, forget), share_forgotten)
            thresholds.append(adaptive)
        result = measured(model, full, forget, thresholds)
    return replace(result, ceiling=ceiling, adaptive_alpha=adaptive)
