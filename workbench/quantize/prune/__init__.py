"""Prune a program: remove whole channels, or set single weights to zero.

::

    config.py     what to remove (a recipe record)
    flow.py       which dimensions of which values hold the same channels: the dependency graph
    rules.py      how each operator passes channels on
    channels.py   score channels, cut them out of every weight that holds them
    masks.py      magnitude and N:M: which single weights become zero
    report.py     what was removed, layer by layer
    entry.py      prune_program: folder in, folder out
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import PruneConfig
from .report import PruneReport

if TYPE_CHECKING:
    from .entry import Pruned, prune_program

__all__ = ["PruneConfig", "PruneReport", "Pruned", "prune_program"]


def __getattr__(name: str) -> Any:
    if name in ("Pruned", "prune_program"):
        from . import entry

        return getattr(entry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
