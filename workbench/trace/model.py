"""A finished trace: what ran, where, for how long. Every tier fills it; what a tier cannot see is None.

A trace is an artifact: :meth:`Trace.save` writes ``trace.jsonl.gz`` (one JSON array a line, the record's kind
first) and ``meta.json``; :meth:`Trace.load` reads them anywhere, without the machine, the process or the
source files it came from.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import codec
from ..atomic import write_bytes
from ..errors import InputError, TraceError
from .latency import Latency
from .rows import (
    NO_STACK,
    Allocation,
    AuditEvent,
    FaultCount,
    Frame,
    OffCpu,
    Operator,
    OperatorEvent,
    Sample,
    SystemCall,
    ThreadWaits,
)

RECORDS_FILE, META_FILE = "trace.jsonl.gz", "meta.json"


@codec.register("trace_meta")
@dataclass(frozen=True)
class TraceMeta:
    """How a trace was made.

    Parameters
    ----------
    tier
        ``bpf``, ``perf`` or ``sampler``.
    reasons
        Why each better tier was not used, in order.
    probes, hz
        What was asked.
    wall_s
        Duration, seconds.
    pid
        The traced process.
    lost
        Events that were dropped, by reason; empty when none were.
    notes
        What the reader should know (unsupported interpreter, approximations).
    processes
        Names by process id (as text).
    machine
        Kernel, CPU count and Python version.
    """

    tier: str
    reasons: tuple[str, ...]
    probes: tuple[str, ...]
    hz: int
    wall_s: float
    pid: int
    lost: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    processes: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """Everything one session saw.

    Parameters
    ----------
    meta
        How it was made.
    frames
        Distinct frames.
    stacks
        Distinct stacks: frame indices, outermost first.
    samples
        In order of time.
    waits, calls, faults
        None when the tier cannot see them or they were not asked for; so are all that follow.
    offcpu
        Blocked threads and who woke them, in order of time.
    allocations
        By allocator, process and stack: what was allocated and what is still held.
    operators, cuda, usdt
        Probed functions: operators and kernels, CUDA driver and runtime calls, static probe points.
    events
        Single calls of all three on the time axis, in order of time; bounded, so fewer than they count.
    audit
        Opens, connects, sends and executed programs, with the policy's verdicts, in order of time.
    """

    meta: TraceMeta
    frames: tuple[Frame, ...] = ()
    stacks: tuple[tuple[int, ...], ...] = ()
    samples: tuple[Sample, ...] = ()
    waits: tuple[ThreadWaits, ...] | None = None
    calls: tuple[SystemCall, ...] | None = None
    faults: tuple[FaultCount, ...] | None = None
    offcpu: tuple[OffCpu, ...] | None = None
    allocations: tuple[Allocation, ...] | None = None
    operators: tuple[Operator, ...] | None = None
    cuda: tuple[Operator, ...] | None = None
    usdt: tuple[Operator, ...] | None = None
    events: tuple[OperatorEvent, ...] | None = None
    audit: tuple[AuditEvent, ...] | None = None

    def stack(self, sample: Sample | OffCpu | Allocation | AuditEvent | OperatorEvent) -> tuple[Frame, ...]:
        """Return a row's frames, outermost first; empty when no stack was taken."""
        return self.frames_of(sample.stack)

    def frames_of(self, stack: int) -> tuple[Frame, ...]:
        """Return the frames of a stack by its index, outermost first; empty for -1."""
        return tuple(self.frames[index] for index in self.stacks[stack]) if stack >= 0 else ()

    def total(self, kind: str) -> float:
        """Return the sum over the samples of a kind: CPU seconds or sampled faults."""
        return sum(sample.value for sample in self.samples if sample.kind == kind)

    def save(self, folder: Path) -> None:
        """Write the trace into a folder.

        Raises
        ------
        StorageFull
            If the device is full.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(
            json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n" for line in _lines(self)
        )
        write_bytes(folder / RECORDS_FILE, gzip.compress(lines.encode(), mtime=0))
        write_bytes(folder / META_FILE, codec.dumps(self.meta).encode())

    @classmethod
    def load(cls, folder: Path) -> Trace:
        """Read a saved trace.

        Raises
        ------
        TraceError
            If a file is missing, cut short or not a trace.
        """
        try:
            meta = codec.loads((folder / META_FILE).read_text())
            with gzip.open(folder / RECORDS_FILE, "rt") as file:
                parts = _collect(json.loads(line) for line in file)
        except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, InputError) as error:
            raise TraceError(f"this is not a readable trace: {error}", where=str(folder)) from error
        if not isinstance(meta, TraceMeta):
            raise TraceError("meta.json does not describe a trace", where=str(folder))
        return cls(meta, **parts)


# Kind of line -> field of the trace, type of row. The order is the order in the file.
_ROWS: dict[str, tuple[str, Any]] = {
    "frame": ("frames", Frame),
    "sample": ("samples", Sample),
    "wait": ("waits", ThreadWaits),
    "call": ("calls", SystemCall),
    "faults": ("faults", FaultCount),
    "offcpu": ("offcpu", OffCpu),
    "alloc": ("allocations", Allocation),
    "operator": ("operators", Operator),
    "cuda": ("cuda", Operator),
    "usdt": ("usdt", Operator),
    "event": ("events", OperatorEvent),
    "audit": ("audit", AuditEvent),
}
_REQUIRED = ("frame", "sample")


def _lines(trace: Trace) -> Iterator[list[Any]]:
    """First which tables there are (an empty one differs from one the tier cannot fill), then their rows."""
    optional = [name for kind, (name, _) in _ROWS.items() if kind not in _REQUIRED]
    yield ["tables", *(name for name in optional if getattr(trace, name) is not None)]
    for frame in trace.frames:
        yield ["frame", *dataclasses.astuple(frame)]
    for stack in trace.stacks:
        yield ["stack", *stack]
    for kind, (name, _) in _ROWS.items():
        if kind != "frame":
            for row in getattr(trace, name) or ():
                yield [kind, *dataclasses.astuple(row)]


def _collect(lines: Iterator[list[Any]]) -> dict[str, Any]:
    parts: dict[str, Any] = {"frames": [], "stacks": [], "samples": []}
    for kind, *values in lines:
        if kind == "tables":
            parts.update({name: [] for name in values})
        elif kind == "stack":
            parts["stacks"].append(tuple(values))
        else:
            name, row = _ROWS[kind]
            parts[name].append(row(*map(_value, values)))
    _check_references(parts)
    return {name: tuple(rows) for name, rows in parts.items()}


def _check_references(parts: dict[str, Any]) -> None:
    frames, stacks = len(parts["frames"]), len(parts["stacks"])
    if any(not 0 <= index < frames for stack in parts["stacks"] for index in stack):
        raise ValueError("a stack refers to a frame that is not there")
    used = {row.stack for row in (*parts["samples"], *parts.get("allocations", ()))}
    blocks = parts.get("offcpu", ())
    maybe = {row.stack for row in (*blocks, *parts.get("events", ()), *parts.get("audit", ()))}
    maybe |= {row.waker_stack for row in blocks}
    if any(not 0 <= index < stacks for index in used | (maybe - {NO_STACK})):
        raise ValueError("a row refers to a stack that is not there")


def _value(value: Any) -> Any:
    """Return a column as it was: the only one that is a list is a distribution."""
    if isinstance(value, list):
        count, errors, total_ns, max_ns, slots = value
        return Latency(count, errors, total_ns, max_ns, tuple(slots))
    return value
