"""TVM's virtual machine told to call us around every function: names, shapes and times, without a build of its own."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from ...errors import InputError
from ..emit.record import HEADER_FILE
from ..operator_times import Operator
from ..relax.loading import RelaxRunner

_WARM = 3
Shapes = tuple[tuple[int, ...], ...]


@dataclass
class _Seen:
    """Equal calls: for each of a pass, the first to the last, its seconds in every pass."""

    seconds: list[list[float]] = field(default_factory=list)
    bytes: float = 0.0

    def note(self, number: int, seconds: float) -> None:
        if number == len(self.seconds):
            self.seconds.append([])
        self.seconds[number].append(seconds)


def profile(compiled: Path, feeds: Mapping[str, Any], threads: int, repeats: int) -> list[Operator]:
    """Return the functions of ``model.so``, one row for each name and shapes.

    Raises
    ------
    InputError
        If it was built without a runtime: then nobody calls between its functions.
    """
    if (compiled / HEADER_FILE).is_file():
        raise InputError(
            "a model without a runtime tells no time by operator",
            where=str(compiled),
            fix="compile it without --option runtime=none, for this machine",
        )
    runner = RelaxRunner(compiled, threads)
    for _ in range(_WARM):
        runner.run(feeds)
    watch = _Watch()
    runner.watch(watch)
    for _ in range(repeats):
        watch.begin()
        runner.run(feeds)
    return [_operator(name, shapes, one) for (name, shapes), one in watch.seen.items()]


class _Watch:
    """Notes the time between the calls before and after a function."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, Shapes], _Seen] = {}
        self._calls: Counter[tuple[str, Shapes]] = Counter()
        self._begun_s = 0.0

    def begin(self) -> None:
        """Begin a pass."""
        self._calls.clear()

    def __call__(self, _function: Any, name: Any, before: Any, _result: Any, *given: Any) -> int:
        now = time.perf_counter()
        if not before:
            tensors = [one for one in given if hasattr(one, "shape") and hasattr(one, "dtype")]
            shapes = tuple(tuple(map(int, one.shape)) for one in tensors)
            key = (str(name), shapes)
            one = self.seen.setdefault(key, _Seen())
            one.note(self._calls[key], now - self._begun_s)
            self._calls[key] += 1
            one.bytes = float(sum(math.prod(s) * _itemsize(t) for s, t in zip(shapes, tensors, strict=True)))
        self._begun_s = time.perf_counter()
        return 0


def _itemsize(tensor: Any) -> float:
    digits = "".join(letter for letter in str(tensor.dtype) if letter.isdigit())
    return int(digits) / 8 if digits else 1.0


def _operator(name: str, shapes: Shapes, seen: _Seen) -> Operator:
    each = len(seen.seconds)
    work = flops(name, shapes)
    named = " ".join("x".join(map(str, shape)) for shape in shapes[:1] + shapes[-1:])
    times = f"{each} x " if each != 1 else ""
    return Operator(
        f"{times}{name} {named}".strip(),
        name.removeprefix("vm.builtin."),
        sum(map(median, seen.seconds)),
        None if work is None else work * each,
        seen.bytes * each or None,
        calls=each,
    )


def flops(name: str, shapes: Shapes) -> float | None:
    """Return the operations of one call: of a product, a convolution, attention, else one for each element written.

    Examples
    --------
    >>> flops("mlops_linear_f32", ((1, 8), (2, 8, 16), (20,), (1, 20)))
    320.0
    """
    if name.startswith("vm.") or len(shapes) < 2:
        return None
    first, second, out = shapes[0], shapes[1], shapes[-1]
    elements = float(math.prod(out))
    if "conv" in name and len(second) > 2 and "ternary" not in name:
        return 2 * elements * math.prod(second[1:])
    if "conv" in name:
        return None  # packed codes do not show the kernel's size
    if "attention" in name:
        if out[1] not in second[1:3]:
            return None  # heads that share keys, in either order
        keys = second[2] if second[1] == out[1] else second[1]
        return 2 * (elements + math.prod(first)) * keys
    if "linear" in name or "matmul" in name:
        return 2 * elements * first[-1]
    return elements
