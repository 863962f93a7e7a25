"""The seam between a deployment and whatever splits its traffic.

An implementation is a data path (a proxy process, or programs in the kernel) that follows the shared state
file. Its users change the state through it, ask what it does, and always show which one runs.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import PortInUse, ServeError
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


@dataclass(frozen=True)
class Inheritance:
    """What a replica's process inherits from its route.

    Parameters
    ----------
    handles
        Descriptors: the memory with the words that tell replicas to send their clients away; and the listening
        socket of the process before, if there was one, with the clients that wait in it.
    word
        The replica's place among the words.
    """

    handles: tuple[int, ...]
    word: int


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

    def grpc(self) -> str:
        """Return the service's address for gRPC, ``host:port``; empty where it has none."""

    def state(self) -> RouteState:
        """Return what the route is told to do."""

    def update(self, change: Callable[[RouteState], RouteState]) -> RouteState:
        """Apply a transition of :mod:`workbench.route.state`; in force for every request that comes later."""

    def watch_cuda(self, pid: int, file: int, returns: Sequence[int], launches: Sequence[int]) -> None:
        """Have a canary judged by the CUDA calls of its process too.

        Parameters
        ----------
        file
            Descriptor of a CUDA library that the process has loaded.
        returns, launches
            Where in it the functions are whose results count, and those that launch; bytes.
        """

    def refresh(self) -> None:
        """Do what the state says with what is better known by now, such as budgets learnt from traffic."""

    def prepare(self, replica_id: str) -> Inheritance | None:
        """Return what a new process of a replica inherits; the caller closes the descriptors afterwards."""

    def drained(self, endpoints: Sequence[Endpoint], timeout_s: float) -> bool:
        """Wait until the data path follows the newest state and asks nothing of `endpoints`.

        Returns
        -------
        bool
            Whether it came so in time.
        """

    def busy(self, endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
        """Return what undrained ones of `endpoints` still have to answer, a line each, with the counters."""

    def stats(self) -> RouteStats | None:
        """Return its counters; ``None`` while the data path does not run."""

    def stop(self, halt: Halt) -> None:
        """Close the address and end the data path; requests in flight finish first."""


def cannot_listen(error: OSError, host: str, port: int) -> ServeError:
    """Return the error for an address that a route asked for and did not get."""
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"port {port} is taken by another process", where=where, fix="choose another --port or none"
        )
    fix = "leave --port out, and a free one is taken"
    if error.errno == errno.EACCES:
        fix = f"choose a --port above 1023, or none: the system keeps {port} for root"
    return ServeError(f"cannot listen: {error.strerror}", where=where, fix=fix)
