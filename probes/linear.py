"""Linear probe: is the forgotten class still there in the features?

A logistic regression is trained on the features before the head, of training images of all classes
with their true labels, D_f's among them. Its accuracy on the test images of D_f says what a new
head would recognise. Retrain's is the null: features can tell a class that they never learned.
Source of the idea: arXiv:2604.08271.
"""

from torch import nn

from learning.features import before_head
from learning.images import ImageSet, batches, joined, random_order
from metrics import CPU_BATCH_SIZE
from splits import Split

MOST_IMAGES = 10_000  # that the probe is trained on, drawn from all training images
FIT = {"C": 1.0, "max_iter": 1000}  # of scikit-learn's LogisticRegression


def linear_probe(model: nn.Module, split: Split) -> dict[str, float]:
    """{"forget", "retain"}: the probe's accuracy on test images of D_f and of D_r, percent."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    images = joined(split.retain, split.forget)
    drawn = random_order(len(images))[:MOST_IMAGES]
    train = images.take(drawn)
    probe = make_pipeline(StandardScaler(), LogisticRegression(**FIT))
    probe.fit(_features(model, train), train.labels.cpu().numpy())
    accuracies = {}
    for name, part in (("forget", split.forget_test), ("retain", split.retain_test)):
        score = probe.score(_features(model, part), part.labels.cpu().numpy())
        accuracies[name] = 100 * float(score)
    return accuracies


def _features(model: nn.Module, images: ImageSet):
    """The features [N, D] of images as an array of float64."""
    return before_head(model, batches(images, model, CPU_BATCH_SIZE)).double().cpu().numpy()
