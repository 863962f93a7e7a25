"""The process that may change what is in the kernel: ``python -m workbench.route.kernel.router``.

It starts as root (or with its three capabilities under a service manager), listens on ``FOLDER/router.sock`` for
the folder's owner or, as a service of the machine, for every user, gives up everything but CAP_BPF, CAP_PERFMON
and CAP_NET_ADMIN, and answers one message a connection (see `client`). The programs it loads are fixed, what they
do is data; the kernel vouches for who asks (``SO_PEERCRED``), and a user reaches only what was pinned for that
user. It holds nothing that matters: killed at any moment, the split and the roll-back go on, and the next one
finds what is pinned.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ... import codec
from ...bpf import capabilities
from ...bpf.libbpf import Library, open_pinned
from ...bpf.sockets import listen_for_all
from ...errors import BadRequest, NoPrivilege, ServeError, WorkbenchError
from ..state import RouteState
from . import apply as kernel
from . import cuda, pinned, reading
from .clients import serve
from .layout import GRPC, drain_word
from .pinned import PINS
from .requests import connect, load_requests
from .reserve import Reservation
from .service import RIGHTS
from .sweep import GRACE_S, is_dead

MOST_ROUTES, MOST_ROUTES_OF_A_USER = 48, 16
"""Each costs every connection of the machine 20 ns, and the kernel links 64 such programs."""

_QUIET_S = 1.0
_KEY = re.compile(r"[a-z0-9-]{1,80}")


class Router:
    """Serves the owners of deployments, one message at a time."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._library = Library()
        # Read while we still may: a home folder is often closed to the user this process becomes.
        self._programs = pinned.read_objects()
        self._open: dict[Path, pinned.Pinned] = {}
        self._reserved: dict[Path, Reservation] = {}
        self._reserved_grpc: dict[Path, Reservation] = {}
        # A dead replica's listener, kept open, queues its clients until the next process takes it over.
        self._listeners: dict[Path, dict[str, int]] = {}

    def run(self) -> None:
        """Answer until the process is told to end."""
        serve(self._listener, self._answered)

    def restore(self) -> None:
        """Take up what is pinned for anybody: reserve its ports again, and unpin what has no replica left."""
        for folder in _pinned_folders():
            if is_dead(self._library, folder, GRACE_S):
                pinned.remove(folder)
                continue
            with contextlib.suppress(WorkbenchError):
                self._begin(folder, 0)

    def _answered(self, uid: int, data: bytes, descriptors: list[int]) -> tuple[bytes, list[int]]:
        answer: dict[str, Any]
        handed: list[int] = []
        try:
            answer, handed = self._answer(uid, json.loads(data), descriptors)
        except WorkbenchError as error:
            answer = {"error": error.to_json()}
        except (ValueError, TypeError, LookupError) as error:
            answer = {"error": BadRequest(f"no such message: {error}", where="router").to_json()}
        except OSError as error:
            answer = {"error": ServeError(f"the router failed: {error}", where="router").to_json()}
        return json.dumps(answer).encode(), handed

    def _answer(self, uid: int, ask: dict[str, Any], handed: list[int]) -> tuple[dict[str, Any], list[int]]:
        if not _KEY.fullmatch(ask["key"]):
            raise BadRequest("no such key", where="router")
        folder = Path(str(uid)) / str(ask["key"])  # from PINS, where we are: only root may walk there
        if ask["do"] == "open":
            return self._begin(folder, int(ask["port"]), by_request=bool(ask.get("by_request"))), []
        if ask["do"] == "close":
            self._end(folder)
            return {}, []
        if ask["do"] == "prepare":
            return self._prepare(folder, ask["id"])
        route = self._pinned(folder)
        if ask["do"] == "cuda":
            _check_process(uid, int(ask["pid"]))
            cuda.watch(
                self._library, folder, self._programs["cuda"], int(ask["pid"]), handed[0], ask["offsets"]
            )
            return {}, []
        if ask["do"] == "connect":
            tables = connect(self._library, folder, route, handed[0])
            return {"port": route.control.port}, tables
        if ask["do"] == "quiet":
            return {"busy": [one for w in ask["words"] for one in reading.busy(route, int(w), _QUIET_S)]}, []
        state = codec.from_json(ask["state"])
        if not isinstance(state, RouteState):
            raise BadRequest("no route state", where="router")
        if ask["do"] == "apply" and state.generation >= route.control.generation:
            _check_processes(uid, state)
            given = dict(zip(ask["listeners"], handed, strict=True))
            kernel.apply(route, state, given)
            plain = {name: one for name, one in given.items() if not name.endswith(GRPC)}
            self._hold(folder, plain, kernel.held(route, state))
            self._serve_grpc(folder, route, state)
        return self._reading(route, state), []

    def _reading(self, route: pinned.Pinned, state: RouteState) -> dict[str, Any]:
        tracks = {name: track for name in ("stable", "canary") if (track := state.track(name))}
        verdict = reading.verdict(route)
        return {
            "missing": kernel.missing(route, state),
            "grpc_port": route.control.grpc_port,
            "verdict": codec.to_json(verdict[1]) if verdict else None,
            "version": verdict[0] if verdict else 0,
            "tracks": {n: codec.to_json(reading.track_stats(route, t.version)) for n, t in tracks.items()},
            "in_flight": reading.in_flight(route, state),
            "overtaken": route.control.overtaken,
            "latency_ns": route.control.latency_ns,
            "generation": route.control.generation,
        }

    def _begin(self, folder: Path, port: int, *, by_request: bool = False) -> dict[str, Any]:
        if not (folder / "ready").is_dir():
            self._refuse_too_many(folder)
        if folder not in self._reserved:
            known = self._pinned(folder).control.port if (folder / "ready").is_dir() else 0
            self._reserved[folder] = Reservation(
                known or port, again=bool(known), taken=frozenset(self._ports(folder))
            )
        pinned.load(self._library, folder, self._programs)
        if by_request:
            load_requests(self._library, folder, self._programs["requests"])
        control = self._pinned(folder).control
        control.address4[:] = socket.inet_pton(socket.AF_INET, "127.0.0.1")
        control.address6[:] = socket.inet_pton(socket.AF_INET6, "::1")
        control.port = self._reserved[folder].port
        return {"port": control.port}

    def _serve_grpc(self, folder: Path, route: pinned.Pinned, state: RouteState) -> None:
        """Reserve a port for gRPC once a replica answers it, and again after our own death."""
        control = route.control
        wanted = any(e.grpc_port for t in (state.stable, state.canary) if t for e in t.endpoints)
        if wanted and folder not in self._reserved_grpc:
            known, taken = control.grpc_port, frozenset(self._ports(folder))
            self._reserved_grpc[folder] = Reservation(known, again=bool(known), taken=taken)
            control.grpc_port = self._reserved_grpc[folder].port

    def _refuse_too_many(self, mine: Path) -> None:
        folders = list(_pinned_folders())
        own = [one for one in folders if one.parent == mine.parent]
        if len(own) >= MOST_ROUTES_OF_A_USER or len(folders) >= MOST_ROUTES:
            raise ServeError(
                f"the kernel routes for {len(own)} deployments of yours and {len(folders)} in all: no more",
                where="router",
                fix="unstage one, or push with --route proxy",
            )

    def _ports(self, mine: Path) -> Iterator[int]:
        """Yield the ports the kernel steers already for other deployments, whoever's, dead ones too."""
        for folder in _pinned_folders():
            if folder != mine:
                with contextlib.suppress(WorkbenchError):
                    yield from pinned.ports_of(self._library, folder)

    def _end(self, folder: Path) -> None:
        self._open.pop(folder, None)
        for listener in self._listeners.pop(folder, {}).values():
            os.close(listener)
        pinned.remove(folder)
        for one in (self._reserved.pop(folder, None), self._reserved_grpc.pop(folder, None)):
            if one is not None:
                one.close()

    def _prepare(self, folder: Path, replica_id: str) -> tuple[dict[str, Any], list[int]]:
        """Hand over what a new process of a replica inherits: the drain words, and its listener if it had one."""
        word = drain_word(replica_id)
        self._pinned(folder).drains[word] = 0
        table = open_pinned(self._library, folder / "drains", 4, 8)
        listener = self._listeners.get(folder, {}).get(replica_id)
        return {"word": word}, [table.fd] if listener is None else [table.fd, os.dup(listener)]

    def _hold(self, folder: Path, given: dict[str, int], wanted: set[int]) -> None:
        held = self._listeners.setdefault(folder, {})
        for replica_id, listener in given.items():
            if replica_id in held:
                os.close(held[replica_id])
            held[replica_id] = os.dup(listener)
        for replica_id in [one for one in held if drain_word(one) not in wanted]:
            os.close(held.pop(replica_id))

    def _pinned(self, folder: Path) -> pinned.Pinned:
        if folder not in self._open:
            self._open[folder] = pinned.Pinned(self._library, folder)
        return self._open[folder]


