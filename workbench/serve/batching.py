"""How many waiting requests to run as one, from what a batch was measured to cost on this machine.

No request ever waits for company. A worker that becomes free looks at who waits already and cuts that queue
into batches so that the sum of their waiting times is least::

    best(first, ..., last) = min over k of   n * cost(rows of the first k)  +  best(the rest)

where n is the number that wait, because all of them wait for the first batch. With one request waiting the
answer is always one, so that at low load a batching replica does what one without batching does; and where a
batch of two costs as much as two runs, the answer stays one at any load.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..types import Signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tensors import Array

    Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]

_REPEATS, _LEAST_REPEATS, _MEASURE_S = 20, 3, 1.0
_TOLERANCE = 1e-3
_SCHEDULED = Path("/proc/thread-self/schedstat")  # ns on a processor, ns waiting for one, times it got one


class CostCurve:
    """Seconds of one run by its number of rows, measured at some and interpolated between.

    Parameters
    ----------
    points
        ``rows -> seconds``; at least one. Costs are made not to fall with the rows: a fall is noise.

    Examples
    --------
    >>> flat, linear = CostCurve({1: 0.010, 8: 0.010}), CostCurve({1: 0.010, 8: 0.080})
    >>> flat.first_batch((1, 1, 1, 1)), linear.first_batch((1, 1, 1, 1)), flat.first_batch((1,))
    (4, 1, 1)
    """

    def __init__(self, points: Mapping[int, float]) -> None:
        self.rows = sorted(points)
        self.seconds: list[float] = np.maximum.accumulate([points[rows] for rows in self.rows]).tolist()
        self.first_batch = lru_cache(4096)(self._first_batch)

    @property
    def most_rows(self) -> int:
        """The largest batch that was measured; no larger one is made of several requests."""
        return self.rows[-1]

    def cost(self, rows: int) -> float:
        """Return the seconds a batch of `rows` is expected to take."""
        at = bisect_left(self.rows, rows)
        if at == len(self.rows):
            return self.seconds[-1] * rows / self.rows[-1]
        if at == 0 or self.rows[at] == rows:
            return self.seconds[at]
        part = (rows - self.rows[at - 1]) / (self.rows[at] - self.rows[at - 1])
        return self.seconds[at - 1] + part * (self.seconds[at] - self.seconds[at - 1])

    def _first_batch(self, waiting: tuple[int, ...]) -> int:
        """Return how many of the waiting requests (their rows, in order) to run first, together."""
        count = len(waiting)
        best, first = [0.0] * (count + 1), [1] * count
        for start in range(count - 1, -1, -1):
            rows, least = 0, float("inf")
            for end in range(start + 1, count + 1):
                rows += waiting[end - 1]
                if rows > self.most_rows and end > start + 1:
                    break
                total = (count - start) * self.cost(rows) + best[end]
                if total < least:
                    least, first[start] = total, end - start
            best[start] = least
        return first[0]


def batch_axis(signature: Signature) -> str:
    """Return the name of the dynamic first dimension that every input and output shares.

    Raises
    ------
    InputError
        If there is none: such a model takes one request at a time.
    """
    names = {spec.shape[0] if spec.shape else None for spec in (*signature.inputs, *signature.outputs)}
    name = names.pop()
    if names or not isinstance(name, str):
        raise InputError(
            "the model cannot take several requests at once: its inputs and outputs share no dynamic first "
            "dimension",
            where="--max-batch",
            fix="capture it with a dynamic batch dimension, or leave --max-batch at 1",
        )
    return name


def measure(signature: Signature, run: Run, examples: Mapping[str, Array], most: int) -> CostCurve:
    """Measure what batches cost, after checking that one request's answer does not depend on another's.

    Parameters
    ----------
    examples
        The captured inputs; their first row is repeated.
    most
        Rows of the largest batch.

    Raises
    ------
    InputError
        If the model has no batch dimension, or answers change with the company they are computed in (a grid
        that is found at each call over the whole batch does that).
    """
    batch_axis(signature)
    one = {name: np.ascontiguousarray(array[:1]) for name, array in examples.items()}
    _check_alone(run, one)
    sizes = [2**power for power in range(most.bit_length()) if 2**power < most] + [most]
    feeds = {rows: {name: np.repeat(array, rows, axis=0) for name, array in one.items()} for rows in sizes}
    points = dict.fromkeys(sizes, float("inf"))
    until = time.perf_counter() + _MEASURE_S
    for repeat in range(_REPEATS):  # taking turns, so that a disturbance does not hit one size alone
        for rows in sizes:
            points[rows] = min(points[rows], _seconds(run, feeds[rows]))
        if repeat + 1 >= _LEAST_REPEATS and time.perf_counter() > until:
            break
    return CostCurve(points)


def _check_alone(run: Run, one: Mapping[str, Array]) -> None:
    """Compare a row's answer alone with its answer beside a row of other, larger values."""
    other = {name: array * 8 if array.dtype.kind == "f" else np.flip(array) for name, array in one.items()}
    alone = run(one)
    both = run({name: np.concatenate([array, other[name]]) for name, array in one.items()})
    for name, array in alone.items():
        if array.dtype.kind != "f":
            same = np.array_equal(both[name][:1], array)
        else:
            scale = float(np.abs(array).max(initial=0.0)) or 1.0
            same = float(np.abs(both[name][:1] - array).max(initial=0.0)) <= _TOLERANCE * scale
        if not same:
            raise InputError(
                f"the output {name!r} of a request changes with the requests it is batched with",
                where="--max-batch",
                fix="leave --max-batch at 1, or quantize with calibrated grids",
            )


def _seconds(run: Run, feeds: Mapping[str, Any]) -> float:
    """Return how long one run takes, less the time its thread waited for a processor.

    On a busy machine a long run is interrupted and a short one is not: the bare clock would say that batches do not
    pay, for as long as this replica lives.
    """
    waited, start = _waited_s(), time.perf_counter()
    run(feeds)
    taken = time.perf_counter() - start
    return max(taken - (_waited_s() - waited), 1e-9)


def _waited_s() -> float:
    """Return the seconds that this thread has waited in the run queue; 0 where the kernel does not count them."""
    try:
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
