"""What the audits say of a pool: numbers with their nulls, and what could not be measured."""

from dataclasses import dataclass

from torch import Tensor

from audits import AUDITS
from audits._audit import Audit, Column
from audits.halves import Estimate, measured, of_images
from audits.networks import Networks
from audits.pool import Aligned, Pool, aligned, missing, only_with
from common.console import progress
from reports.audited import AS_RETRAIN, WORSE

NOTHING_TO_SEE = "retrain and the original do not differ in it, or the task does not allow it"


@dataclass(frozen=True)
class Value:
    """One number of one audit for one method, between its null and the originals' number."""

    value: Estimate
    floor: Estimate  # of retrained networks that were held out, in the method's place
    ceiling: Estimate  # of the originals in the method's place
    column: Column
    side: int  # networks a side

    @property
    def verdict(self) -> str:
        """Whether the value is one that a true retrain may get with as many networks.

        Empty where the networks are too few to say: with one there is no interval.
        """
        if self.side < 2:
            return ""
        too_high = self.value.mean > self.floor.high
        too_low = self.value.mean < self.floor.low
        is_worse = {"low": too_high, "high": too_low, "near": too_high or too_low}
        return WORSE if is_worse[self.column.better] else AS_RETRAIN


@dataclass(frozen=True)
class Refusal:
    """Why an audit was not measured for a method."""

    reason: str


@dataclass(frozen=True)
class Result:
    """What the audits say of one method on one forget set."""

    pool: Pool
    label: str  # of the method's row
    seeds: list[int]  # training seeds that were used
    lacking: list[int]  # training seeds of the pool that the method has no outputs of
    audits: dict[str, dict[str, Value] | Refusal]  # {name of an audit: {column: value}}
    # {name of an audit: its number of each forgotten image, ascending}, of the method, of held-out
    # retrains and of the originals, for the audits that have it
    images: dict[str, list[Tensor]]

    @property
    def side(self) -> int:
        """Networks a side, where an audit does not need runs with -probes."""
        return side_of(self.seeds)


def side_of(seeds: list[int]) -> int:
    """Networks a side: half of the trained networks; a single one is on both sides."""
    return max(1, len(seeds) // 2) if seeds else 0


def results_of(pools: list[Pool]) -> list[Result]:
    """A Result for each method of each pool, in the order of the tables."""
    asked = []
    for pool in pools:
        asked += [(pool, label) for label in pool.candidates]
    nulls: dict = {}  # {(pool's place, seeds, audit): (floor, ceiling)}: methods share them
    return [_result(pool, label, nulls) for pool, label in progress(asked, "auditing")]


def _result(pool, label, nulls):
    runs = pool.candidates[label]
    networks = aligned(pool, runs)
    audits: dict[str, dict[str, Value] | Refusal] = {}
    images = {}
    for name, audit in AUDITS.items():
        members = only_with(audit.needs, networks)
        reason = _reason_against(audit, members, networks)
        values = {} if reason else _values(name, pool, members, nulls)
        audits[name] = values or Refusal(reason or NOTHING_TO_SEE)
        if values and audit.of_images is not None:
            kinds = (members.candidate, members.retrained, members.original)
            images[name] = [of_images(audit, kind, members.retrained) for kind in kinds]
    return Result(pool, label, networks.seeds, missing(pool, runs), audits, images)


def _reason_against(audit: Audit, members: Aligned, networks: Aligned) -> str:
    """Why an audit cannot be measured; empty where it can.

    members: those of the networks that have what it needs.
    """
    needed = 1 if audit.least == 1 else 2 * audit.least
    count = len(members.seeds)
    if count < len(networks.seeds) and count < needed:
        return f"needs {needed} trained networks with -probes, has {count}"
    if count < needed:
        return f"needs {needed} trained networks, has {count}"
    if audit.least > 1 and _copies(members.candidate):
        return "several training seeds have one and the same network"
    return ""


def _copies(candidate: Networks):
    """Whether networks of different seeds started from equal weights: then they are one draw."""
    weights = {record["weights_hash"] for record in candidate.records}
    return len(weights) < len(candidate)


def _values(name, pool, networks, nulls):
    """{column: Value} of an audit."""
    audit = AUDITS[name]
    retrained, original = networks.retrained, networks.original
    key = (id(pool), tuple(networks.seeds), name)
    if key not in nulls:
        floor = measured(audit, retrained, retrained, original)
        ceiling = measured(audit, original, retrained, original)
        nulls[key] = floor, ceiling
    floor, ceiling = nulls[key]
    values = measured(audit, networks.candidate, retrained, original)
    side = side_of(networks.seeds)
    columns = {}
    for column, kind in audit.columns.items():
        if column in values and column in floor and column in ceiling:
            columns[column] = Value(values[column], floor[column], ceiling[column], kind, side)
    return columns
