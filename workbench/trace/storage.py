"""How a trace lies in a folder: ``trace.jsonl.gz``, one JSON array a line, and ``meta.json``.

::

    ["tables", "waits", "calls"]        which tables there are: an empty one differs from one nobody filled
    ["frame", [kind, name, file, …], …] the fields of records, in their order; up to 1,000 of them a line
    ["stack", [0, 4, 7], …]             frame numbers, outermost first
    ["sample", ["cpu", 1200, …], …]

Files may come from elsewhere: every field's type, every reference and the unpacked size are checked.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from .. import codec
from ..atomic import write_bytes
from ..errors import InputError, TraceError
from .latency import SLOTS, Latency
from .model import Trace, TraceMeta
from .rows import (
    Allocation,
    AuditEvent,
    FaultCount,
    Frame,
    OffCpu,
    Operator,
    OperatorEvent,
    RunDelay,
    Sample,
    SystemCall,
    ThreadWaits,
)

RECORDS_FILE, META_FILE = "trace.jsonl.gz", "meta.json"
MAX_UNPACKED_BYTES = 1 << 30
_BATCH = 1_000
_COMPRESSION = 3  # twice as fast as the default, a tenth larger
_ROWS: dict[str, tuple[str, type[Any]]] = {
    "frame": ("frames", Frame),
    "sample": ("samples", Sample),
    "wait": ("waits", ThreadWaits),
    "call": ("calls", SystemCall),
    "faults": ("faults", FaultCount),
    "delay": ("delays", RunDelay),
    "offcpu": ("offcpu", OffCpu),
    "alloc": ("allocations", Allocation),
    "operator": ("operators", Operator),
    "cuda": ("cuda", Operator),
    "usdt": ("usdt", Operator),
    "event": ("events", OperatorEvent),
    "audit": ("audit", AuditEvent),
}
"""Kind of line: field of the trace, type of row."""
_OPTIONAL = tuple(name for name, _ in _ROWS.values() if name not in ("frames", "samples"))
_WITH_STACK = ("samples", "offcpu", "allocations", "events", "audit")
_MAY_LACK_STACK = ("events", "audit")
_TYPES: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float), "Latency": list}
_COLUMNS = {
    kind: tuple((field.name, _TYPES[str(field.type)]) for field in fields(record))
    for kind, (_, record) in _ROWS.items()
}


def save(trace: Trace, folder: Path) -> None:
    """Write a trace; equal traces give equal bytes.

    Raises
    ------
    StorageFull
        If the device is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_latency_row).encode
    lines = "".join(encode(line) + "\n" for line in _lines(trace))
    write_bytes(folder / RECORDS_FILE, gzip.compress(lines.encode(), _COMPRESSION, mtime=0))
    write_bytes(folder / META_FILE, codec.dumps(trace.meta).encode())


def load(folder: Path) -> Trace:
    """Read a trace.

    Raises
    ------
    TraceError
        If a file is missing, cut short, too large or not a trace.
    """
    try:
        meta = codec.loads((folder / META_FILE).read_text())
        with gzip.open(folder / RECORDS_FILE, "rt", encoding="utf-8") as file:
            parts = _collect(json.loads(line) for line in _bounded(file))
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, InputError) as error:
        raise TraceError(f"this is not a readable trace: {error}", where=str(folder)) from error
    if not isinstance(meta, TraceMeta):
        raise TraceError("meta.json does not describe a trace", where=str(folder))
    return Trace(meta, **parts)


def _lines(trace: Trace) -> Iterator[tuple[Any, ...]]:
    yield ("tables", *(name for name in _OPTIONAL if getattr(trace, name) is not None))
    yield from _batches("stack", trace.stacks)
    for kind, (name, _) in _ROWS.items():
        values = attrgetter(*(column for column, _ in _COLUMNS[kind]))
        yield from _batches(kind, list(map(values, getattr(trace, name) or ())))


def _batches(kind: str, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(rows), _BATCH):
        yield (kind, *rows[start : start + _BATCH])


def _latency_row(latency: Latency) -> list[Any]:
    return [latency.count, latency.errors, latency.total_ns, latency.max_ns, latency.slots]


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    size = 0
    for line in lines:
        size += len(line)
        if size > MAX_UNPACKED_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB")
        yield line


def _collect(lines: Iterator[list[Any]]) -> dict[str, Any]:
    parts: dict[str, Any] = {"frames": [], "stacks": [], "samples": []}
    for kind, *values in lines:
        if kind == "tables":
            parts.update({name: [] for name in values if name in _OPTIONAL})
        elif kind == "stack":
            parts["stacks"] += map(tuple, values)
        else:
            name, record = _ROWS[kind]
            parts[name] += (record(*_checked(kind, row)) for row in values)
    _check_references(parts)
    return {name: tuple(rows) for name, rows in parts.items()}


def _checked(kind: str, values: list[Any]) -> list[Any]:
    for (column, type_), value in zip(_COLUMNS[kind], values, strict=True):
        if not isinstance(value, type_):
            raise TypeError(f"{column} of a {kind} is {value!r}")
    return [_latency(value) if isinstance(value, list) else value for value in values]


def _latency(value: list[Any]) -> Latency:
    count, errors, total_ns, max_ns, slots = value
    if len(slots) != SLOTS:
        raise ValueError(f"a distribution has {len(slots)} slots, expected {SLOTS}")
    return Latency(count, errors, total_ns, max_ns, tuple(slots))


def _check_references(parts: dict[str, Any]) -> None:
    frames, stacks = len(parts["frames"]), len(parts["stacks"])
    if any(not 0 <= index < frames for stack in parts["stacks"] for index in stack):
        raise ValueError("a stack refers to a frame that is not there")
    for name in _WITH_STACK:
        for row in parts.get(name, ()):
            lowest = -1 if name in _MAY_LACK_STACK else 0
            if not lowest <= row.stack < stacks or not -1 <= getattr(row, "waker_stack", -1) < stacks:
                raise ValueError("a row refers to a stack that is not there")
