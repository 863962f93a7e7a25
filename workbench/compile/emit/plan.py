"""Which buffers may lie in the same memory: the arena.

A buffer lives from the call that writes it first to the call that reads it last. Buffers that never live at
the same time share a slot; a slot is as large as the largest of them. Where sizes are dynamic they are
compared at the captured sizes, and the generated code takes the maximum at those it is given, so that the
plan is right for every size and tight for those it was made for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sympy

from .function import Function
from .sizes import evaluate
from .tensors import Buffer


@dataclass
class Slot:
    """A piece of the arena and the sizes in bytes it must have room for."""

    sizes: list[sympy.Expr] = field(default_factory=list)

    def add(self, size: sympy.Expr) -> None:
        """Make room for `size` bytes; sizes that another is never smaller than are dropped."""
        if any(_never_smaller(other, size) for other in self.sizes):
            return
        self.sizes = [other for other in self.sizes if not _never_smaller(size, other)] + [size]

    def bytes_at(self, sizes: Mapping[str, int]) -> int:
        """Return how large it is at given sizes."""
        return max(evaluate(size, dict(sizes)) for size in self.sizes)


@dataclass(frozen=True)
class Plan:
    """The slots, and which buffer lies in which."""

    slots: tuple[Slot, ...]
    place: Mapping[Buffer, int]


def plan(functions: Sequence[Function], captured: Mapping[str, int]) -> Plan:
    """Place the buffers of the calls, in their order.

    Parameters
    ----------
    functions
        The calls.
    captured
        Every dynamic size as it was captured, in elements.
    """
    last = {buffer: i for i, function in enumerate(functions) for buffer in function.buffers}
    slots: list[Slot] = []
    place: dict[Buffer, int] = {}
    free: list[int] = []
    for i, function in enumerate(functions):
        for buffer in dict.fromkeys(function.buffers):
            if buffer.kind == "arena" and buffer not in place:
                place[buffer] = _choose(slots, free, buffer, captured)
                slots[place[buffer]].add(buffer.size_bytes)
        free += [place[b] for b in dict.fromkeys(function.buffers) if b in place and last[b] == i]
    return Plan(tuple(slots), place)


def _choose(slots: list[Slot], free: list[int], buffer: Buffer, captured: Mapping[str, int]) -> int:
    """Return the free slot that fits best: the smallest large enough, else the largest, else a new one."""
    if not free:
        slots.append(Slot())
        return len(slots) - 1
    need = evaluate(buffer.size_bytes, dict(captured))
    size = {index: slots[index].bytes_at(captured) for index in free}
    enough = [index for index in free if size[index] >= need]
    best = min(enough, key=size.__getitem__) if enough else max(free, key=size.__getitem__)
    free.remove(best)
    return best


def _never_smaller(a: sympy.Expr, b: sympy.Expr) -> bool:
    """Tell whether a >= b whatever the sizes are: no term of the difference is negative."""
    difference = sympy.expand(a - b)
    terms = sympy.Add.make_args(difference)
    return all(term.is_nonnegative for term in terms)
