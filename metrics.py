"""How well a network has forgotten: accuracies, membership inference, zero retrain forgetting.

All scores come from logits that are computed once for each image.

Differs 1: ZRF is computed from logarithms and stays finite. The released ZRF is -inf where a
probability underflows to 0.
"""

from common.threads import one_thread

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import Diverged
from learning.images import ImageSet, batches
from learning.protocol import PAPER, Protocol
from learning.training import predict
from splits import Split

# Of the attack's logistic regression. scikit-learn's own tol, 1e-4, stops it up to 2e-3 nats from
# the best threshold, and a forget image may lie between the two.
MIA_FIT = {"C": 2.0, "tol": 1e-10, "max_iter": 1000}
# Images scored at a time: on a CPU as many as suit its cache.
CPU_BATCH_SIZE = 100
GPU_BATCH_SIZE = 512


# ---- a network's logits ----


@dataclass(frozen=True, eq=False, kw_only=True)
class Logits:
    """What a network answers to the images of a split: logits, one row an image."""

    train: Tensor  # [N, C], on split.train
    test: Tensor  # [N, C], on split.test
    # [N, C], on split.forget_test where these are images with a trigger on them; else None
    triggered: Tensor | None = None


def logits_of(model: nn.Module, images: ImageSet, title: str = "") -> Tensor:
    """The logits [N, C] of all images of a set, in its order.

    title: names the images in a progress bar. Where it is empty there is no bar.
    """
    on_gpu = next(model.parameters()).device.type == "cuda"
    batch_size = GPU_BATCH_SIZE if on_gpu else CPU_BATCH_SIZE
    bar = f"scoring {title}" if title else ""
    return predict(model, batches(images, model, batch_size, title=bar))


def split_logits(model: nn.Module, split: Split) -> Logits:
    """A network's logits on all images of a split."""
    triggered = None
    if split.forget_test_from == "triggered":
        triggered = logits_of(model, split.forget_test, "triggered")
    return Logits(
        train=logits_of(model, split.train, "training"),
        test=logits_of(model, split.test, "test"),
        triggered=triggered,
    )


def logits_of_part(logits: Tensor, images: ImageSet, part: ImageSet) -> Tensor:
    """The rows of `logits` [N, C] that belong to `part` [M], a subset of `images` [N]; [M, C].

    The set's index must ascend, as it does in split.train and split.test.
    """
    rows = torch.searchsorted(images.index, part.index)
    assert torch.equal(images.index[rows], part.index)
    return logits[rows.to(logits.device)]


def forget_logits(logits: Tensor, split: Split) -> Tensor:
    """Of logits on split.train [N, C] those of D_f."""
    return logits_of_part(logits, split.train, split.forget)


def forget_test_logits(logits: Logits, split: Split) -> Tensor:
    """The logits [N, C] of the images on which D_f's accuracy is measured."""
    if split.forget_test_from == "triggered":
        assert logits.triggered is not None
        return logits.triggered
    if split.forget_test_from == "test":
        return logits_of_part(logits.test, split.test, split.forget_test)
    return logits_of_part(logits.train, split.train, split.forget_test)


# ---- all scores of a network ----


