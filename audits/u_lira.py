"""U-LiRA: can an attacker who has many networks tell a forgotten image from one never learned?

Two sets of networks: F has learned the image and forgotten it, O has never learned it. A Gaussian
is fitted to the margins of each set, for every image. The score of a fresh network is

    log N(phi; mean_F, std_F) - log N(phi; mean_O, std_O)

AUC 0.5: nobody can tell. Source: Hayes et al., "Inexact unlearning needs more careful evaluations",
arXiv:2403.01218. Its null is 0.5 with any number of networks; that of the worst tenth is not.

Differs 1: The Gaussians are fitted to one half of the networks, and the other half is scored.
    Scores of the networks that a Gaussian was fitted to make AUC 0.6 to 0.7 out of nothing.
Differs 2: A variance has a floor, so that images which are always right do not divide by zero.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from audits._audit import Audit, Column
from audits.networks import Networks
from audits.separation import auc, tpr_at_fpr

LEAST_VARIANCE = 1e-3  # of the mean variance over images


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of the networks that no Gaussian was fitted to; higher: has learned the image."""

    forgotten: Tensor  # [n, M], of networks in F
    unseen: Tensor  # [n, M], of networks in O


def u_lira(forgotten: Tensor, unseen: Tensor) -> list[Scores]:
    """Both halves of the networks, each scored by Gaussians that were fitted to the other.

    forgotten [n, M], unseen [n', M]: margins of n networks in F and n' in O on M images. Both need
    4 networks or more, so that a variance can be taken of either half.
    """
    assert min(len(forgotten), len(unseen)) >= 4
    halves = []
    for first in (0, 1):
        fitted_f, fitted_o = forgotten[first::2], unseen[first::2]
        fresh_f, fresh_o = forgotten[1 - first :: 2], unseen[1 - first :: 2]
        scores_f = log_ratio(fresh_f, fitted_f, fitted_o)
        scores_o = log_ratio(fresh_o, fitted_f, fitted_o)
        halves.append(Scores(scores_f, scores_o))
    return halves


def log_ratio(phi: Tensor, fitted_f: Tensor, fitted_o: Tensor) -> Tensor:
    """log N(phi; F) - log N(phi; O), with Gaussians fitted to each image's column.

    phi [k, M]; fitted_f, fitted_o: [n, M] margins. Returns [k, M].
    """
    variance_f, variance_o = fitted_f.var(0), fitted_o.var(0)  # [M]
    mean_variance = (variance_f.mean() + variance_o.mean()) / 2
    floor = torch.clamp(LEAST_VARIANCE * mean_variance, min=1e-12)
    of_f = _log_normal(phi, fitted_f.mean(0), variance_f.clamp(min=floor))
    of_o = _log_normal(phi, fitted_o.mean(0), variance_o.clamp(min=floor))
    return of_f - of_o


def _log_normal(phi, mean, variance):
    """The log density of a Gaussian, without its constant."""
    return -((phi - mean) ** 2) / (2 * variance) - variance.log() / 2


def image_aucs(halves: list[Scores]) -> Tensor:
    """AUC for each image [M], the mean over the halves."""
    aucs = [auc(scores.forgotten, scores.unseen) for scores in halves]
    return torch.stack(aucs).mean(0)


def balanced_accuracy(halves: list[Scores]) -> float:
    """The share of right guesses where a positive score means "learned", from 0 to 1."""
    shares = []
    for scores in halves:
        found = _share_above_zero(scores.forgotten)
        falsely_found = _share_above_zero(scores.unseen)
        shares.append((found + 1 - falsely_found) / 2)
    return sum(shares) / len(shares)


def _share_above_zero(scores):
    """A score of exactly 0 says nothing, and counts half."""
    above = (scores > 0).double() + (scores == 0).double() / 2
    return float(above.mean())


def worst_tenth(values: Tensor) -> float:
    """The mean of the largest tenth of the values [M], at least one."""
    count = max(1, len(values) // 10)
    return float(values.topk(count).values.mean())


def measure(candidate: Networks, retrained: Networks, original: Networks) -> dict:
    """{column: value} on the forgotten images."""
    halves = u_lira(candidate.margins["forget"], retrained.margins["forget"])
    aucs = image_aucs(halves)
    values = {
        "AUC": float(aucs.mean()),
        "AUC of the worst tenth": worst_tenth(aucs),
        "balanced accuracy": balanced_accuracy(halves),
    }
    rates = [tpr_at_fpr(half.forgotten.flatten(), half.unseen.flatten()) for half in halves]
    if None not in rates:
        values["TPR at 1 % FPR"] = sum(rates) / len(rates)
    return values


def of_images(candidate: Networks, retrained: Networks) -> Tensor:
    """AUC of each forgotten image, [M]."""
    return image_aucs(u_lira(candidate.margins["forget"], retrained.margins["forget"]))


AUDIT = Audit(
    title="U-LiRA",
    question="Can many networks tell a forgotten image from one that was never learned?",
    measure=measure,
    columns={
        "AUC": Column("low"),
        "AUC of the worst tenth": Column("low"),
        "balanced accuracy": Column("low"),
        "TPR at 1 % FPR": Column("low"),
    },
    least=4,
    of_images=of_images,
)
