"""What both sides of a measurement are given."""

from dataclasses import dataclass
from pathlib import Path

NET = "ResNet18"
METHODS = ("baseline", "ssd", "finetune", "bad_teacher", "amnesiac", "unsir")
# Images that a stage takes.
SIZES = {
    "augment": 2000,
    "attack": 1000,
    "importance": 512,
    "fisher": 4,
    "training": 512,
    "training_vit": 24,
}
# The scores that are compared. ZRF is against another untrained network each time.
SCORES = ("TestAcc", "RetainTestAcc", "Df", "MIA")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where a stage finds its images and its network, and how this project computes."""

    whole: Path  # all images, in train/<class>/ and test/<class>/
    folder: Path  # data/: a few of them; checkpoints/: a network that was trained on these
    numerics: str
    gpu: bool

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / f"{NET}-Folder-data-seed0.safetensors"


def evenly(total: int, count: int) -> range:
    """`count` of the positions 0 to total - 1, evenly spread; all where there are fewer."""
    step = max(1, total // count)
    return range(0, total, step)[:count]


def draws_numbers(method: str) -> bool:
    """Whether a method draws random numbers, so that the two sides' scores cannot be compared."""
    return method not in ("baseline", "ssd")


def comparable(scores: dict, method: str) -> list[float]:
    """A run's SCORES, or zeros where they cannot be compared."""
    if draws_numbers(method):
        return [0.0 for _ in SCORES]
    return [scores[name] for name in SCORES]