def score(
    logits: Logits,
    untrained: nn.Module,
    split: Split,
    *,
    batch_size: int,
    protocol: Protocol = PAPER,
    untrained_in_train_mode: bool | None = None,
    retain_batch_size: int | None = None,
) -> dict[str, float]:
    """All scores of a network after unlearning.

    untrained: a network that has learned nothing, for ZRF. batch_size: the task's, which the
    released protocol's accuracy and ZRF depend on.

    What some methods need in the released protocol (methods/unsir.py, methods/bad_teacher.py):
    untrained_in_train_mode: whether ZRF takes the untrained network's outputs by the statistics of
    each batch; None: as the protocol says. retain_batch_size: what RetainTestAcc takes in place of
    batch_size.

    Returns TestAcc, RetainTestAcc, Df and MIA in percent, and ZRF, in [1 - ln 2, 1] in the paper's
    protocol. Where there are triggered images also AttackSuccess: the percent of them that are
    judged to be of the attacked class. For corrupted training data also what REM's benchmark
    (arXiv:2505.17730) scores: Healed, the percent of all corrupted training images that get their
    true class, and Utility, the accuracy on clean test images. Raises Diverged where the logits are
    not finite.
    """
    _check_finite(logits)
    if untrained_in_train_mode is None:
        untrained_in_train_mode = protocol.zrf_by_elementwise_kl
    if retain_batch_size is None:
        retain_batch_size = batch_size
    forget_test = forget_test_logits(logits, split)
    if untrained_in_train_mode:
        data = batches(split.forget_test, untrained, batch_size)
        untrained_logits = predict(untrained, data, train_mode=True)
    else:
        untrained_logits = logits_of(untrained, split.forget_test)
    scores = {
        "TestAcc": accuracy_by(protocol, logits.test, split.test.labels, batch_size),
        "RetainTestAcc": retain_accuracy(logits.test, split, retain_batch_size, protocol),
        "Df": accuracy_by(protocol, forget_test, split.forget_test.labels, batch_size),
        "MIA": mia_of_forget_set(logits, split),
        "ZRF": zrf(forget_test, untrained_logits, elementwise_kl=protocol.zrf_by_elementwise_kl),
    }
    if split.attacked_class is not None:
        scores["AttackSuccess"] = accuracy(forget_test, split.attacked_class)
    if split.corrupted is not None and split.utility_test is not None:
        scores["Healed"] = _accuracy_on(logits.train, split.train, split.corrupted)
        scores["Utility"] = _accuracy_on(logits.test, split.test, split.utility_test)
    return scores


def _accuracy_on(logits, images, part):
    """The accuracy on a part of `images`, by the part's labels; logits [N, C] on all of them."""
    of_part = logits_of_part(logits, images, part)
    return accuracy(of_part, part.labels.to(of_part.device))


def _check_finite(logits):
    for values in (logits.train, logits.test):
        if not torch.isfinite(values).all():
            raise Diverged(
                "the network's outputs are not finite after unlearning: the method diverged; "
                "soften its settings"
            )


# ---- accuracies ----


def accuracy(logits: Tensor, labels: Tensor | int) -> float:
    """Share of images whose largest logit is their label's, in percent.

    logits [N, C]; labels [N], or one label for all.
    """
    is_right = logits.argmax(1).eq(labels)
    return 100 * float(is_right.double().mean())


def accuracy_of_batches(logits: Tensor, labels: Tensor, batch_size: int) -> float:
    """The released code's accuracy, in percent: the unweighted mean over batches.

    A short last batch counts in full. logits [N, C], labels [N].
    """
    accuracies = []
    parts = zip(logits.split(batch_size), labels.split(batch_size), strict=True)
    for batch_logits, batch_labels in parts:
        accuracies.append(accuracy(batch_logits, batch_labels))
    return sum(accuracies) / len(accuracies)


def accuracy_by(protocol: Protocol, logits: Tensor, labels: Tensor, batch_size: int) -> float:
    """The accuracy in percent as the protocol measures it. logits [N, C], labels [N]."""
    labels = labels.to(logits.device)
    if protocol.accuracy_averages_batches:
        return accuracy_of_batches(logits, labels, batch_size)
    return accuracy(logits, labels)


def retain_accuracy(
    test_logits: Tensor, split: Split, batch_size: int, protocol: Protocol = PAPER
) -> float:
    """RetainTestAcc in percent, from the logits [N, C] on split.test."""
    logits = logits_of_part(test_logits, split.test, split.retain_test)
    return accuracy_by(protocol, logits, split.retain_test.labels, batch_size)


def class_accuracy(logits: Tensor, labels: Tensor, num_classes: int) -> list[float | None]:
    """The accuracy of each class on its own images, in percent; None for a class without an image.

    logits [N, C], labels [N] int64. Returns a list of num_classes entries.
    """
    labels = labels.to(logits.device)
    right = labels[logits.argmax(1) == labels]
    counts = labels.bincount(minlength=num_classes).tolist()
    counts_right = right.bincount(minlength=num_classes).tolist()
    accuracies = []
    for count, count_right in zip(counts, counts_right, strict=True):
        accuracies.append(100 * count_right / count if count else None)
    return accuracies


