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
    features: list[dict[str, Tensor]]  # n times {stage: [M, D]}; {} where the run kept none

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
            features=[self.features[place] for place in places],
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

    def have_probe(self, probe: str) -> bool:
        """Whether all of the networks were probed so."""
        return all(probe in record.get("probes", {}) for record in self.records)

    def mean_probe(self, probe: str, number: str) -> float:
        """The mean over networks of a number of a probe."""
        return sum(record["probes"][probe][number] for record in self.records) / len(self)

    def mean_curve(self, probe: str, name: str) -> float:
        """The mean over networks and over the entries of a curve of a probe."""
        means = []
        for record in self.records:
            entries = record["probes"][probe][name]
            means.append(sum(entries) / len(entries))
        return sum(means) / len(means)

    def mean_score(self, name: str) -> float:
        """The mean over networks of a record's score."""
        return sum(record["scores"][name] for record in self.records) / len(self)
