"""What every tier is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..builder import TraceBuilder
from ..policy import Policy


@dataclass(frozen=True)
class Wanted:
    """What a session asked for: probe names, samples a second, the process, what it may touch, a sample of the heap."""

    probes: tuple[str, ...]
    hz: int
    pid: int
    policy: Policy | None = None
    enforce: bool = False
    heap_sample: int = 0


class Tier(Protocol):
    """One way to trace."""

    def start(self) -> None:
        """Begin; raises a WorkbenchError and leaves nothing behind when this machine does not allow it."""

    def stop(self) -> TraceBuilder:
        """End and return what was seen."""
