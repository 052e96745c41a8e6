"""What the harness knows of the tasks and methods that records name.

A record of another version may name a task or a method that this version does not have. Such a
record is shown all the same, by its names.
"""

from methods import METHODS, Method
from runs.tasks import TASKS, Task


def _unknown(model, split):
    raise NotImplementedError


UNKNOWN_METHOD = Method(_unknown, family="other")


def task(name: str) -> Task:
    """The task of that name; of one that this version does not have, only its name."""
    unknown = Task(name, title=name, batch_size=0, add_flags=None, check=None, forgotten=None)
    return TASKS.get(name, unknown)


def method(name: str) -> Method:
    """The method of that name; one that this version does not have is of no family."""
    return METHODS.get(name, UNKNOWN_METHOD)


def place_of_task(name: str) -> int:
    """Its place among the tasks; one that this version does not have comes last."""
    return [*TASKS, name].index(name)


def place_of_method(name: str) -> int:
    """Its place among the methods; one that this version does not have comes last."""
    return [*METHODS, name].index(name)


def is_reference(name: str) -> bool:
    """Whether the method is what others are measured against: the goal, or the original."""
    return method(name).is_goal or method(name).is_original
