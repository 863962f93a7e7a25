"""Run a probe of the user's own, written in BPF C."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..pipeline.result import Result
from ..render.table import Cell, Table

if TYPE_CHECKING:
    from ..trace.bcc.probe import ProbeMap

_ROWS = 20
_BAR = 32


def probe(
    text: str,
    *,
    seconds: float = 5.0,
    hz: int = 99,
    on_tables: Callable[[tuple[Table, ...]], None] | None = None,
) -> Result:
    """Compile BPF C with bcc, attach it for a while and show its maps.

    Parameters
    ----------
    text
        The program, as bcc takes it: ``TRACEPOINT_PROBE`` and ``RAW_TRACEPOINT_PROBE`` attach where they
        say, a function ``on_sample`` to the CPU clock.
    seconds
        How long it stays attached.
    hz
        Calls of ``on_sample`` a second and CPU.
    on_tables
        Called twice a second with the maps as tables.

    Returns
    -------
    Result
        One table a map, histograms with bars; ``.maps`` has their entries.

    Raises
    ------
    NoPrivilege
        If we are not root.
    InputError
        If the text does not compile, with its line.

    Examples
    --------
    >>> probe("BPF_HASH(counts);", seconds=1)  # doctest: +SKIP
    """
    from ..trace.bcc.probe import run_probe

    def show(maps: tuple[ProbeMap, ...]) -> None:
        if on_tables is not None:
            on_tables(tables(maps))

    maps = run_probe(text, seconds, hz=hz, on_maps=show)
    return Result(
        f"probe, {seconds:g} s", tables(maps), details={"maps": {one.name: one.entries for one in maps}}
    )


def tables(maps: tuple[ProbeMap, ...]) -> tuple[Table, ...]:
    """Return one table a map."""
    return tuple(_histogram(one) if one.histogram else _table(one) for one in maps)


def _table(one: ProbeMap) -> Table:
    """Return a map as a table: a column for each field of key and value, largest value first."""
    entries = sorted(one.entries, key=lambda entry: _weight(entry[1]), reverse=True)
    rows = [{**_fields("key", key), **_fields("value", value)} for key, value in entries[:_ROWS]]
    columns = tuple(rows[0]) if rows else ("key", "value")
    left = len(entries) - len(rows)
    note = f"and {left:,} more" if left else ""
    return Table(columns, tuple(tuple(row[column] for column in columns) for row in rows), one.name, note)


def _histogram(one: ProbeMap) -> Table:
    """Return a log2 histogram: slot k counts values from 2^(k-1) to 2^k - 1, as bcc's ``bpf_log2l`` puts them."""
    counts = {key: value for key, value in one.entries if isinstance(key, int) and value}
    top = max(counts.values(), default=1)
    slots = range(min(counts, default=0), max(counts, default=-1) + 1)
    rows = tuple(
        (
            f"{1 << max(slot - 1, 0):,} to {(1 << slot) - 1:,}" if slot > 1 else "0 to 1",
            counts.get(slot, 0),
            "\N{FULL BLOCK}" * round(_BAR * counts.get(slot, 0) / top),
        )
        for slot in slots
    )
    return Table(("value", "count", ""), rows, one.name)


def _fields(name: str, value: Any) -> dict[str, Cell]:
    if isinstance(value, dict):
        return {key: _cell(part) for key, part in value.items()}
    return {name: _cell(value)}


def _cell(value: Any) -> Cell:
    return value if isinstance(value, int | float | str) else str(value)


def _weight(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