# ---- entropies, and what an attacker learns from them ----


@one_thread()
def entropy(logits: Tensor) -> Tensor:
    """Entropy of each image's softmax in nats, [N], between 0 and ln C. logits [N, C]."""
    log_p = F.log_softmax(logits.double(), dim=1)
    return -(log_p.exp() * log_p).sum(1)


def entropy_histogram(logits: Tensor, bins: int = 20) -> list[int]:
    """How many images have an entropy in each of `bins` equal parts of 0 to ln C. logits [N, C]."""
    largest = math.log(logits.shape[1])
    shares = (entropy(logits).cpu() / largest).clamp(max=1)
    return torch.histc(shares, bins, 0, 1).long().tolist()


def mia_of_forget_set(logits: Logits, split: Split) -> float:
    """`mia` of a split: members are D_r's images, non-members the test set's."""
    retain = logits_of_part(logits.train, split.train, split.retain)
    forget = forget_logits(logits.train, split)
    return mia(entropy(retain), entropy(logits.test), entropy(forget))


def mia(member_entropy: Tensor, nonmember_entropy: Tensor, forget_entropy: Tensor) -> float:
    """Membership inference attack: percent of the forget set judged to have been trained on.

    Entropies in nats, each [N], tensors or arrays. A logistic regression (lbfgs, balanced classes)
    on the entropy tells members (retained training images) from non-members (test images). The
    goal is the retrained network's value, not 0 and not 50.

    C = 2 in the binary fit is C = 1 in the multinomial one of the released code, which scikit-learn
    1.8 no longer has. The fit goes on until it is at its optimum (`MIA_FIT`).
    """
    from sklearn.linear_model import LogisticRegression

    members = torch.as_tensor(member_entropy).double().cpu()
    nonmembers = torch.as_tensor(nonmember_entropy).double().cpu()
    forget = torch.as_tensor(forget_entropy).double().cpu()
    # A shift moves no optimum. Without it, entropies that are all near ln C end the fit at once.
    centre = (members.mean() + nonmembers.mean()) / 2
    features = (torch.cat([members, nonmembers]) - centre)[:, None].numpy()  # [N, 1]
    is_member = torch.cat([torch.ones(len(members)), torch.zeros(len(nonmembers))]).long().numpy()
    attack = LogisticRegression(**MIA_FIT, class_weight="balanced", solver="lbfgs")
    attack.fit(features, is_member)
    judged_members = attack.predict((forget - centre)[:, None].numpy())
    return 100 * float(judged_members.mean())


# ---- zero retrain forgetting ----


@one_thread()
def zrf(logits: Tensor, untrained_logits: Tensor, *, elementwise_kl: bool = False) -> float:
    """Zero retrain forgetting: 1 - the mean divergence, in nats, to an untrained network.

    The divergence is Jensen and Shannon's. Both logits [N, C]. Returns a number in [1 - ln 2, 1];
    1: the network answers as one that has learned nothing. Source: arXiv:2205.08096.

    elementwise_kl: the released code's form. It has KL(m||p) and KL(m||q) for KL(p||m) and
    KL(q||m), and divides by N C.
    """
    log_p = F.log_softmax(logits.double(), dim=1)  # [N, C]
    log_q = F.log_softmax(untrained_logits.to(logits.device).double(), dim=1)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)  # of m, the mean of p and q
    if elementwise_kl:
        divergence = log_m.exp() * (log_m - (log_p + log_q) / 2)  # [N, C]
    else:
        p_from_m = log_p.exp() * (log_p - log_m)
        q_from_m = log_q.exp() * (log_q - log_m)
        divergence = (p_from_m + q_from_m).sum(1) / 2  # [N]
    return 1 - float(divergence.mean())
