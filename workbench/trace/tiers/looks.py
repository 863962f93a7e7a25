"""What threads were doing, from looks at them now and then: the Python side of samples that somebody else takes."""

from __future__ import annotations

import bisect
from collections import defaultdict

from .sampler import Stack


class Looks:
    """Looks at threads, in the order of time.

    Parameters
    ----------
    limit_ns
        How far in time a look may be from what it speaks for.

    Examples
    --------
    >>> looks = Looks(limit_ns=10)
    >>> looks.add(0, {7: (("run", "a.py", 1), ("fast", "a.py", 5))})
    >>> looks.add(100, {7: (("run", "a.py", 1), ("slow", "a.py", 9))})
    >>> looks.at(7, 95)[-1]
    ('slow', 'a.py', 9)
    >>> looks.at(7, 50)
    (('run', 'a.py', 1),)
    """

    def __init__(self, limit_ns: int) -> None:
        self._limit = limit_ns
        self._looks: dict[int, list[tuple[int, Stack]]] = defaultdict(list)

    def add(self, time_ns: int, stacks: dict[int, Stack]) -> None:
        """Take a look: the stack of each thread, by its number."""
        for tid, stack in stacks.items():
            self._looks[tid].append((time_ns, stack))

    def at(self, tid: int, time_ns: int) -> Stack:
        """Return the stack of the look closest in time, outermost first.

        Where none is close (on a busy machine, whoever looks waits as well), what the looks before and after
        have in common: frames that were there at both ends, at the same line, were there in between.
        """
        looks = self._looks.get(tid, [])
        at = bisect.bisect_left(looks, (time_ns, ()))
        around = looks[max(at - 1, 0) : at + 1]
        near = min(around, key=lambda look: abs(look[0] - time_ns), default=None)
        if near is None:
            return ()
        if abs(near[0] - time_ns) <= self._limit:
            return near[1]
        return _shared(around[0][1], around[1][1]) if len(around) == 2 else ()


def _shared(before: Stack, after: Stack) -> Stack:
    for depth, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return before[:depth]
    return min(before, after, key=len)
