"""What a process that does many runs keeps from one run to the next."""

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Any

from cachetools import LRUCache


class Cache:
    """Data, networks and importances of the last runs, by kind; passed to the scripts' main().

    size: how many values of a kind are kept; 0, for a process that does a single run, keeps none.
    """

    def __init__(self, size: int = 0):
        self.size = size
        self._kept: dict[str, LRUCache] = defaultdict(lambda: LRUCache(size))

    @property
    def serves_many_runs(self) -> bool:
        """Whether this process does many runs. It then does not wait for a run of another's."""
        return self.size > 0

    def kept(self, kind: str, key: Hashable, compute: Callable[[], Any]) -> Any:
        """The value of this kind and key if it is kept; else compute(), which is then kept.

        key names all that the value depends on. Nobody may change the value.
        """
        if not self.size:
            return compute()
        values = self._kept[kind]
        if key not in values:
            values[key] = compute()
        return values[key]


WORKERS_CACHE = 2  # values of a kind that a sweep's worker keeps
