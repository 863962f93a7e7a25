"""What the process tree touched outside its memory, and what the policy says about it."""

from __future__ import annotations

import errno
from collections import defaultdict

from ...render.table import Cell, Table
from ...render.units import duration
from ..attribution import line_of, place
from ..model import Trace
from ..rows import AuditEvent
from .lines import clipped

_VERDICTS = ("denied", "stopped", "violation")
_ACTIONS = ("connect", "send", "exec", "syscall", "open")


def audit_table(trace: Trace, limit: int = 20) -> Table | None:
    """Return audited events, equal ones on one row, violations first; None when nobody audited."""
    if trace.audit is None:
        return None
    groups: dict[tuple[str, str, int, str, str, str], list[AuditEvent]] = defaultdict(list)
    places = {stack: place(line_of(trace.frames_of(stack))) for stack in {e.stack for e in trace.audit}}
    for event in trace.audit:
        where = places[event.stack] if event.stack >= 0 else ""
        groups[event.action, event.target, event.error, event.verdict, event.rule, where].append(event)
    ordered = sorted(groups.items(), key=lambda group: _order(group[1]))
    rows = [_row(trace, events, key[-1]) for key, events in ordered[:limit]]
    columns = (
        "verdict",
        "action",
        "target",
        "times",
        "bytes",
        "result",
        "rule",
        "line",
        "process",
        "first at",
    )
    return Table(columns, rows, "Audit: files, addresses, programs", _note(trace.audit, len(groups) - limit))


def _row(trace: Trace, events: list[AuditEvent], where: str) -> list[Cell]:
    first = events[0]
    processes = {event.pid for event in events}
    name = trace.meta.processes.get(str(first.pid), "?")
    return [
        first.verdict or None,
        first.action,
        clipped(first.target, 60),
        len(events),
        sum(event.bytes for event in events) if first.action == "send" else None,
        errno.errorcode.get(abs(first.error), str(first.error)) if first.error else "ok",
        clipped(first.rule, 40) or None,
        where or None,
        f"{name} ({first.pid})" if len(processes) == 1 else f"{len(processes)} processes",
        duration(first.time_ns),
    ]


def _order(events: list[AuditEvent]) -> tuple[int, int, int]:
    first = events[0]
    verdict = _VERDICTS.index(first.verdict) if first.verdict in _VERDICTS else len(_VERDICTS)
    action = _ACTIONS.index(first.action) if first.action in _ACTIONS else len(_ACTIONS)
    return verdict, action, first.time_ns


def _note(events: tuple[AuditEvent, ...], more: int) -> str:
    broken = sum(event.verdict in _VERDICTS for event in events)
    parts = [f"{len(events):,} events"]
    if any(event.verdict for event in events):
        parts.append(f"{broken:,} against the policy")
    else:
        parts.append("no policy given")
    return "; ".join([*parts, f"{more} more rows"] if more > 0 else parts)
