"""What the user typed and where: noted with the run, so that a panel can show the line and lead to the cell."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..store import Store

KIND = "run.asked"
"""Kind of the event that holds it."""


@dataclass(frozen=True)
class Asked:
    """One question of a user.

    Parameters
    ----------
    line
        As typed: ``%mlops quantize minilm --scheme int8``.
    cell
        Id of the notebook cell; empty outside a notebook.
    """

    line: str
    cell: str = ""


_NOW: ContextVar[Asked | None] = ContextVar("asked", default=None)


@contextlib.contextmanager
def asking(line: str, cell: str = "") -> Iterator[None]:
    """Note, for every run that starts inside, what was typed."""
    token = _NOW.set(Asked(line, cell))
    try:
        yield
    finally:
        _NOW.reset(token)


def line_of(store: Store, run_id: str) -> Asked | None:
    """Return what was typed for a run; None when nobody typed anything."""
    first = store.events.since(0, run_id, limit=1)
    return Asked(**first[0].payload) if first and first[0].kind == KIND else None


def note(store: Store, run_id: str) -> None:
    """Write down what was typed for a run, if somebody typed something."""
    asked = _NOW.get()
    if asked is not None:
        store.events.append(run_id, -1, KIND, asdict(asked))
