"""Seeds that hold wherever a step runs: for generators that are there already, and for those imported later.

A warm worker has torch loaded before the step begins, a fresh container loads it in the middle; both must draw the
same numbers.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_SEED: Mapping[str, Callable[[Any, int], object]] = {
    "numpy.random": lambda module, seed: module.seed(seed % 2**32),
    "torch": lambda module, seed: module.manual_seed(seed),
}


class _Later(MetaPathFinder):
    """Seeds a module right after it was imported."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the usual spec of a module that has a generator, with a loader that seeds it; else None."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in _SEED else None
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def seeded(module: ModuleType) -> None:
            load(module)
            _SEED[fullname](module, self._seed)

        spec.loader.exec_module = seeded  # type: ignore[method-assign]
        return spec


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let every generator start from a seed: Python's, numpy's and torch's global ones.

    Examples
    --------
    >>> with seeded(7):
    ...     first = random.random()
    >>> with seeded(7):
    ...     first == random.random()
    True
    """
    random.seed(seed)
    for name, start in _SEED.items():
        if name in sys.modules:
            start(sys.modules[name], seed)
    later = _Later(seed)
    sys.meta_path.insert(0, later)
    try:
        yield
    finally:
        sys.meta_path.remove(later)
