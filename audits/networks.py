"""The outputs of several networks on the same images, stacked."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from audits.margins import margin

PARTS = ("forget", "retain", "test")  # whose margins are compared with retrain's


@dataclass(frozen=True, eq=False)
class Networks:
    """n networks of one kind: originals, retrained ones, or those that a method has unlearned."""

    records: list[dict]  # n, by training seed
    logits: dict[str, Tensor]  # {part of the outputs: [n, M, C]}
    labels: dict[str, Tensor]  # {part: [M]}
    features: dict[str, Tensor]  # {stage: [n, M, D]}; empty where the runs have kept none

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def margins(self) -> dict[str, Tensor]:
        """{part: [n, M] float64}."""
        return {part: margin(self.logits[part], self.labels[part]) for part in self.logits}

    def take(self, places: list[int]) -> "Networks":
        """The networks at these places, in that order."""
        taken = Networks(
            records=[self.records[place] for place in places],
            logits={part: logits[places] for part, logits in self.logits.items()},
            labels=self.labels,
            features={stage: features[places] for stage, features in self.features.items()},
        )
        # What is known of all networks need not be computed again for each half of them.
        taken.__dict__["margins"] = {part: phi[places] for part, phi in self.margins.items()}
        return taken

    def mean_accuracy(self, part: str) -> float:
        """The mean over networks of the accuracy on a part of the images, percent."""
        return sum(self.accuracies(part)) / len(self)

    def accuracies(self, part: str) -> list[float]:
        """Each network's accuracy on forget, retain (training images) or test, percent."""
        return [record["outputs"]["accuracy"][part] for record in self.records]

    def mean_score(self, name: str) -> float:
        """The mean over networks of a record's score."""
        return sum(record["scores"][name] for record in self.records) / len(self)
