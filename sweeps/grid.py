"""What a grid of runs must know of tasks and methods; MAIN_run_experiments.sh asks for it.

    python -m sweeps.grid

prints a line for each fact:

    TASK METHOD once      the method draws no random number in this task: one seed is enough
    TASK METHOD refuses   the method cannot do this task
    NET METHOD too_slow   the method takes too long on this network
    TASK METHOD heals     the task heals a network, and the method can
"""

import common.threads  # noqa: F401 (before torch)

from common.console import run_script
from methods import METHODS
from runs.tasks import TASKS


def main():
    for name, method in METHODS.items():
        for fact in facts(name, method):
            print(*fact)


def facts(name, method):
    """Yields (task or network, the method's name, what holds for both)."""
    for task in TASKS.values():
        if task.forgets_class and not method.draws_for_class:
            yield task.name, name, "once"
        if method.needs_class and not task.forgets_class:
            yield task.name, name, "refuses"
        if task.heals and method.heals:
            yield task.name, name, "heals"
    for net in method.too_slow_on:
        yield net, name, "too_slow"


if __name__ == "__main__":
    run_script(main)
