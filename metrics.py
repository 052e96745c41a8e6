"""How well a network has forgotten: accuracies, membership inference, zero retrain forgetting.

All come from one store of logits.

Differs 1: ZRF is computed from logarithms and stays finite. The released ZRF is -inf where a
probability underflows to 0.
"""

from common.threads import one_thread

import math

import torch
import torch.nn.functional as F

from common.errors import Diverged
from learning.images import batches
from learning.protocol import PAPER
from learning.training import predict

# Of the attack's logistic regression. scikit-learn's own tol, 1e-4, stops it up to 2e-3 nats from
# the best threshold, and a forget image may lie between the two.
MIA_FIT = {"C": 2.0, "tol": 1e-10, "max_iter": 1000}


BATCH = (100, 512)  # of images scored at a time: on a CPU what its cache holds, on a GPU


def accuracy(logits, labels):
    """Share of images whose largest logit is their label's, in percent. logits [N, C], labels [N] or one for all."""
    return 100 * float((logits.argmax(1) == labels).double().mean())


def accuracy_of_batches(logits, labels, batch_size):
    """The released code's accuracy, in percent: the unweighted mean over batches; a short last one counts in full."""
    parts = zip(logits.split(batch_size), labels.split(batch_size), strict=True)
    values = [accuracy(*part) for part in parts]
    return sum(values) / len(values)


def class_accuracy(logits, labels, num_classes):
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


@one_thread()
def entropy(logits):
    """Entropy of each image's softmax in nats, [N], between 0 and ln C."""
    log_p = F.log_softmax(logits.double(), dim=1)
    return -(log_p.exp() * log_p).sum(1)


def entropy_histogram(logits, bins=20):
    """How many images [N, C] have an entropy in each of `bins` equal parts of 0 to ln C."""
    return (
        torch.histc((entropy(logits).cpu() / math.log(logits.shape[1])).clamp(max=1), bins, 0, 1)
        .long()
        .tolist()
    )


