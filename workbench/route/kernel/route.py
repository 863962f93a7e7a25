"""The route whose data path is the kernel; its controllers share a state file, as those of the proxy do."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ... import atomic, codec
from ...bpf import capabilities
from ...errors import NoPrivilege, StagingError, WorkbenchError, from_json
from ...store import owner
from ..base import Halt, Inheritance, Launch
from ..meters import RouteStats, TrackStats
from ..policy import Verdict
from ..state import Endpoint, RouteState, roll_back
from ..statefile import StateFile, file_lock
from . import client, cuda
from .layout import GRPC, drain_word
from .listeners import listener_of
from .pinned import PINS
from .service import RIGHTS, router_pid, socket_path

IMPLEMENTATION = "kernel (sk_lookup)"
_POLL_S = 0.01
_REVIVE_S = 30.0


class KernelRoute:
    """A :class:`~workbench.route.base.Route` made of pinned programs and a small process that may change them.

    Parameters
    ----------
    folder
        A folder of its own; made when absent. Holds the state (``route.json``), who runs (``router.json``),
        the router's socket and log.
    launch
        Starts the router again when a controller finds it dead; the data path does not wait for that.
    port
        Of the service; 0 lets the system choose at the first start.
    """

    implementation = IMPLEMENTATION
    by_request = False

    def __init__(self, folder: Path, launch: Launch, *, port: int = 0) -> None:
        self.folder = folder
        self.log = folder / "router.log"
        self.key = _key(folder)
        self._launch, self._port = launch, port
        self._file = StateFile(folder / "route.json")
        self._about = folder / "router.json"

    def start(self, launch: Launch) -> None:
        """Start the router process unless it runs; :meth:`wait_ready` has it load the programs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file.create(RouteState())
        if self._shared():  # root starts it, and it restores what is pinned
            self._remember(shared=True)
            return
        with file_lock(self.folder / "router-start.lock"):
            if not self._routes():
                self._start(launch)

    def _start(self, launch: Launch) -> None:
        (self.folder / "router.error").unlink(missing_ok=True)
        command = [sys.executable, "-m", "workbench.route.kernel.router", "--folder", str(self.folder)]
        who = launch(command, self.log)
        self._remember(owner=who)

    def wait_ready(self, timeout_s: float) -> str:
        """Return the service's URL once the kernel splits its connections.

        Raises
        ------
        PortInUse
            If another process has the asked port.
        StagingError, TraceError, NoPrivilege
            If it did not start.
        """
        opened = self._open(int(self._known().get("port", self._port)), timeout_s)
        self._remember(port=opened["port"])
        self._apply(self._file.read())
        return self.url()

    def alive(self) -> bool:
        """Whether the router process runs; the kernel's split needs it only to change."""
        return self._routes()

    def _routes(self) -> bool:
        if self._shared():
            return bool(router_pid(socket_path()))
        return owner.alive(self._known().get("owner", ""))

    def _shared(self) -> bool:
        """Return whether the machine's router does our work: for an owner without rights of his own."""
        return bool(self._known().get("shared", not capabilities.held(RIGHTS)))

    def _socket(self) -> Path:
        return socket_path() if self._shared() else self.folder / "router.sock"

    def url(self) -> str:
        """Return the service's URL; empty before the first start."""
        port = self._known().get("port")
        return f"http://127.0.0.1:{port}" if port else ""

    def grpc(self) -> str:
        """Return the service's address for gRPC; empty while no replica answers it."""
        port = self._known().get("grpc_port")
        return f"127.0.0.1:{port}" if port else ""

    def state(self) -> RouteState:
        """Return what the route does: what it was told, and what the kernel has decided since."""
        if not self._file.path.exists():
            return RouteState()
        state = self._file.read()
        if state.canary is None or "port" not in self._known():
            return state
        after = self._reconciled(state)
        return state if after == state else self.update(lambda now: now)

    def update(self, change: Callable[[RouteState], RouteState]) -> RouteState:
        """Apply one transition; in force for every connection that comes later.

        Raises
        ------
        WorkbenchError
            If the kernel could not be told; the state is then what it was.
        """
        if "port" not in self._known():  # the first push, before the programs are loaded
            return self._file.update(change)
        seen: list[RouteState] = []

        def reconciled(state: RouteState) -> RouteState:
            seen[:] = [self._reconciled(state)]
            return change(seen[0])

        after = self._file.update(reconciled)
        try:
            self._apply(after)
        except WorkbenchError:
            self._file.update(lambda now: seen[0] if now == after else now)
            raise
        return after

    def refresh(self) -> None:
        """Tell the kernel again what the state says: it may have learnt from the stable track meanwhile."""
        if "port" in self._known():
            self._apply(self._file.read())

    def drained(self, endpoints: Sequence[Endpoint], timeout_s: float) -> bool:
        """Wait until these replicas answer nobody and no open connection has asked for a second."""
        until = time.monotonic() + timeout_s
        while self.busy(endpoints):
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_S)
        return True

    def busy(self, endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
        """Return what is left to answer, as the kernel counted it; a line each replica that is not drained."""
        if not endpoints or "port" not in self._known():
            return ()
        return tuple(self._ask({"do": "quiet", "words": [drain_word(e.id) for e in endpoints]})[0]["busy"])

    def prepare(self, replica_id: str) -> Inheritance:
        """Return what a new process of a replica inherits; the caller closes the descriptors afterwards."""
        if "port" not in self._known():
            self.wait_ready(_REVIVE_S)
        answer, handles = self._ask({"do": "prepare", "id": replica_id})
        return Inheritance(tuple(handles), int(answer["word"]))

    def watch_cuda(self, pid: int, file: int, returns: Sequence[int], launches: Sequence[int]) -> None:
        """Have a canary judged by the CUDA calls of its process too; the budget says what it may do."""
        offsets = {cuda.RETURN: list(returns), cuda.LAUNCH: list(launches)}
        self._ask({"do": "cuda", "pid": pid, "offsets": offsets}, [file])

    def stats(self) -> RouteStats | None:
        """Return the kernel's counters; ``None`` while the router does not answer."""
        if not self._routes() or "port" not in self._known():
            return None
        try:
            state = self._file.read()
            reading = self._reading(state)
        except WorkbenchError:
            return None
        tracks = {name: codec.from_json(one) for name, one in reading["tracks"].items()}
        return RouteStats(
            implementation=self.implementation,
            pid=router_pid(self._socket()),
            generation=reading["generation"],
            tracks={"stable": TrackStats(), "canary": TrackStats(), **tracks},
            in_flight=reading["in_flight"],
            unanswered=0,
        )

    def stop(self, halt: Halt) -> None:
        """Detach and unpin everything, then end the router."""
        if "port" in self._known():
            with contextlib.suppress(WorkbenchError):
                self._ask({"do": "close"})
        halt(self._known().get("owner", ""))  # the machine's router is nobody's to end, and has no owner here

    def _reconciled(self, state: RouteState) -> RouteState:
        """Return the state with the kernel's own roll-back, if it did one."""
        if state.canary is None:
            return state
        reading = self._reading(state)
        if reading["version"] != state.canary.version:
            return state
        evidence = codec.from_json(reading["verdict"])
        assert isinstance(evidence, Verdict)
        return roll_back(state, decided_ns=evidence.decided_ns, evidence=evidence, by="sentinel")

    def _reading(self, state: RouteState) -> dict[str, Any]:
        return self._ask({"do": "read", "state": codec.to_json(state), "listeners": []})[0]

    def _apply(self, state: RouteState) -> None:
        """Have the kernel do what the state says, handing over the listeners it lacks."""
        missing = self._reading(state)["missing"]
        ends = [e for t in (state.stable, state.canary) if t for e in t.endpoints]
        with contextlib.ExitStack() as stack:
            sockets = {}
            for one in ends:
                for name, port in ((one.id, one.port), (one.id + GRPC, one.grpc_port)):
                    if name in missing:
                        with contextlib.suppress(StagingError):  # it died: the supervisor starts it again
                            sockets[name] = stack.enter_context(listener_of(one.pid, port)).fileno()
            message = {"do": "apply", "state": codec.to_json(state), "listeners": list(sockets)}
            port = self._ask(message, list(sockets.values()))[0]["grpc_port"]
        if port != self._known().get("grpc_port", 0):
            self._remember(grpc_port=port)

    def _ask(self, message: dict[str, Any], handles: Sequence[int] = ()) -> tuple[dict[str, Any], list[int]]:
        try:
            return client.ask(self._socket(), {"key": self.key, **message}, handles)
        except client.RouterAbsent:
            self._revive()
            return client.ask(self._socket(), {"key": self.key, **message}, handles)

    def _revive(self) -> None:
        self.start(self._launch)
        self._open(int(self._known()["port"]), _REVIVE_S)

    def _open(self, port: int, timeout_s: float) -> dict[str, Any]:
        until = time.monotonic() + timeout_s
        while True:
            try:
                ask = {"do": "open", "key": self.key, "port": port, "by_request": self.by_request}
                return client.ask(self._socket(), ask)[0]
            except client.RouterAbsent:
                self._raise_start_error()
                if not self._routes() or time.monotonic() > until:
                    raise
                time.sleep(_POLL_S)

    def _raise_start_error(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            raise from_json(json.loads((self.folder / "router.error").read_bytes()))

    def _remember(self, **facts: Any) -> None:
        """Write down what others must know; two at once lose nothing of either."""
        with file_lock(self.folder / "router-about.lock"):
            atomic.write_bytes(self._about, json.dumps({**self._known(), **facts}).encode())

    def _known(self) -> dict[str, Any]:
        try:
            known = json.loads(self._about.read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def remove_pins(folder: Path) -> None:
    """Unpin what a deployment's folder had in the kernel, without its router; for root, after an accident.

    Raises
    ------
    NoPrivilege
        If we may not.
    """
    from .pinned import remove

    try:
        remove(PINS / str(os.geteuid()) / _key(folder))
    except PermissionError as error:
        raise NoPrivilege("what is pinned is the router's", where=str(PINS), fix="run as root") from error


def _key(folder: Path) -> str:
    """Return a deployment's name among what is pinned; a BPF file system allows no dots."""
    readable = re.sub(r"[^a-z0-9]+", "-", folder.parent.name.lower())[:40].strip("-") or "route"
    return f"{readable}-{hashlib.sha256(bytes(folder.resolve())).hexdigest()[:16]}"
