"""What one unlearned network still holds: probes of its features, of its head, of its weights.

Accuracies and attacks see a network's answers only. A probe trains something small on what the
network has inside, and asks how much of D_f comes back. Each number says little by itself: audit.py
shows it next to retrain's and the original's.

These files may import everything above `methods`.
"""

from torch import nn

from probes.linear import linear_probe
from probes.poison import poison_scores, summary
from probes.prototype import prototype_attack
from probes.relearning import relearn
from splits import Split


def measure(model: nn.Module, split: Split) -> dict:
    """{probe: its numbers} of a network, as far as the split allows them.

    Linear probe and prototype attack need a class or a sub-class that has test images; the poison
    needs images that were trained with noise on them. The model stays as it is. Random numbers are
    drawn from torch's global generator.
    """
    numbers: dict[str, dict] = {}
    if split.forget_test_from == "test":
        numbers["linear"] = linear_probe(model, split)
        numbers["prototype"] = prototype_attack(model, split)
    if split.forget_test_from in ("test", "forget"):
        numbers["relearning"] = relearn(model, split)
    if split.train.noise is not None:
        numbers["poison"] = summary(poison_scores(model, split.forget))
    return numbers