@one_thread()
def zrf(logits, untrained_logits, *, elementwise_kl=False):
    """Zero retrain forgetting (arXiv:2205.08096): 1 - mean Jensen-Shannon divergence, in nats, to an untrained network.

    Both [N, C]. Returns a number in [1 - ln 2, 1]; 1: the network answers as one that has learned nothing.
    elementwise_kl: the released code's form, with KL(m||p) and KL(m||q) for KL(p||m) and KL(q||m), divided by N C.
    """
    log_p, log_q = (F.log_softmax(values.double(), dim=1) for values in (logits, untrained_logits))
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    if elementwise_kl:
        return 1 - float((log_m.exp() * (log_m - (log_p + log_q) / 2)).mean())
    divergence = (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(1) / 2
    return 1 - float(divergence.mean())


def mia(member_entropy, nonmember_entropy, forget_entropy):
    """Membership inference attack: percent of the forget set judged to have been trained on. Entropies [N] in nats.

    A logistic regression (lbfgs, balanced classes) on the entropy tells members (retained training images) from
    non-members (test images). The goal is the retrained network's value, not 0 and not 50. C = 2 in the binary fit is
    C = 1 in the multinomial one of the released code, which scikit-learn 1.8 no longer has.
    The fit goes on until it is at its optimum (`MIA_FIT`).
    """
    from sklearn.linear_model import LogisticRegression

    members, others, forget = (
        torch.as_tensor(v).double().cpu()
        for v in (member_entropy, nonmember_entropy, forget_entropy)
    )
    # A shift moves no optimum. Without it, entropies that are all near ln C end the fit at once.
    centre = (members.mean() + others.mean()) / 2
    features = (torch.cat([members, others]) - centre)[:, None].numpy()
    is_member = torch.cat([torch.ones(len(members)), torch.zeros(len(others))]).long().numpy()
    attack = LogisticRegression(**MIA_FIT, class_weight="balanced", solver="lbfgs")
    attack.fit(features, is_member)
    judged_members = attack.predict((forget - centre)[:, None].numpy())
    return 100 * float(judged_members.mean())


def logits_of(model, images, what=""):
    """The logits [N, C] of every image of a set, in its order; what: a name for the progress bar, none where it is empty."""
    size = BATCH[next(model.parameters()).device.type == "cuda"]
    return predict(model, batches(images, model, size, what=what and f"scoring {what}"))


def picked(logits, images, part):
    """Of `logits` [N, C] of the set `images`, whose index ascends, those of its subset `part`."""
    at = torch.searchsorted(images.index, part.index)
    assert torch.equal(images.index[at], part.index)
    return logits[at.to(logits.device)]


def score(
    train_logits,
    test_logits,
    untrained,
    split,
    *,
    batch_size,
    protocol=PAPER,
    notes=None,
    triggered_logits=None,
    untrained_in_train_mode=None,
    retain_batch_size=None,
):
    """All scores of a network after unlearning, from its logits [N, C] on split.train and split.test.

    triggered_logits: those on split.forget_test where these are images with a trigger; else None.
    untrained: a network that has learned nothing, for ZRF. batch_size: the task's, which the released protocol's
    accuracy and ZRF depend on. notes["entropy_histogram"]: counts of D_f's training images by entropy.
    untrained_in_train_mode: whether ZRF takes the untrained network's outputs by the statistics of
    each batch; None: as the protocol says. retain_batch_size: what RetainTestAcc takes in place of
    batch_size. What a method needs of these two its `scoring` says (methods/unsir.py).
    Returns {TestAcc, RetainTestAcc, Df, MIA in percent, ZRF in [1 - ln 2, 1]}, and AttackSuccess, the percent of triggered
    images that are judged to be of the attacked class, where there are any.
    Raises Diverged where the logits are not finite.
    """
    if not all(torch.isfinite(values).all() for values in (train_logits, test_logits)):
        raise Diverged(
            "the network's outputs are not finite after unlearning: the method diverged; soften its settings"
        )
    retain, forget = (
        picked(train_logits, split.train, part) for part in (split.retain, split.forget)
    )
    if triggered_logits is not None:
        forget_test = triggered_logits
    elif split.forget_test_from == "test":
        forget_test = picked(test_logits, split.test, split.forget_test)
    else:
        forget_test = picked(train_logits, split.train, split.forget_test)
    if notes is not None:
        notes["entropy_histogram"] = entropy_histogram(forget)
    if untrained_in_train_mode is None:
        untrained_in_train_mode = protocol.zrf_by_elementwise_kl
    if retain_batch_size is None:
        retain_batch_size = batch_size
    if untrained_in_train_mode:  # by the statistics of the task's batches
        base = predict(
            untrained, batches(split.forget_test, untrained, batch_size), train_mode=True
        )
    else:
        base = logits_of(untrained, split.forget_test)
    base = base.to(forget_test.device)
    attack = (
        {}
        if triggered_logits is None
        else {"AttackSuccess": accuracy(triggered_logits, split.attacked_class)}
    )
    return {
        "TestAcc": share_right(test_logits, split.test.labels, batch_size, protocol),
        "RetainTestAcc": retain_accuracy(test_logits, split, retain_batch_size, protocol),
        "Df": share_right(forget_test, split.forget_test.labels, batch_size, protocol),
        "MIA": mia(entropy(retain), entropy(test_logits), entropy(forget)),
        "ZRF": zrf(forget_test, base, elementwise_kl=protocol.zrf_by_elementwise_kl),
        **attack,
    }


def retain_accuracy(test_logits, split, batch_size, protocol=PAPER):
    """RetainTestAcc alone, in percent."""
    return share_right(
        picked(test_logits, split.test, split.retain_test),
        split.retain_test.labels,
        batch_size,
        protocol,
    )


def share_right(logits, labels, batch_size, protocol):
    """Accuracy in percent as the protocol takes it."""
    labels = labels.to(logits.device)
    return (
        accuracy_of_batches(logits, labels, batch_size)
        if protocol.accuracy_averages_batches
        else accuracy(logits, labels)
    )
