"""A trace as tables of pandas, for questions that no report asks."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from ...render.frame import frame
from ..attribution import label, line_of
from ..latency import Latency
from ..model import Trace
from ..rows import (
    Allocation,
    AuditEvent,
    FaultCount,
    OffCpu,
    Operator,
    OperatorEvent,
    RunDelay,
    Sample,
    SystemCall,
    ThreadWaits,
)

if TYPE_CHECKING:
    import pandas as pd

TABLES: dict[str, type[Any]] = {
    "samples": Sample,
    "waits": ThreadWaits,
    "calls": SystemCall,
    "faults": FaultCount,
    "delays": RunDelay,
    "offcpu": OffCpu,
    "allocations": Allocation,
    "operators": Operator,
    "cuda": Operator,
    "usdt": Operator,
    "events": OperatorEvent,
    "audit": AuditEvent,
}


def frames(trace: Trace) -> dict[str, pd.DataFrame]:
    """Return one DataFrame a table the trace holds; tables nobody filled are left out.

    Columns are the fields of the rows in :mod:`workbench.trace.rows`. A stack becomes ``file``, ``line``,
    ``cell`` (the line it is charged to) and ``frames`` (the whole of it, outermost first, joined by ``;``); a
    distribution becomes ``count``, ``errors``, ``total_ns``, ``p50_ns``, ``p99_ns``, ``max_ns``.

    Raises
    ------
    MissingDependency
        If pandas is not installed.

    Examples
    --------
    >>> from workbench import trace
    >>> with trace.session(tier="sampler") as recorder:
    ...     total = sum(range(1000))
    >>> sorted(recorder.trace.to_pandas())
    ['faults', 'samples']
    """
    stacks = [_stack(trace, number) for number in range(len(trace.stacks))]
    found = {}
    for name, record in TABLES.items():
        rows = getattr(trace, name)
        if rows is not None:
            found[name] = frame([_cells(row, stacks) for row in rows], _columns(record))
    return found


_NOWHERE: dict[str, Any] = {"file": "", "line": 0, "cell": 0, "frames": ""}
_LATENCY = ("count", "errors", "total_ns", "p50_ns", "p99_ns", "max_ns")


def _stack(trace: Trace, number: int) -> dict[str, Any]:
    frames = trace.frames_of(number)
    line = line_of(frames)
    joined = ";".join(label(one) for one in frames)
    return {"file": line.file, "line": line.line, "cell": line.cell, "frames": joined}


def _columns(record: type[Any]) -> list[str]:
    names: list[str] = []
    for field in fields(record):
        names += {"stack": tuple(_NOWHERE), "latency": _LATENCY}.get(field.name, (field.name,))
    return names


def _cells(row: Any, stacks: list[dict[str, Any]]) -> list[Any]:
    cells: list[Any] = []
    for field in fields(row):
        value = getattr(row, field.name)
        if field.name == "stack":
            cells += (stacks[value] if value >= 0 else _NOWHERE).values()
        elif isinstance(value, Latency):
            cells += _latency(value).values()
        else:
            cells.append(value)
    return cells


def _latency(latency: Latency) -> dict[str, float]:
    whole = asdict(latency)
    percentiles = {"p50_ns": latency.percentile(0.5), "p99_ns": latency.percentile(0.99)}
    return {name: {**whole, **percentiles}[name] for name in _LATENCY}
