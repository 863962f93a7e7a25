"""What travels between the kernel, the collector and the traced process.

::

    client -> collector    JSON text of one Request (with the files of its sites), any number of Learned, Joined and
                           Rules (b"U" + numbers), then b"stop"
    collector -> client    b"C" + JSON            control: started, joined, error, end
                           b"R" + records          raw ring buffer records, one after another
                           b"T" + table            raw entries of one BPF map

Records (:mod:`.records`) and tables have the layout of ``bpf/record.h``; the collector forwards them unread.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .enforcement import Enforcement, parse_enforcement
from .latency import SLOTS, Latency
from .sites import Site, parse_sites

VERSION = 5
MESSAGE_BYTES = 32 * 1024
REQUEST_BYTES = 128 * 1024
MAX_HZ = 10_000
MAX_CALLS = 512
MAX_HEAP_SAMPLE = 2**30
MAX_RULES, RULE_BYTES = 16384, 16
"""``FRAME_RULES``, and the size of a ``struct frame_rule``."""
STOP = b"stop"
CONTROL, RECORDS, TABLE, RULES = b"C", b"R", b"T", b"U"

_LATENCY = struct.Struct(f"<4Q{SLOTS}QII")
_PYTHON = struct.Struct("<Q12I")
_RULES_HEAD = struct.Struct("<2I")
_TABLE_HEAD = struct.Struct("<B3xHH")
PYTHON_BYTES = _PYTHON.size


@dataclass(frozen=True)
class Request:
    """What a client asks the collector to trace: itself (or a descendant) and its fork tree.

    Parameters
    ----------
    probes
        Probe names.
    hz
        CPU samples a second and CPU.
    pid
        0 for the client itself, else the process the last file that came with the request is a pidfd of (a
        number would mean another process in another PID namespace, or a moment later).
    skip_tid
        A thread of the client not to trace (the one that reads the records); 0: none.
    python
        Address of ``_PyRuntime`` and the twelve offsets of ``struct python_layout``; empty: no Python frames.
    sites
        Functions to probe, in files that travel with the message as open file descriptors.
    watch
        Numbers of system calls to report one by one (probe ``audit``).
    enforce
        Peers to refuse; None: none.
    heap_sample
        Follow one block of torch's allocator in about so many bytes; 0: every one.
    """

    probes: tuple[str, ...]
    hz: int
    pid: int = 0
    skip_tid: int = 0
    python: tuple[int, ...] = ()
    sites: tuple[Site, ...] = ()
    watch: tuple[int, ...] = ()
    enforce: Enforcement | None = None
    heap_sample: int = 0

    def to_bytes(self) -> bytes:
        """Return the message."""
        body = {
            **self.__dict__,
            "sites": [site.to_json() for site in self.sites],
            "enforce": self.enforce.to_json() if self.enforce else None,
        }
        return json.dumps({"version": VERSION, **body}, separators=(",", ":")).encode()

    def pack_python(self) -> bytes:
        """Return ``struct python_layout``."""
        return _PYTHON.pack(*self.python) if self.python else bytes(_PYTHON.size)


def parse_request(data: bytes) -> Request:
    """Return a request from a client we do not trust.

    Raises
    ------
    InputError
        If anything about it is not exactly as specified.
    """
    try:
        body = json.loads(data)
    except ValueError as error:
        raise InputError("the request is not JSON", where="collector") from error
    fields = {
        "version",
        "probes",
        "hz",
        "pid",
        "skip_tid",
        "python",
        "sites",
        "watch",
        "enforce",
        "heap_sample",
    }
    if not isinstance(body, dict) or set(body) != fields:
        raise InputError(f"a request has exactly the fields {', '.join(sorted(fields))}", where="collector")
    if body["version"] != VERSION:
        raise InputError(
            f"protocol {body['version']!r}, this collector speaks {VERSION}",
            where="collector",
            fix="use the same version of the workbench on both sides",
        )
    if not isinstance(body["probes"], list) or not all(isinstance(name, str) for name in body["probes"]):
        raise InputError("probes is not a list of names", where="collector")
    hz = _integer(body, "hz", 1, MAX_HZ)
    pid, skip = _integer(body, "pid", 0, 2**31 - 1), _integer(body, "skip_tid", 0, 2**31 - 1)
    return Request(
        tuple(body["probes"]),
        hz,
        pid,
        skip,
        _layout(body["python"]),
        parse_sites(body["sites"]),
        _calls(body["watch"]),
        parse_enforcement(body["enforce"]),
        _integer(body, "heap_sample", 0, MAX_HEAP_SAMPLE),
    )


@dataclass(frozen=True)
class Learned:
    """An interpreter the client found in a process of the traced tree, during the trace."""

    pid: int
    python: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """Return the message."""
        return json.dumps({"pid": self.pid, "python": self.python}).encode()

    def pack_python(self) -> bytes:
        """Return ``struct python_layout``."""
        return _PYTHON.pack(*self.python)


@dataclass(frozen=True)
class Joined:
    """Functions to probe in a process that is traced already; the last file with it is a pidfd of that process."""

    sites: tuple[Site, ...]

    def to_bytes(self) -> bytes:
        """Return the message."""
        return json.dumps({"sites": [site.to_json() for site in self.sites]}, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Rules:
    """A part of the rules by which native frames of the root process are walked.

    Parameters
    ----------
    start, total
        Number of the first row, and of all rows; they are in use when the last has come.
    rows
        Of ``struct frame_rule``, sorted by address.
    """

    start: int
    total: int
    rows: bytes

    def to_bytes(self) -> bytes:
        """Return the message."""
        return RULES + _RULES_HEAD.pack(self.start, self.total) + self.rows


def parse_news(data: bytes) -> Learned | Joined | Rules:
    """Return what a client we do not trust says during its trace.

    Raises
    ------
    InputError
        If anything about it is not exactly as specified.
    """
    if data[:1] == RULES:
        return _parse_rules(data[1:])
    try:
        body = json.loads(data)
    except ValueError as error:
        raise InputError("unexpected message", where="collector") from error
    if isinstance(body, dict) and set(body) == {"sites"}:
        return Joined(parse_sites(body["sites"]))
    if not isinstance(body, dict) or set(body) != {"pid", "python"}:
        raise InputError("unexpected message", where="collector")
    python = _layout(body["python"])
    if not python:
        raise InputError("python is not an address and twelve offsets", where="collector")
    return Learned(_integer(body, "pid", 1, 2**31 - 1), python)


def _parse_rules(data: bytes) -> Rules:
    rows = data[_RULES_HEAD.size :]
    if len(data) < _RULES_HEAD.size or not rows or len(rows) % RULE_BYTES:
        raise InputError("rules are no whole number of rows", where="collector")
    start, total = _RULES_HEAD.unpack_from(data)
    if start + len(rows) // RULE_BYTES > total or total > MAX_RULES:
        raise InputError(f"more than {MAX_RULES:,} rules, or not where they should be", where="collector")
    return Rules(start, total, rows)


def _integer(body: dict[str, Any], name: str, low: int, high: int) -> int:
    value = body[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(
            f"{name} is {value!r}, expected a whole number from {low} to {high:,}", where="collector"
        )
    return value


def _calls(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int and 0 <= item < MAX_CALLS for item in value):
        raise InputError(f"watch is not a list of numbers below {MAX_CALLS}", where="collector")
    return tuple(value)


def _layout(value: Any) -> tuple[int, ...]:
    if value == []:
        return ()
    if not isinstance(value, list) or len(value) != 13 or not all(type(item) is int for item in value):
        raise InputError("python is not an address and twelve offsets", where="collector")
    if not 0 < value[0] < 2**63 or not all(0 <= item < 2**20 for item in value[1:]):
        raise InputError("python has an address or offset out of range", where="collector")
    return tuple(value)


def pack_table(name: str, key_size: int, value_size: int, entries: list[bytes]) -> bytes:
    """Return the message for some entries (key and value joined) of a map."""
    return TABLE + _TABLE_HEAD.pack(len(name), key_size, value_size) + name.encode() + b"".join(entries)


def parse_table(data: bytes) -> tuple[str, list[tuple[bytes, bytes]]]:
    """Return the name and entries of a table message (tag removed)."""
    length, key_size, value_size = _TABLE_HEAD.unpack_from(data)
    start = _TABLE_HEAD.size + length
    name = data[_TABLE_HEAD.size : start].decode()
    step = key_size + value_size
    return name, [
        (data[at : at + key_size], data[at + key_size : at + step]) for at in range(start, len(data), step)
    ]


def parse_latency(value: bytes) -> tuple[Latency, int, int]:
    """Return the distribution, pid and tid of a ``struct latency``."""
    count, errors, total_ns, max_ns, *slots, pid, tid = _LATENCY.unpack(value)
    return Latency(count, errors, total_ns, max_ns, tuple(slots)), pid, tid
