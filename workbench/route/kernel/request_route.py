"""The kernel's route with a split by request: a connector process beside the router."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from ... import atomic
from ...errors import StagingError
from ...store import owner
from ..base import Halt
from ..statefile import file_lock
from .route import KernelRoute

IMPLEMENTATION = "kernel (sk_lookup, requests by sockmap)"
_POLL_S = 0.005


class RequestRoute(KernelRoute):
    """A :class:`KernelRoute` that splits the requests of a kept HTTP/1.1 connection too.

    Beside the router's files its folder holds ``connector.json`` (who runs, once clients are sent there),
    ``connector.owner`` (who was started last) and the connector's log.
    """

    implementation = IMPLEMENTATION
    by_request = True

    def wait_ready(self, timeout_s: float) -> str:
        """Return the service's URL once the kernel splits requests.

        Raises
        ------
        PortInUse
            If another process has the asked port.
        StagingError, TraceError, NoPrivilege
            If it did not start.
        """
        url = super().wait_ready(timeout_s)
        self._start_connector()
        until = time.monotonic() + timeout_s
        while not self._connects():
            if not owner.alive(self._started()) or time.monotonic() > until:
                log = str(self._connector("log"))
                raise StagingError("the route's connector did not start", where=log, fix="read its log")
            time.sleep(_POLL_S)
        return url

    def alive(self) -> bool:
        """Whether router and connector run; without the latter new connections are split, not requests."""
        return self._routes() and ("port" not in self._known() or self._connects())

    def stop(self, halt: Halt) -> None:
        """Close the address, end the router, and the connector once it has answered what is in flight."""
        super().stop(halt)
        halt(self._started())

    def _connects(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            ready: dict[str, Any] = json.loads(self._connector("json").read_bytes())
            return owner.alive(ready["owner"])
        return False

    def _started(self) -> str:
        with contextlib.suppress(OSError):
            return self._connector("owner").read_text()
        return ""

    def _start_connector(self) -> None:
        with file_lock(self.folder / "connector-start.lock"):
            if self._connects() or owner.alive(self._started()):  # another's start: two would be one too many
                return
            ready = self._connector("json")
            ready.unlink(missing_ok=True)
            command = [sys.executable, "-m", "workbench.route.kernel.connector"]
            command += ["--router", str(self._socket()), "--key", self.key, "--ready-file", str(ready)]
            who = self._launch(command, self._connector("log"))
            atomic.write_bytes(self._connector("owner"), who.encode())

    def _connector(self, kind: str) -> Path:
        return self.folder / f"connector.{kind}"
