"""Tables and records of probed functions, by the numbers the kernel side counts under."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ..records import CallBody, Record
from ..rows import NO_STACK, Operator, OperatorEvent
from ..wire import parse_latency

Table = Sequence[tuple[bytes, bytes]]


def operators(functions: Sequence[tuple[str, str]], counts: Table, moved: Table = ()) -> list[Operator]:
    """Return one row a process and function, most calls first.

    Parameters
    ----------
    functions
        Family and name by number.
    counts, moved
        Entries of the maps ``functions`` and ``moved``.
    """
    sizes = {key: int.from_bytes(value, "little") for key, value in moved}
    rows = []
    for key, value in counts:
        pid, number = struct.unpack("<II", key)
        family, name = functions[number]
        latency, _, _ = parse_latency(value)
        rows.append(Operator(family, pid, name, latency, sizes.get(key, 0)))
    return sorted(rows, key=lambda row: (-row.latency.count, row.name))


def event(
    functions: Sequence[tuple[str, str]], record: Record, began: int, stack: int
) -> OperatorEvent | None:
    """Return one call on the time axis."""
    if not isinstance(record.body, CallBody):
        return None
    family, name = functions[record.weight]
    body = record.body
    return OperatorEvent(
        family,
        name,
        record.time_ns - began,
        body.duration,
        record.pid,
        record.tid,
        body.bytes,
        stack if body.stack else NO_STACK,
    )