def _pinned_folders() -> list[Path]:
    """Return what is pinned whole, from PINS, where we are."""
    return [one for one in Path().glob("*/*") if (one / "ready").is_dir()]


def _check_processes(uid: int, state: RouteState) -> None:
    """Refuse to watch another user's process.

    Raises
    ------
    BadRequest
        If a replica is one.
    """
    for track in (state.stable, state.canary):
        for one in track.endpoints if track else ():
            _check_process(uid, one.pid)


def _check_process(uid: int, pid: int) -> None:
    with contextlib.suppress(OSError):  # it is gone
        if Path(f"/proc/{pid}").stat().st_uid != uid:
            raise BadRequest(f"process {pid} is not user {uid}'s", where="router")


def listen(folder: Path) -> socket.socket:
    """Return the socket clients come to, only for the owner of `folder`."""
    uid = folder.stat().st_uid
    handle = os.open(folder, os.O_PATH)
    try:  # by descriptor, because a socket's path may have no more than 107 bytes
        path = Path(f"/proc/self/fd/{handle}/router.sock")
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(path))
        path.chmod(0o600)
        os.chown(path, uid, -1)
        listener.listen(64)
    finally:
        os.close(handle)
    return listener


def prepare_pins(uid: int | None = None) -> int:
    """Make the place for what is pinned for one user (or all), while we still may; return a handle of PINS."""
    pinned.mount()
    places = [PINS] if uid is None else [PINS, PINS / str(uid)]
    for path in places:
        path.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0 and path.stat().st_uid != capabilities.NOBODY:
            path.chmod(0o700)  # while it is ours: with a service's rights root cannot change what is nobody's
            os.chown(path, capabilities.NOBODY, capabilities.NOBODY)
    return os.open(PINS, os.O_PATH | os.O_DIRECTORY)


def main(arguments: list[str] | None = None) -> int:
    """Start from the command line; a failure is one line of JSON on stderr and in ``FOLDER/router.error``."""
    line = argparse.ArgumentParser(prog="python -m workbench.route.kernel.router")
    place = line.add_mutually_exclusive_group(required=True)
    place.add_argument("--folder", type=Path, help="where to listen; its owner may ask")
    place.add_argument("--socket", type=Path, help="where to listen, for every user of this machine")
    options = line.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        if not capabilities.held(RIGHTS):
            raise NoPrivilege("the router has not its rights", where="router", fix="start it as root")
        listener = listen_for_all(options.socket, backlog=64) if options.socket else listen(options.folder)
        pins = prepare_pins(None if options.socket else options.folder.stat().st_uid)
        router = Router(listener)
        capabilities.drop(RIGHTS)
        os.chdir(pins)  # its folder may be closed to who we are now, and itself to who we were
        os.close(pins)
        if options.socket:
            router.restore()
    except WorkbenchError as error:
        said = json.dumps(error.to_json())
        print(said, file=sys.stderr)
        if options.folder:
            (options.folder / "router.error").write_text(said)
        return 1
    router.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
