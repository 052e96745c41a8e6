"""The schema of a record: what it holds, in which units, within which bounds.

docs/records.md is made from these classes:

    python -m runs.schema > docs/records.md

A field with a default was not recorded by every version, or does not belong to every run. Fields
that a later version adds are allowed, so that its records can be read here too.
"""

import math
import shlex
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from runs.tasks import TASKS

ROUNDING = 1e-9  # by which a percentage or a share may exceed its bound
BINS = 20  # of the histogram of entropies
MOST_BYTES = 160  # of task, network, data set and protocol together, since they name files

Percent = Annotated[float, Field(ge=0, le=100 + ROUNDING)]
Share = Annotated[float, Field(ge=0, le=1 + ROUNDING)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=10**12)]
CountOrZero = Annotated[int, Field(ge=0, le=10**12)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Word = Annotated[str, Field(pattern=r"^\w+$")]
Name = Annotated[str, Field(min_length=1)]
# A name of a table, or what stands outside (common/references.py).
Entry = Annotated[str, Field(pattern=r"^(\w+|.+:\w+|(timm|torchvision)/.+)$")]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
Settings = dict[str, JsonValue]


def _alpha(text: str) -> str:
    if not 0 <= float(text) < math.inf:
        raise ValueError("an alpha is a finite number of 0 or more")
    return text


Alpha = Annotated[str, AfterValidator(_alpha)]  # a number as text, since it is a key


class Part(BaseModel):
    """A part of a record: its values are of their kind, finite, and in their bounds."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_nulls(cls, values):
        """What a run does not have is missing; null stands where every record has the field."""
        if isinstance(values, dict):
            for name, field in cls.model_fields.items():
                if name in values and values[name] is None and not field.is_required():
                    raise ValueError(f"{name} is null; it must be missing, or hold something")
        return values


class Config(Part):
    """What was asked for: the flags, and what they leave to tables, checkpoint and data."""

    net: Entry = Field(description="network; from outside: its reference")
    dataset: Entry = Field(description="data set; Folder: a folder of images")
    data: str | None = Field(None, description="folder in which data sets lie, or the images")
    protocol: Word = Field(description="paper, or released: replay of the released code")
    departures: list[Word] | None = Field(
        None, description="in what the run departs from the paper; names in learning/protocol.py"
    )
    numerics: Word = Field("fp32", description="arithmetic: fp32, tf32, bf16")
    train_numerics: Word | None = Field(None, description="arithmetic of the pre-training")
    gpu: bool | None = Field(None, description="whether it ran on a GPU")
    validation: bool = Field(False, description="scored on training images that were kept aside")
    normalise: Word | None = Field(
        None, description="by whose colours: cifar100, or own: those of the training images"
    )
    duplicates: Word | None = Field(None, description="what was done about identical images")
    forget: Name = Field(description="what was forgotten: a class, a share, a corruption")
    corruption: Word | None = Field(
        None, description="patch, label, confusion or gaussian; corrupted task only"
    )
    corrupt_count: Count | None = Field(None, description="how many images were corrupted")
    known_share: Annotated[Share, Field(gt=0)] | None = Field(
        None, description="share of the corrupted images that was known"
    )
    method: Entry = Field(description="unlearning method")
    seed: Seed = Field(description="of the unlearning")
    train_seed: Seed = Field(description="of the pre-training")
    b: Count = Field(description="images a batch")
    alpha: NotNegative | None = Field(description="of selection; null: the method has none")
    lambda_: NotNegative | None = Field(alias="lambda", description="of dampening; null: none")
    importance: Word | None = Field(
        description="batch or sample: whose gradients are squared; null: no importance"
    )
    set: Settings = Field(description="hyper-parameters given with -set, where not the default")
    hyperparameters: Settings | None = Field(
        None, description="every hyper-parameter in effect, the optimiser's included"
    )
    outside: dict[Word, Name] | None = Field(
        None, description="SHA-256 of the file of each part that stands outside: net, ..."
    )
    recipe: Settings | None = Field(None, description="by which the original was trained")
    mia: dict[str, NotNegative] | None = Field(None, description="settings of the attack's fit")

    @model_validator(mode="after")
    def _check(self):
        if self.alpha is not None and self.lambda_ is None:
            raise ValueError("config.lambda must be a number where config.alpha is one")
        if self.dataset == "Folder" and self.data is None:
            raise ValueError("config.data must name the folder of images")
        return self


class Scores(Part):
    """How well the network does after unlearning. A further score must be a finite number."""

    __pydantic_extra__: dict[str, float]

    TestAcc: Percent = Field(description="accuracy on all test images, percent")
    RetainTestAcc: Percent = Field(
        description="D_r: accuracy on test images of what stays, percent"
    )
    Df: Percent = Field(
        description="D_f: accuracy on what is forgotten, percent; corrupted task: on true labels"
    )
    MIA: Percent = Field(
        description="membership inference attack: forgotten images judged to be members, percent"
    )
    ZRF: Annotated[float, Field(le=1 + ROUNDING)] = Field(
        description="zero retrain forgetting, in [1 - ln 2, 1] under the paper's protocol"
    )
    AttackSuccess: Percent | None = Field(
        None, description="images with the trigger sent to the attacked class, percent"
    )
    Healed: Percent | None = Field(
        None,
        description="REM's benchmark: all corrupted training images that get their true class, "
        "percent",
    )
    Utility: Percent | None = Field(
        None,
        description="REM's benchmark: accuracy on the clean test images, percent; confusion: on "
        "those of the other classes",
    )


class Times(Part):
    """What the run took, in seconds of the wall."""

    method: Seconds = Field(description="the method, without I_D where that comes from the store")
    evaluation: Seconds = Field(description="all scores")
    full_importance: Seconds | None = Field(
        description="computing I_D, once for a network; null: the method takes none"
    )


class Sizes(Part):
    """How many training images there are."""

    D: Count = Field(description="all")
    D_f: Count = Field(description="forgotten")

    @model_validator(mode="after")
    def _check(self):
        if self.D_f > self.D:
            raise ValueError("sizes.D_f is larger than sizes.D")
        return self


class Suitability(Part):
    """What the importances said before the network was changed. SSD and its relatives only."""

    denominator: Word = Field(
        description="D, or D_r: by whose importances those of D_f are divided. D holds D_f, and "
        "so part of the overlap with I_D is I_Df's own; that with I_Dr is smaller"
    )
    overlap: Share | None = Field(
        None,
        description="cosine of I_D (or I_Dr) and I_Df over all parameters; missing where either "
        "is zero everywhere",
    )
    overlap_by_layer: dict[str, Share] = Field(
        description="the same for each module that has parameters, from input to output"
    )
    selected: dict[Alpha, Share] = Field(
        description="share of the parameters that each alpha would select"
    )
    ceiling: Annotated[float, Field(ge=1, le=1e12)] | None = Field(
        None,
        description="D's size over D_f's: an alpha as large selects nothing where D's batches over "
        "D_f are D_f's own; missing with I_Dr, which has no ceiling",
    )
    adaptive_alpha: NotNegative | None = Field(
        None, description="Adaptive SSD's alpha (s = 1), where the method has computed it"
    )


class Subsample(Part):
    """Of how many images a method used a sample."""

    retain: CountOrZero = Field(description="images of D_r")
    forget: CountOrZero = Field(description="images of D_f")


class Outputs(Part):
    """The network's outputs that -outputs has kept next to the record."""

    file: Name = Field(description="its name; it lies next to the record")
    checksum: Name = Field(description="SHA-256 of its tensors")
    bytes: Count = Field(description="its size")
    accuracy: dict[Word, Percent] = Field(
        description="forget and retain: on all training images of D_f and of D_r; test: on all "
        "test images; percent, by the labels that the data set has"
    )


class LinearProbe(Part):
    """A logistic regression on the network's features. -probes only."""

    forget: Percent = Field(description="its accuracy on test images of D_f, percent")
    retain: Percent = Field(description="on those of D_r, percent")


class Prototype(Part):
    """Five images of D_f mend the head's row of its class. -probes only."""

    forget_before: Percent = Field(description="accuracy on test images of D_f before, percent")
    forget: Percent = Field(description="after, percent")
    retain: Percent = Field(description="on test images of D_r after, percent")


class Relearning(Part):
    """The accuracy on D_f while a copy of the network is trained on. -probes only."""

    steps: list[CountOrZero] = Field(description="after which each accuracy was taken")
    retain: list[Percent] = Field(description="where it is trained on D_r, percent")
    forget: list[Percent] = Field(description="where it is trained on ten images of D_f, percent")


class Poison(Part):
    """Whether the network knows the noise of its forgotten images. -corruption gaussian only."""

    count: Count = Field(description="images")
    mean: float = Field(description="mean of I, which is N(0, 1) for a network that never saw it")
    below: Share = Field(description="share of images with I below -2.33, where N(0, 1) has 1 %")
    above: Share = Field(description="share of images with I above 2.33")


class Probes(Part):
    """What the network still holds. A probe that the task does not allow is missing."""

    linear: LinearProbe | None = Field(None, description="logistic regression on features")
    prototype: Prototype | None = Field(None, description="five images mend the head")
    relearning: Relearning | None = Field(None, description="how fast D_f comes back")
    poison: Poison | None = Field(None, description="the noise of the forgotten images")


class Earlier(Part):
    """What the network had forgotten before this run."""

    forget: Name = Field(description="what was forgotten")


def _command(text: str) -> str:
    shlex.split(text)  # ValueError where it is no command line
    return text


class Record(Part):
    """What one run leaves: a JSON file."""

    task: Word = Field(description="full_class, sub_class, random, corrupted")
    command: Annotated[str, AfterValidator(_command)] | None = Field(
        None, description="the command line that makes this record again"
    )
    config: Config = Field(description="what was asked for")
    scores: Scores = Field(description="how well the network does after unlearning")
    collapse: list[str] = Field(description="in which ways the run collapsed; one sentence each")
    unchanged: list[str] | None = Field(
        None, description="that the method left D_f as it was; one sentence"
    )
    seconds: Times = Field(description="what the run took, in seconds")
    sizes: Sizes | None = Field(None, description="numbers of training images")
    selected: Share | None = Field(
        description="share of the parameters that were dampened; null: the method selects none"
    )
    selected_by_name: dict[str, Share] | None = Field(
        None, description="the same for each parameter tensor"
    )
    adaptive_alpha: NotNegative | None = Field(
        None, description="the alpha that an adaptive method found"
    )
    forget_passes: Count | None = Field(
        None, description="passes over D_f that a method with a stop rule took (npo, ascent)"
    )
    suitability: Suitability | None = Field(
        None, description="what the importances said before the network was changed"
    )
    subsample: Subsample | None = Field(None, description="the images that a method sampled")
    duplicates: Settings | None = Field(None, description="counts of identical images")
    outputs: Outputs | None = Field(None, description="the network's outputs, where kept")
    probes: Probes | None = Field(None, description="what the network still holds")
    forgotten_before: list[Earlier] | None = Field(
        None, description="what the network had forgotten before, oldest first"
    )
    class_accuracy: dict[str, Percent | None] | None = Field(
        None, description="accuracy of each class on its test images, percent; null: no image"
    )
    forget_predictions: dict[str, Count] | None = Field(
        None, description="how many of the images on which D_f is measured go to each class"
    )
    entropy_histogram: Annotated[list[CountOrZero], Field(min_length=BINS, max_length=BINS)] = (
        Field(description="D_f's images by their entropy, in 20 equal parts of 0 to ln C")
    )
    weights_hash: Name = Field(description="SHA-256 of the original network's weights")
    data_hash: Name = Field(description="SHA-256 of the training data, in the order of D")
    test_hash: str | None = Field(None, description="SHA-256 of the test data")
    data_source: Word | None = Field(
        None, description="CIFAR: archive (the official one), or folders of images"
    )
    forget_hash: str | None = Field(None, description="SHA-256 of D_f's positions")
    device: str = Field(description="processor and threads, or graphics card")
    commit: str | None = Field(description="of the code; null: not in a git repository")
    date: Day | None = Field(None, description="day, UTC")

    @model_validator(mode="after")
    def _check(self):
        if sum(self.entropy_histogram) == 0:
            raise ValueError("entropy_histogram must count some images")
        self._check_zrf()
        self._check_corruption()
        names = (self.task, self.config.net, self.config.dataset, self.config.protocol)
        if len("".join(names).encode(errors="replace")) > MOST_BYTES:
            raise ValueError(
                f"task, net, dataset and protocol have more than {MOST_BYTES} bytes together"
            )
        return self

    def _check_zrf(self):
        """By the paper ZRF lies in [1 - ln 2, 1]; nothing bounds the released form below."""
        departures = self.config.departures or []
        as_released = self.config.protocol != "paper" or "zrf_by_elementwise_kl" in departures
        lowest = 1 - math.log(2) - ROUNDING
        if not as_released and lowest > self.scores.ZRF:
            raise ValueError("scores.ZRF must lie between 1 - ln 2 (by the paper) and 1")

    def _check_corruption(self):
        """A run that heals says what; no other run does."""
        config = self.config
        parts = (config.corruption, config.corrupt_count, config.known_share)
        heals = self.task in TASKS and TASKS[self.task].heals
        if heals and None in parts:
            raise ValueError("config must say corruption, corrupt_count and known_share")
        if not heals and config.corruption is not None and self.task in TASKS:
            raise ValueError(f"config.corruption cannot be where the task is {self.task}")


def reason_against(record: Any) -> str:
    """Why a value is no record of this version, in one line; empty where it is one."""
    try:
        Record.model_validate(record)
    except ValidationError as error:
        return _in_words(error.errors()[0])
    except RecursionError:
        return "it is nested too deeply"
    return ""


def _in_words(error):
    """The first mistake that pydantic has found, in one line."""
    place = [part for part in error["loc"] if part != "lambda_"]
    field = ".".join(str(part) for part in place)
    if error["type"] == "missing":
        return f"{field} is missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error" and not isinstance(error["input"], str):
        return message
    value = " ".join(repr(error["input"]).split())
    if len(value) > 40:
        value = f"{value[:40]}..."
    return f"{field or 'the file'} is {value}: {message}"


# ---- docs/records.md ----

HEAD = """# Records

Every run leaves one JSON file: `results/TASK/NET-DATASET-FORGET-METHOD-seedSEED-HASH.json`. The
hash is of all that moves the numbers of the run. The same command finds its record again and does
nothing.

This page is made from `runs/schema.py` (`python -m runs.schema > docs/records.md`).
"""


def page() -> str:
    """docs/records.md."""
    lines = [HEAD]
    parts: dict[str, type[Part]] = {
        "": Record,
        "config": Config,
        "scores": Scores,
        "seconds": Times,
        "sizes": Sizes,
        "suitability": Suitability,
        "subsample": Subsample,
        "outputs": Outputs,
        "probes": Probes,
        "probes.linear": LinearProbe,
        "probes.prototype": Prototype,
        "probes.relearning": Relearning,
        "probes.poison": Poison,
        "forgotten_before[]": Earlier,
    }
    for name, part in parts.items():
        title = f"`{name}`" if name else "The file"
        lines += [f"## {title}", "", part.__doc__ or "", ""]
        lines += ["| field | in every record | meaning |", "| --- | --- | --- |"]
        for field, info in part.model_fields.items():
            always = "yes" if info.is_required() else "no"
            lines.append(f"| `{info.alias or field}` | {always} | {info.description} |")
        lines.append("")
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    print(page())
