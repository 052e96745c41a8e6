"""What the harness knows of a method besides its code. The one place that reads signatures."""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from learning.protocol import Protocol
from splits import Split

# Figures colour by it. control: no method to use, but one that an honest score must see through.
FAMILIES = ("original", "goal", "ssd", "other", "control")


@dataclass(frozen=True)
class Method:
    """An unlearning method and what the harness must know of it.

    `unlearn(model, split, *, hyper-parameters) -> model` changes the model that it is given or
    makes a new one. It does not evaluate, log, time, seed or parse. Its signature says what it is
    given:

    - A parameter with a number as default, or of type `Literal[...]`, is a hyper-parameter: -set
      changes it. `Literal` lists its words; `float | None` stands for a value that `defaults`
      resolves. A `str` default (measure) is recorded and fixed.
    - A parameter named alpha, lam, batch_size, recipe, protocol, untrained, per_sample,
      full_importance or notes is given by the run. batch_size may have a default of its own.

    What a run should record next to the scores, the method writes into `notes`, a dict.

    Annotations are read, so a method's file has no `from __future__ import annotations`.
    """

    unlearn: Callable[..., nn.Module]
    family: str  # what sort of method it is: one of FAMILIES
    draws_for_class: bool = True  # whether it draws random numbers where a class is forgotten
    needs_class: bool = False  # whether D_f must be a class or a sub-class
    heals: bool = False  # whether the experiments run it on corrupted training data
    too_slow_on: tuple[str, ...] = ()  # networks on which the experiments omit it
    optimizer: dict = field(default_factory=dict)  # its optimiser's settings, for the record
    ranges: dict = field(default_factory=dict)  # {hyper-parameter: (low, high)} for tune.py
    aliases: tuple[str, ...] = ()  # its names in the released scripts
    # (model, split, batch_size, chosen) -> {name: value} of the defaults that depend on them.
    # batch_size: the task's; chosen: {name: value} that the user has set.
    defaults: Callable[..., dict] | None = None
    # (model, split, protocol=..., **values in effect): UserError where these cannot be.
    check: Callable[..., None] | None = None
    # protocol -> keyword arguments of metrics.score, where the released code scores it otherwise.
    scoring: Callable[[Protocol], dict] | None = None
    # (recipe, batch_size, protocol) -> {name: value}: the hyper-parameters of a method that trains
    # by the recipe of the original network.
    by_recipe: Callable[[dict, int, Protocol], dict] | None = None

    def __post_init__(self):
        assert self.family in FAMILIES, self.family

    @property
    def is_original(self) -> bool:
        """Whether it is the original network, which nothing is done to."""
        return self.family == "original"

    @property
    def is_goal(self) -> bool:
        """Whether it is the goal that the others are measured against: retraining without D_f."""
        return self.family == "goal"

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """{name: parameter} of the signature."""
        return dict(inspect.signature(self.unlearn).parameters)

    def takes(self, name: str) -> bool:
        """Whether the signature has a parameter of this name."""
        return name in self.parameters

    @property
    def measure(self) -> str | None:
        """The importance of D that a run may compute once and keep; None: the method takes none."""
        if not self.takes("full_importance"):
            return None
        return self.parameters["measure"].default

    @property
    def settable(self) -> dict[str, inspect.Parameter]:
        """{name: parameter} of what -set takes."""
        return {name: p for name, p in self.parameters.items() if kind_of(p) is not None}

    def values_in_effect(
        self, chosen: dict, model: nn.Module, split: Split, batch_size: int
    ) -> dict:
        """{name: value} of the hyper-parameters: those chosen with -set, else the defaults.

        batch_size: the task's; it counts where the method has none of its own.
        """
        values = {}
        for name, parameter in self.parameters.items():
            if name == "batch_size" and parameter.default is inspect.Parameter.empty:
                values[name] = batch_size
            elif kind_of(parameter) is not None or isinstance(parameter.default, str):
                values[name] = parameter.default
        if self.defaults is not None:
            values |= self.defaults(model, split, batch_size, chosen)
        return values | chosen

    def hyperparameters(self, values: dict, recipe: dict, protocol: Protocol) -> dict:
        """Every hyper-parameter as a record holds it: the values in effect and the optimiser's."""
        if self.by_recipe is not None:
            values = self.by_recipe(recipe, values["batch_size"], protocol)
        return {**values, **self.optimizer}


def kind_of(parameter: inspect.Parameter) -> type | tuple[str, ...] | None:
    """What -set takes for a parameter: int, float, or one of some words; None: the run gives it."""
    choices = typing.get_args(parameter.annotation)
    for kind in (float, int):
        if kind in choices:  # float | None: `defaults` resolves None
            return kind
    if choices and all(isinstance(choice, str) for choice in choices):
        return choices
    if type(parameter.default) in (int, float):
        return type(parameter.default)
    return None


def resolved(defaults: dict, **given) -> dict:
    """{name: value} of the values given, with the default of that name where one is None."""
    values = {}
    for name, value in given.items():
        values[name] = defaults[name] if value is None else value
    return values
