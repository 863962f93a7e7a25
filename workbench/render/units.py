"""Figures as people read them: durations, sizes, amounts of a unit."""

from __future__ import annotations


def duration(ns: float) -> str:
    """Return a duration with a fitting unit.

    Examples
    --------
    >>> duration(512), duration(2_048), duration(3_000_000), duration(0)
    ('512 ns', '2.05 us', '3 ms', '0 ns')
    """
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(ns) >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def size(count: float) -> str:
    """Return a number of bytes with a fitting unit.

    Examples
    --------
    >>> size(512), size(10_485_760), size(3 << 30)
    ('512 B', '10 MiB', '3 GiB')
    """
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if abs(count) >= 1 << shift:
            return f"{count / (1 << shift):.4g} {unit}"
    return f"{count:.0f} B"


def amount(value: float, unit: str) -> str:
    """Return a value of one of the units ``s``, ``B`` or none.

    Examples
    --------
    >>> amount(0.25, "s"), amount(2048, "B"), amount(12_000, "")
    ('250 ms', '2 KiB', '12,000')
    """
    if unit == "s":
        return duration(value * 1e9)
    return size(value) if unit == "B" else f"{value:,.0f}"
