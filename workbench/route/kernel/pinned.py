"""One deployment's programs and maps in the kernel: loaded once, pinned, found again by whoever comes later."""

from __future__ import annotations

import contextlib
import ctypes as c
import functools
import mmap
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ...bpf.build import load_object
from ...bpf.libbpf import BpfMap, BpfObject, Library, open_pinned
from ...errors import NoPrivilege
from .layout import REASONS, REPLICAS, Control, Drains, Latencies, Pairs, Replica, Replicas

BPFFS = Path("/sys/fs/bpf")
PINS = BPFFS / "mlops"
"""A folder a user, a folder a deployment in it."""
OBJECTS = Path(__file__).parents[1] / "bpf" / "build"
SHARED = ("control", "replicas", "drains", "given", "processes")
SENTINEL = (
    "on_state", "on_ready", "on_read", "on_answer", "on_wakeup", "on_switch", "on_memory", "on_syscall",
    "on_kill", "on_signal", "on_fork", "on_exit",
)  # fmt: skip

_BPF_FS_MAGIC = 0xCAFE4A11
_SPLIT_MAPS = (*SHARED, "listeners", "marks")
_SENTINEL_MAPS = ("latencies", "watchdogs", "exchanges", "waiting", "statuses")
_READY = "ready"

T = TypeVar("T")


class Pinned:
    """The maps of one deployment; the structures are the kernel's own memory.

    Parameters
    ----------
    library
        libbpf.
    folder
        Where they are pinned, in a BPF file system.

    Raises
    ------
    TraceError, NoPrivilege
        If they are not there, or we may not use them.
    """

    def __init__(self, library: Library, folder: Path) -> None:
        self.folder, self._library = folder, library
        self.listeners = open_pinned(library, folder / "listeners", 4, 8)
        self.processes = open_pinned(library, folder / "processes", 4, 4)
        self.drain_map = open_pinned(library, folder / "drains", 4, 8)
        self.control = self._map(library, "control", Control)
        self.replicas = self._map(library, "replicas", Replicas)
        self.latencies = self._map(library, "latencies", Latencies)
        self.drains = self._map(library, "drains", Drains)

    @functools.cached_property
    def pairs(self) -> Any:
        """The clients whose requests are split; there only where they are."""
        return self._map(self._library, "pairs", Pairs)

    @functools.cached_property
    def sockets(self) -> BpfMap:
        """Their sockets, and those to the tracks."""
        return open_pinned(self._library, self.folder / "sockets", 4, 8)

    def _map(self, library: Library, name: str, shape: type[T]) -> T:
        return mapped(open_pinned(library, self.folder / name, 4, 8).fd, shape)


def mapped(handle: int, shape: type[T]) -> T:
    """Return a map as a structure that is the kernel's own memory; its descriptor is closed."""
    kind: Any = shape
    pages = -(-c.sizeof(kind) // mmap.PAGESIZE) * mmap.PAGESIZE
    try:
        memory = mmap.mmap(handle, pages, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    finally:
        os.close(handle)
    result: T = kind.from_buffer(memory)
    return result


@contextlib.contextmanager
def opened(library: Library, folder: Path, names: Iterable[str]) -> Iterator[dict[str, BpfMap]]:
    """Yield pinned maps by name, for a program to share; their descriptors are closed afterwards.

    Raises
    ------
    TraceError, NoPrivilege
        If one is not there, or we may not use it.
    """
    with contextlib.ExitStack() as stack:
        maps = {}
        for name in names:
            maps[name] = open_pinned(library, folder / name, 4, 8)
            stack.callback(os.close, maps[name].fd)
        yield maps


def ports_of(library: Library, folder: Path) -> tuple[int, int]:
    """Return the ports that a pinned deployment answers on, HTTP's and gRPC's; 0 where it has none."""
    table = open_pinned(library, folder / "control", 4, c.sizeof(Control))
    try:
        found = Control.from_buffer_copy((table.get(key_bytes(0)) or b"").ljust(c.sizeof(Control), b"\0"))
        return int(found.port), int(found.grpc_port)
    finally:
        os.close(table.fd)


def replica_pids(library: Library, folder: Path) -> list[int]:
    """Return the processes that a pinned deployment gives, or gave, connections to."""
    table = open_pinned(library, folder / "replicas", 4, c.sizeof(Replica))
    try:
        values = (table.get(key_bytes(index)) for index in range(REPLICAS))
        return [pid for value in values if value and (pid := Replica.from_buffer_copy(value).pid)]
    finally:
        os.close(table.fd)


def read_objects() -> dict[str, bytes]:
    """Return the compiled programs.

    Raises
    ------
    TraceError
        If they were not built.
    """
    return {name: load_object(name, OBJECTS) for name in ("split", "sentinel", "requests", "cuda")}


def load(library: Library, folder: Path, programs: dict[str, bytes]) -> None:
    """Load the programs, attach and pin them, unless that was done. The split does nothing before it has a port.

    Raises
    ------
    TraceError, NoPrivilege
        If the kernel refuses; nothing stays behind.
    """
    if (folder / _READY).is_dir():
        return
    remove(folder)
    folder.mkdir(parents=True)
    objects: list[BpfObject] = []
    try:
        split = BpfObject(library, "split", programs["split"], {})
        objects.append(split)
        shared = {name: split.map(name) for name in SHARED}
        sentinel = BpfObject(library, "sentinel", programs["sentinel"], shared)
        objects.append(sentinel)
        for program in SENTINEL:
            sentinel.attach(program)
        sentinel.run("start_watchdog")
        split.attach_netns("split")
        split.pin(_SPLIT_MAPS, folder)
        sentinel.pin(_SENTINEL_MAPS, folder)
        (folder / _READY).mkdir()  # last: half a route is none
    except BaseException:
        remove(folder)
        raise
    finally:
        for one in objects:
            one.close()


def remove(folder: Path) -> None:
    """Unpin everything of one deployment: the kernel detaches and frees it."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def mount() -> None:
    """Mount the BPF file system where everybody looks for it, unless it is there.

    Raises
    ------
    NoPrivilege
        If it is not and we may not.
    """
    if is_mounted():
        return
    libc = c.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", bytes(BPFFS), b"bpf", 0, b"mode=0700"):
        raise NoPrivilege(
            f"the BPF file system cannot be mounted: {os.strerror(c.get_errno())}",
            where=str(BPFFS),
            fix=f"mount -t bpf bpf {BPFFS}, as root",
        )


def is_mounted() -> bool:
    """Return whether the BPF file system is where it belongs."""
    fields = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return any(field[1] == str(BPFFS) and field[2] == "bpf" for field in fields)


def reason_name(number: int) -> str:
    """Return a trigger's name."""
    return REASONS[number] if number < len(REASONS) else str(number)


def key_bytes(number: int) -> bytes:
    """Return a map's key."""
    return number.to_bytes(4, "little")


def set_number(table: BpfMap, key: int, value: int) -> None:
    """Write a whole number into a map."""
    table.set(key_bytes(key), value.to_bytes(table.value_size, "little"))
