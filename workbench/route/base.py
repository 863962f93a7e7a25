"""The seam between a deployment and whatever splits its traffic.

An implementation is a data path (a proxy process; later a program in the kernel) that follows the shared
state file. Its users change the state through it, ask what it does, and always show which one runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from .meters import RouteStats
from .state import Endpoint, RouteState

IMPLEMENTATION = "user-space proxy"
STATS_PATH = "/_mlops/stats"

Launch = Callable[[Sequence[str], Path], str]
"""Start this command as a detached process that logs to this file; return its owner text.

Whoever owns the processes passes it in.
"""

Halt = Callable[[str], object]
"""End the process of this owner text, gently if it lets us; return when it has gone."""


class Route(Protocol):
    """One service address and the split behind it."""

    implementation: str
    """What runs, for people: ``user-space proxy``."""

    def start(self, launch: Launch) -> None:
        """Make the data path run; return before it is ready."""

    def wait_ready(self, timeout_s: float) -> str:
        """Return the service's URL once the address answers.

        Raises
        ------
        PortInUse
            If another process has the asked port.
        StagingError
            If it did not start in time.
        """

    def alive(self) -> bool:
        """Whether the data path runs now."""

    def url(self) -> str:
        """Return the service's URL; empty before the first start."""

    def state(self) -> RouteState:
        """Return what the route is told to do."""

    def update(self, change: Callable[[RouteState], RouteState]) -> RouteState:
        """Apply a transition of :mod:`workbench.route.state`; in force for every request that comes later."""

    def drained(self, endpoints: Sequence[Endpoint], timeout_s: float) -> bool:
        """Wait until the data path follows the newest state and asks nothing of `endpoints`.

        Returns
        -------
        bool
            Whether it came so in time.
        """

    def stats(self) -> RouteStats | None:
        """Return its counters; ``None`` while the data path does not run."""

    def stop(self, halt: Halt) -> None:
        """Close the address and end the data path; requests in flight finish first."""
