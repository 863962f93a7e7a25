"""Takes records as they come and does at once only what cannot wait.

The reader runs in the traced process, often beside the very thread that is measured, with cold caches and the
interpreter's lock in its hands. So of samples it looks only at Python stacks it has not seen for a moment, whose code
objects may be gone soon; the samples themselves stay bytes until the trace has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ..records import LATER, RECORD_STACK, Record, parse_records, scan_records
from ..symbols.process import Named, ResolvedRecord, Symbols

_FRESH_SECONDS = 0.05
_LOOKED_AT, _LOOKED_AT_LATER, _EARLY_SECONDS = 16, 2, 2.0

_Names = dict[tuple[int, tuple[tuple[int, int], ...]], Named]
"""Code objects by process and Python stack."""


class Intake:
    """The records of one session.

    Parameters
    ----------
    symbols
        Names them.
    hear
        Called with every record that starts or ends something, each new stack, and a few samples of each moment.
    """

    def __init__(self, symbols: Symbols, hear: Callable[[Record], None]) -> None:
        self._symbols, self._hear = symbols, hear
        self._resolved: list[ResolvedRecord] = []
        self._waiting: list[tuple[bytes, _Names]] = []
        self._names: _Names = {}
        self._seen: set[tuple[int, bytes]] = set()
        self._known: _Names = {}
        self._began, self._left = 0.0, 0
        self._early_until = time.monotonic() + _EARLY_SECONDS

    def take(self, data: bytes) -> None:
        """Take the records of one message (tag removed)."""
        self._begin()
        kept = 0
        for at, size, later, key in scan_records(data):
            if later:
                if key in self._seen and not self._left:
                    continue
                self._seen.add(key)
                self._left = max(self._left - 1, 0)
                self._look(data[at : at + size])
                continue
            self._keep(data[kept:at])
            kept = at + size
            self._look(data[at:kept])
        self._keep(data[kept:] if kept else data)

    def records(self) -> Iterator[ResolvedRecord]:
        """Yield all but stacks, samples in the order they came."""
        yield from self._resolved
        for data, names in self._waiting:
            for record in parse_records(data):
                frames = record.python
                yield ResolvedRecord(record, names.get((record.pid, frames), ()) if frames else ())

    def _begin(self) -> None:
        """Look again at code objects that were looked at before this moment."""
        now = time.monotonic()
        if now < self._began + _FRESH_SECONDS:
            return
        self._began, self._left = now, _LOOKED_AT if now < self._early_until else _LOOKED_AT_LATER
        self._symbols.begin()
        self._seen.clear()
        self._names = {}

    def _keep(self, data: bytes) -> None:
        if data:
            self._waiting.append((data, self._names))

    def _look(self, data: bytes) -> None:
        (record,) = parse_records(data)
        self._hear(record)
        resolved = self._symbols.resolve(record)
        if record.kind in LATER:
            key = (record.pid, record.python)
            before = self._known.get(key)  # mostly the same: one object for a long trace
            if before != resolved.python:
                before = self._known[key] = resolved.python
            self._names[key] = before
        elif record.kind != RECORD_STACK:
            self._resolved.append(resolved)
