"""A method from outside: a user's own function, or the METHOD that stands in their file."""

import functools
import inspect
from dataclasses import replace

from torch import nn

from common import references
from common.errors import UserError, is_out_of_memory
from methods._method import Method

# What a run gives to a method that asks for it by name (_method.py).
GIVEN = {"alpha", "lam", "batch_size", "recipe", "protocol", "untrained", "per_sample"}
GIVEN |= {"full_importance", "notes"}


def from_outside(reference: str) -> Method:
    """The method that a reference names. UserError where it does not keep the contract.

    It names a Method, or a function (model, split, *, ...) -> model. Of a function the METHOD in
    the same file is taken, where it is that function's.
    """
    named = references.resolved(reference)
    if isinstance(named, Method):
        method = named
    elif callable(named):
        stated = references.beside(reference, "METHOD")
        is_of_function = isinstance(stated, Method) and stated.unlearn is named
        method = stated if is_of_function else Method(named, family="other")
    else:
        raise UserError(f"{reference} is {type(named).__name__} and no method; name its function")
    _check_signature(reference, method)
    return replace(method, unlearn=_guarded(reference, method.unlearn))


def _guarded(reference, unlearn):
    """The function, whose mistakes are told in one line. It has the same signature."""

    @functools.wraps(unlearn)
    def guarded(model, split, **settings):
        form = [tuple(p.shape) for p in model.parameters()]
        try:
            result = unlearn(model, split, **settings)
        except (UserError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):
                raise
            raise UserError(
                f"{reference} raised {type(error).__name__}: {error}; mend the function"
            ) from error
        is_network = isinstance(result, nn.Module)
        if not is_network or [tuple(p.shape) for p in result.parameters()] != form:
            raise UserError(
                f"{reference} must return the unlearned network, of the form of the one it is "
                f"given; it returned {type(result).__name__}"
            )
        return result.eval()

    return guarded


def _check_signature(reference, method):
    model_and_split, others = list(method.parameters)[:2], list(method.parameters.values())[2:]
    if model_and_split != ["model", "split"]:
        raise UserError(
            f"{reference} takes ({', '.join(method.parameters)}); a method takes (model, split, *, "
            "its hyper-parameters): docs/extending.md"
        )
    if method.takes("full_importance") and not method.takes("measure"):
        raise UserError(
            f"{reference} asks for full_importance and says not of which kind; give it "
            'measure: str = "fisher", or another measure of ssd.importance'
        )
    for parameter in others:
        has_default = parameter.default is not inspect.Parameter.empty
        if not has_default and parameter.name not in GIVEN:
            raise UserError(
                f"{reference}: no run gives it {parameter.name!r}; give it a default, so that -set "
                f"can change it, or ask for one of {', '.join(sorted(GIVEN))}"
            )
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise UserError(
                f"{reference}: {parameter.name} must stand after a * in its signature, as "
                "(model, split, *, ...)"
            )
