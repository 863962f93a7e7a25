"""The route that works on every machine: a proxy process and the files it shares with its controllers."""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import atomic, codec
from ..errors import StagingError, from_json
from ..store import owner
from .base import IMPLEMENTATION, STATS_PATH, Halt, Launch
from .meters import RouteStats
from .state import Endpoint, RouteState
from .statefile import StateFile

_POLL_S = 0.005
_STATS_S = 2.0


class UserSpaceRoute:
    """A :class:`~workbench.route.base.Route` whose data path is ``python -m workbench.route.proxy``.

    Everything about it lies in `folder`, so any process may pick it up: the state (``route.json``), the
    proxy's ready file with its pid and ports (``proxy.json``), the process last launched (``proxy.owner``)
    and its log.

    Parameters
    ----------
    folder
        A folder of its own; made when absent.
    host, port
        The service's address. Port 0 lets the system choose at the first start; later starts keep that port.
    """

    implementation = IMPLEMENTATION

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.folder = folder
        self._host, self._port = host, port
        self._file = StateFile(folder / "route.json")
        self._ready, self._owner = folder / "proxy.json", folder / "proxy.owner"
        self.log = folder / "proxy.log"

    def start(self, launch: Launch) -> None:
        """Start the proxy on the address it had before, if it had one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file.create(RouteState())
        port = int(self._known().get("port", self._port))
        for path in (self._ready, self._error()):
            path.unlink(missing_ok=True)
        command = [sys.executable, "-m", "workbench.route.proxy", "--host", self._host, "--port", str(port)]
        command += ["--state", str(self._file.path), "--ready-file", str(self._ready)]
        self._port = port
        atomic.write_bytes(
            self._owner, json.dumps({"owner": launch(command, self.log), "port": port}).encode()
        )

    def wait_ready(self, timeout_s: float) -> str:
        """Return the service's URL once the proxy accepts connections.

        Raises
        ------
        PortInUse
            If another process has the asked port.
        StagingError
            If it died or was not ready in time.
        """
        until = time.monotonic() + timeout_s
        while not self._ready.exists():
            if self._error().exists():
                raise from_json(json.loads(self._error().read_bytes()))
            if not self.alive() or time.monotonic() > until:
                raise StagingError("the route's proxy did not start", where=str(self.log), fix="read its log")
            time.sleep(_POLL_S)
        return self.url()

    def alive(self) -> bool:
        """Whether the proxy runs now."""
        return owner.alive(self._known().get("owner", ""))

    def url(self) -> str:
        """Return the service's URL; empty before the first start."""
        port = self._known().get("port")
        return f"http://{self._host}:{port}" if port else ""

    def grpc(self) -> str:
        """Return nothing: the proxy passes HTTP/1.1 only, and gRPC goes to a replica's own address."""
        return ""

    def state(self) -> RouteState:
        """Return what the route is told to do: nothing yet before the first start."""
        return self._file.read() if self._file.path.exists() else RouteState()

    def update(self, change: Callable[[RouteState], RouteState]) -> RouteState:
        """Apply one transition; in force for every request that comes later."""
        return self._file.update(change)

    def watch_cuda(self, pid: int, file: int, returns: Sequence[int], launches: Sequence[int]) -> None:
        """Refuse: a proxy sees answers only.

        Raises
        ------
        StagingError
            Always.
        """
        raise StagingError("the proxy sees no CUDA calls", where="slo", fix="push with --route kernel")

    def refresh(self) -> None:
        """Do nothing: the proxy follows the file, and learns nothing."""

    def prepare(self, replica_id: str) -> None:
        """Return nothing: no client has a connection to a replica."""

    def drained(self, endpoints: Sequence[Endpoint], timeout_s: float) -> bool:
        """Wait until the proxy follows the newest state and asks nothing of `endpoints`; whether it came so.

        A proxy that does not run asks nothing of anybody.
        """
        until = time.monotonic() + timeout_s
        wanted = self.state().generation
        while stats := self.stats():
            if stats.generation >= wanted and not any(e.address in stats.in_flight for e in endpoints):
                return True
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_S)
        return True

    def busy(self, endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
        """Return how many requests `endpoints` have not answered, a line each that has one."""
        stats = self.stats()
        left = stats.in_flight if stats else {}
        return tuple(
            f"replica {e.id} (pid {e.pid}): {left[e.address]} requests without an answer"
            for e in endpoints
            if e.address in left
        )

    def stats(self) -> RouteStats | None:
        """Return the proxy's counters; ``None`` while it does not answer."""
        port = self._known().get("admin_port")
        if not port or not self.alive():
            return None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_STATS_S)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", STATS_PATH)
            stats = codec.loads(connection.getresponse().read())
            return stats if isinstance(stats, RouteStats) else None
        return None

    def stop(self, halt: Halt) -> None:
        """Close the address and end the proxy; requests in flight finish first."""
        halt(self._known().get("owner", ""))

    def _known(self) -> dict[str, Any]:
        """Return what is known of the proxy: from itself once it is ready, else from who launched it last."""
        for path in (self._ready, self._owner):
            with contextlib.suppress(OSError, ValueError):
                known = json.loads(path.read_bytes())
                if isinstance(known, dict):
                    return known
        return {}

    def _error(self) -> Path:
        return self._ready.with_name(self._ready.name + ".error")
