"""Compiled models side by side, operator by operator, and why one is slower than the first."""

from __future__ import annotations

from typing import Any

from ..compile.operator_groups import Group, grouped, reason
from ..pipeline.result import Result
from ..render.table import Cell, Table
from ..store import Store


def compare_operators(artifacts: tuple[str, ...], store: Store) -> Result:
    """Return a table by what operators do; ``.groups`` has the figures, ``.reasons`` why others take longer."""
    from ..compile.peak import peaks
    from .operators import measured

    peak, _ = peaks()
    found = {name: grouped(measured(name, store)) for name in artifacts}
    first, *others = artifacts
    sorts = list(dict.fromkeys(sort for groups in found.values() for sort in groups))
    reasons = {
        name: {
            sort: why
            for sort in sorts
            if (why := reason(found[first].get(sort), found[name].get(sort), peak))
        }
        for name in others
    }
    facts: dict[str, Any] = {
        "groups": {name: {sort: vars(one) for sort, one in groups.items()} for name, groups in found.items()},
        "reasons": reasons,
    }
    tables = tuple(_table(first, name, found, sorts, reasons[name]) for name in others)
    return Result(f"operators of {len(artifacts)} models", tables, details=facts, store=store)


def _table(
    first: str, other: str, found: dict[str, dict[str, Group]], sorts: list[str], why: dict[str, str]
) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for sort in sorts:
        a, b = found[first].get(sort), found[other].get(sort)
        if a is None and b is None:
            continue
        times = b.seconds / a.seconds if a and b else None
        rows.append((sort, *_cells(a), *_cells(b), times, why.get(sort, "")))
    sums = [sum(one.seconds for one in found[name].values()) * 1e3 for name in (first, other)]
    rows.append(("all", sums[0], "", sums[1], "", sums[1] / sums[0], ""))
    note = (
        f"A: {first}; B: {other}; ms of one pass by the backends' own profilers, which cost small operators more than"
        " large ones; of the peak: of one thread in float32"
    )
    columns = ("operators", "A ms", "A kernels", "B ms", "B kernels", "B / A", "why B takes longer")
    return Table(columns, rows, note=note)


def _cells(group: Group | None) -> tuple[Cell, Cell]:
    if group is None:
        return None, ""
    names = ", ".join(name[:32] for name in group.kernels)
    return group.seconds * 1e3, f"{group.calls:g}: {names}"
