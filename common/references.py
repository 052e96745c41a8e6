"""What stands outside: networks, data sets and methods of a user's own, by where their code is.

A reference is `file.py:function`, relative to the folder that the command runs in, or
`package.module:function`. A Table takes references next to its names.
"""

import functools
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from common.errors import UserError
from common.files import sha256, stamp

LIBRARIES = ("timm", "torchvision")  # whose networks LIBRARY/NAME takes, untrained
WAY_OUT = "name file.py:function or package.module:function"


class Table(dict):
    """Entries by name. What is outside is an entry too, which from_outside(name) makes.

    Only [] takes what is outside; `in`, get and iteration know the names.
    """

    def __init__(self, entries: dict, from_outside: Callable[[str], Any]):
        super().__init__(entries)
        self.from_outside = from_outside

    def __missing__(self, name):
        if not is_outside(name):
            raise KeyError(name)
        return self.from_outside(name)


def is_reference(text: str) -> bool:
    """Whether a text has the form of a reference."""
    place, _, name = text.rpartition(":")
    return bool(place) and name.isidentifier()


def is_outside(text: str) -> bool:
    """Whether a text is a reference, or LIBRARY/NAME."""
    return is_reference(text) or text.startswith(tuple(f"{library}/" for library in LIBRARIES))


def resolved(reference: str) -> Any:
    """What a reference names. UserError where it is not there or its code cannot be imported."""
    module = _module_of(reference)
    name = reference.rpartition(":")[2]
    if not hasattr(module, name):
        raise UserError(f"{reference}: {_place(module)} has no {name}; {WAY_OUT}")
    return getattr(module, name)


def beside(reference: str, name: str, default: Any = None) -> Any:
    """What stands under `name` in the same file; else the default."""
    return getattr(_module_of(reference), name, default)


def source_hash(reference: str) -> str:
    """SHA-256 of the file that a reference's code stands in."""
    return sha256(Path(_place(_module_of(reference))).read_bytes())


def called(reference: str, *arguments) -> Any:
    """What the referenced function returns. UserError where it raises."""
    function = resolved(reference)
    if not callable(function):
        raise UserError(f"{reference} is {type(function).__name__} and no function; {WAY_OUT}")
    _check_takes(reference, function, len(arguments))
    try:
        return function(*arguments)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{reference} raised {type(error).__name__}: {error}; mend the function"
        ) from error


def _check_takes(reference, function, count):
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function of C has none
        return
    try:
        signature.bind(*range(count))
    except TypeError as error:
        raise UserError(
            f"{reference} must take {count} arguments, and its signature is {signature}; "
            "see docs/extending.md"
        ) from error


# ---- modules ----


def _module_of(reference):
    place = reference.rpartition(":")[0]
    if place.endswith(".py"):
        path = os.path.abspath(place)
        if not os.path.isfile(path):
            raise UserError(f"{reference}: there is no file {place}; {WAY_OUT}")
        return _module_in_file(path, stamp(path))
    return _module_by_name(place, reference, os.getcwd())


@functools.cache
def _module_in_file(path, version) -> ModuleType:
    """The module that the file holds. version: of the file, so that a changed one is read anew."""
    name = f"outside_{sha256(path)[:10]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{path} cannot be imported ({type(error).__name__}: {error}); mend it"
        ) from error
    return module


@functools.cache
def _module_by_name(name, reference, folder) -> ModuleType:
    """The module of an installed package, or of a package in the folder."""
    sys.path.append(folder)
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{reference}: {name} cannot be imported ({type(error).__name__}: {error}); {WAY_OUT}"
        ) from error
    finally:
        sys.path.remove(folder)
    if getattr(module, "__file__", None) is None:
        raise UserError(f"{reference}: {name} is no module with a file; {WAY_OUT}")
    return module


def _place(module) -> str:
    assert module.__file__ is not None
    return module.__file__
