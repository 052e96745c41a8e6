"""A run that is asked for: its settings, its configuration, where its record lies."""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import metrics
import splits
from common import references
from common.errors import UserError
from common.files import sha256
from learning.images import batches
from learning.protocol import PROTOCOLS, Protocol
from learning.recipes import recipe
from learning.training import trains_alone
from methods import METHODS, Method
from runs import inputs
from runs.cache import Cache
from runs.identity import record_path, recorded
from runs.inputs import Network
from runs.tasks import TASKS
from splits import Split


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """A run that is asked for. It knows where its record lies; nothing is forgotten yet."""

    args: argparse.Namespace
    cache: Cache
    split: Split
    network: Network  # that the run starts from
    recipe: dict  # by which that network was trained
    values: dict  # {name: value} of the method's hyper-parameters in effect
    config: dict  # of the record
    hashes: dict  # of the weights and the data

    @property
    def method(self) -> Method:
        return METHODS[self.args.method]

    @property
    def protocol(self) -> Protocol:
        return PROTOCOLS[self.args.protocol]

    @property
    def path(self) -> Path:
        """Where the record lies."""
        return record_path(self.config, self.hashes)

    def path_by(self, name: str) -> Path:
        """Where the record of the same run by the method `name` lies.

        That method takes no alpha and no lambda: the original, or retrain.
        """
        method = METHODS[name]
        values = method.values_in_effect({}, self.network.model, self.split, self.args.b)
        config = {
            **self.config,
            "method": name,
            "alpha": None,
            "lambda": None,
            "importance": None,
            "hyperparameters": method.hyperparameters(values, self.recipe, self.protocol),
        }
        return record_path(config, self.hashes)


def ask(
    args: argparse.Namespace,
    split: Split,
    ALPHA: dict,
    LAMBDA: dict,
    cache: Cache,
) -> Request:
    """The run that the flags ask for. UserError where its settings cannot be."""
    network = inputs.network(args, split.train, cache)
    split = splits.after_forgetting(split, network.metadata.get("forgotten", []))
    method, protocol = METHODS[args.method], PROTOCOLS[args.protocol]
    values = method.values_in_effect(args.set, network.model, split, args.b)
    if method.check is not None:
        method.check(network.model, split, protocol=protocol, **values)
    _check_zrf(args, network.model, split)
    learned_by = network.metadata.get("recipe") or recipe(args.net, args.dataset, args.recipe)
    return Request(
        args=args,
        cache=cache,
        split=split,
        network=network,
        recipe=learned_by,
        values=values,
        config=_configuration(args, split, network, learned_by, values, ALPHA, LAMBDA),
        hashes={
            "weights_hash": network.weights_hash,
            "data_hash": split.full.digest,
            "test_hash": split.retain_test.digest,
            "forget_hash": sha256(split.forget.index.cpu().sort().values),
        },
    )


def _configuration(args, split, network, learned_by, values, ALPHA, LAMBDA):
    """The flags as the record keeps them, with what they leave to tables, checkpoint and split."""
    method, protocol = METHODS[args.method], PROTOCOLS[args.protocol]
    usual = method.values_in_effect({}, network.model, split, args.b)
    departures = [name for name, released in asdict(protocol).items() if released]
    return {
        **recorded(args),
        **_outside(args),
        "forget": TASKS[args.task].forgotten(args, split),
        "train_seed": network.metadata.get("seed", args.train_seed),
        "train_numerics": network.metadata.get("recipe", {}).get("numerics", "fp32"),
        "alpha": _dial_if_taken(args, "alpha", ALPHA, method.takes("alpha")),
        "lambda": _dial_if_taken(args, "lambda", LAMBDA, method.takes("lam")),
        "importance": args.importance if method.takes("per_sample") else None,
        "departures": departures,
        "mia": dict(metrics.MIA_FIT),
        "set": {name: value for name, value in args.set.items() if value != usual[name]},
        "hyperparameters": method.hyperparameters(values, learned_by, protocol),
        "recipe": learned_by,
    }


def _outside(args):
    """{"outside": SHA-256 of the file of each part that stands outside}; {} where none does."""
    hashes = {}
    for part in ("net", "dataset", "method"):
        reference = getattr(args, part)
        if references.is_reference(reference):
            hashes[part] = references.source_hash(reference)
    return {"outside": hashes} if hashes else {}


def _dial_if_taken(args, flag, table, taken):
    """alpha or lambda where the method takes it; else None, and says so if the flag was given."""
    if taken:
        return dial(args, flag, table)
    if getattr(args, flag) is not None:
        print(f"-{flag} does nothing for {args.method}")
    return None


def dial(args: argparse.Namespace, flag: str, table: dict) -> float:
    """-alpha or -lambda: the flag, else the data set's row of the table, else the network's.

    table: ALPHA or LAMBDA of a script. UserError where none of them says.
    """
    rows = table.get(args.method, {})
    value = getattr(args, flag)
    if value is None:
        value = rows.get(args.dataset, rows.get(args.net))
    if value is None:
        value = _dial_outside(args, flag)
    if value is None:
        raise UserError(
            f"there is no published {flag} for {args.method} on {args.net}, {args.dataset}; "
            f"give one with -{flag}"
        )
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise UserError(f"-{flag} {value}: it must be a number of at least 0")
    return float(value)


def _dial_outside(args, flag):
    """ALPHA or LAMBDA in the file of a method or network from outside; None where it has none.

    A number, or a table {method: number}.
    """
    for part in (args.method, args.net):
        if references.is_reference(part):
            value = references.beside(part, flag.upper())
            if isinstance(value, dict):
                value = value.get(args.method)
            if value is not None:
                return value
    return None


def _check_zrf(args, model, split):
    """UserError where released ZRF would meet a batch of one image: it uses batch statistics."""
    if not scoring(args.method, PROTOCOLS[args.protocol])["untrained_in_train_mode"]:
        return
    forget_test = batches(split.forget_test, model, args.b)
    if forget_test.leaves_one and not trains_alone(model, forget_test.size):
        raise UserError(
            f"-b {args.b} leaves a batch of one image, of which BatchNorm cannot take ZRF as "
            "released; take another, or forget more images"
        )


def scoring(method: str, protocol: Protocol) -> dict:
    """Keyword arguments of metrics.score for a method under a protocol."""
    options = {"untrained_in_train_mode": protocol.zrf_by_elementwise_kl}
    by_method = METHODS[method].scoring
    if by_method is not None:
        options.update(by_method(protocol))
    return options
