"""The peers a client lets its processes reach, as they travel to the collector and into the kernel."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

MAX_RULES = 64
_PORTS = 65535


@dataclass(frozen=True)
class AddressRule:
    """A network (16 bytes in hexadecimal, IPv4 as ``::ffff:a.b.c.d``), prefix length and ports."""

    address: str
    prefix: int
    low: int
    high: int

    def pack(self) -> bytes:
        """Return ``struct rule``."""
        mask = ((1 << 128) - (1 << (128 - self.prefix))).to_bytes(16, "big")
        address = bytes(one & two for one, two in zip(bytes.fromhex(self.address), mask, strict=True))
        return address + mask + struct.pack("<HHI", self.low, self.high, 1)


@dataclass(frozen=True)
class Enforcement:
    """Every peer no rule covers is refused; `signal` (0: none) is sent to who tried."""

    rules: tuple[AddressRule, ...]
    signal: int = 0

    def to_json(self) -> list[Any]:
        """Return the form that travels."""
        return [self.signal, [[rule.address, rule.prefix, rule.low, rule.high] for rule in self.rules]]

    def pack_settings(self) -> bytes:
        """Return ``struct settings``."""
        return struct.pack("<II", self.signal, 0)


def parse_enforcement(value: Any) -> Enforcement | None:
    """Return what a client we do not trust wants refused.

    Raises
    ------
    InputError
        If anything about it is not exactly as specified.
    """
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], list):
        raise InputError("enforce is not a signal and a list of rules", where="collector")
    if len(value[1]) > MAX_RULES or not _number(value[0], 64):
        raise InputError(f"enforce has more than {MAX_RULES} rules or no such signal", where="collector")
    return Enforcement(tuple(_rule(item) for item in value[1]), value[0])


def _rule(item: Any) -> AddressRule:
    if not isinstance(item, list) or len(item) != 4 or not isinstance(item[0], str):
        raise InputError("a rule is not an address, a prefix length and two ports", where="collector")
    address, prefix, low, high = item
    try:
        long_enough = len(bytes.fromhex(address)) == 16
    except ValueError:
        long_enough = False
    if not long_enough or not _number(prefix, 128) or not _number(low, _PORTS) or not _number(high, _PORTS):
        raise InputError("a rule has an address, prefix length or port out of range", where="collector")
    return AddressRule(address, prefix, low, high)


def _number(value: Any, high: int) -> bool:
    return type(value) is int and 0 <= value <= high
