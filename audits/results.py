"""What the audits say of a pool: numbers with their nulls, and what could not be measured."""

from dataclasses import dataclass

from audits import AUDITS
from audits._audit import Audit, Column
from audits.halves import Estimate, measured
from audits.networks import Networks
from audits.pool import Aligned, Pool, aligned, missing
from common.console import progress

AS_RETRAIN, WORSE = "as retrain", "not as retrain"


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

    @property
    def side(self) -> int:
        """Networks a side: half of the training seeds; with one it is on both sides."""
        return max(1, len(self.seeds) // 2) if self.seeds else 0


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
    side = max(1, len(networks.seeds) // 2)
    audits = {}
    for name, audit in AUDITS.items():
        reason = _reason_against(audit, networks, side)
        if reason:
            audits[name] = Refusal(reason)
        else:
            audits[name] = _values(name, pool, networks, side, nulls)
    return Result(pool, label, networks.seeds, missing(pool, runs), audits)


def _reason_against(audit: Audit, networks: Aligned, side: int) -> str:
    """Why an audit cannot be measured; empty where it can."""
    count = len(networks.seeds)
    if count < 2 * audit.least and audit.least > 1:
        return f"needs {2 * audit.least} trained networks, has {count}"
    if count == 0:
        return "no training seed has outputs of the method, of retrain and of baseline"
    if audit.needs == "features" and not networks.retrained.features:
        return "needs runs with -probes"
    if audit.needs == "probes" and not _have_probes(networks):
        return "needs runs with -probes"
    if audit.least > 1 and _copies(networks.candidate):
        return "several training seeds have one and the same network"
    return ""


def _have_probes(networks):
    for kind in (networks.candidate, networks.retrained, networks.original):
        if not all("probes" in record for record in kind.records):
            return False
    return True


def _copies(candidate: Networks):
    """Whether networks of different seeds started from equal weights: then they are one draw."""
    weights = {record["weights_hash"] for record in candidate.records}
    return len(weights) < len(candidate)


def _values(name, pool, networks, side, nulls):
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
    columns = {}
    for column, value in values.items():
        columns[column] = Value(value, floor[column], ceiling[column], audit.columns[column], side)
    return columns
