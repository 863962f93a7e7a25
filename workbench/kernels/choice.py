"""Which layout is faster here: 2 bits a weight, or 1.6 bits that cost more to decode.

Where weights come from decides: out of a near cache the kernel waits for itself and 2 bits win; from memory it
waits for bytes and fewer of them may win. How much depends on the processor and on how many threads share its
bandwidth, so it is measured, once a machine and number of threads, and kept beside the compiled kernels. For another
machine, which cannot be measured here, a rule decides.
"""

from __future__ import annotations

import ctypes
import json
import math
import time
from dataclasses import dataclass

import numpy as np

from ..atomic import write_bytes
from ..config import cache
from .features import cache_bytes
from .library import Library, Matrix, library
from .packed import LAYOUTS, aligned
from .targets import target_named

BITS = {"t2": 2.0, "t5": 1.6}
_K, _LARGEST = 5120, 256 * 2**20
_ROUNDS, _SECONDS = 5, 0.03  # at least so many products, for at least so long
_GUESSED_CACHES = (2**20, 32 * 2**20)
# These decode 1.6 bits at the speed of memory: a table of 64 bytes is one instruction.
_DENSE = ("x86-64-avx512-vnni",)


@dataclass(frozen=True)
class Choice:
    """A layout and why.

    Attributes
    ----------
    layout : str
        ``"t2"`` or ``"t5"``.
    level : str
        Where the weights of that layout come from: ``"near"`` (a core's own cache), ``"shared"`` or ``"memory"``.
    rates : dict
        Weights a second that each layout reached there; empty where the rule decided.
    """

    layout: str
    level: str
    rates: dict[str, float]


def choose(weights: int, *, threads: int = 1, target: str = "host") -> Choice:
    """Return the faster layout for products with one row of activations.

    Parameters
    ----------
    weights
        How many are read before the same one is read again: all ternary weights of the model.
    threads
        How many cores share them.
    target
        Which kernels. Others than this machine's best are not measured: 1.6 bits are taken where a target decodes
        them at the speed of memory and 2 bits would not fit a core's own cache.

    Examples
    --------
    >>> choose(1000).level
    'near'
    >>> choose(10**9, target="riscv64-rvv").layout
    't2'
    """
    if target_named(target) != target_named("host"):
        level = _level_in(_GUESSED_CACHES, weights * BITS["t2"] / 8, threads)
        return Choice("t5" if target in _DENSE and level != "near" else "t2", level, {})
    measured = rates(threads)
    levels = {layout: _level(weights * bits / 8, threads) for layout, bits in BITS.items()}
    found = {layout: measured[layout][level] for layout, level in levels.items()}
    best = max(found, key=lambda layout: found[layout])
    return Choice(best, levels[best], found)


def rates(threads: int = 1) -> dict[str, dict[str, float]]:
    """Return weights a second by layout and level; measures when this machine has not (about a second)."""
    kernels = library()
    path = cache("kernels") / f"{kernels.path.stem}.{threads}.json"
    try:
        known: dict[str, dict[str, float]] = json.loads(path.read_text())
        if all(known[layout][level] > 0 for layout in BITS for level in ("near", "shared", "memory")):
            return known
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not measured yet, or not by us
    measured = {layout: _measure(kernels, layout, threads) for layout in BITS}
    write_bytes(path, json.dumps(measured, indent=1).encode())
    return measured


def _caches() -> tuple[int, int]:
    near, last = cache_bytes()
    return near or _GUESSED_CACHES[0], last or _GUESSED_CACHES[1]


def _level(size: float, threads: int) -> str:
    return _level_in(_caches(), size, threads)


def _level_in(caches: tuple[int, int], size: float, threads: int) -> str:
    near, last = caches
    return "near" if size / threads <= 0.75 * near else "shared" if size <= 0.75 * last else "memory"


def _measure(kernels: Library, layout: str, threads: int) -> dict[str, float]:
    near, last = _caches()
    sizes = {
        "near": near * threads // 2,
        "shared": min(max(2 * near * threads, last // 3), last // 2),
        "memory": max(min(4 * last, _LARGEST), last + last // 4),
    }
    return {level: _rate(kernels, layout, size, threads) for level, size in sizes.items()}


def _rate(kernels: Library, layout: str, size: int, threads: int) -> float:
    rows = max(64, int(size / (_K * BITS[layout] / 8)) // 64 * 64)
    matrix = Matrix(None, rows, _K, 1, LAYOUTS[layout], 1)
    data = aligned(kernels.calls.tern_packed_bytes(ctypes.byref(matrix)))
    data[:] = 0x55  # any weights; but pages of their own, which untouched ones are not
    matrix.data = data.ctypes.data
    x, scales, y = np.ones(_K, np.float32), np.ones(rows, np.float32), np.empty(rows, np.float32)
    best = math.inf
    clock = time.thread_time if threads == 1 else time.perf_counter
    begun, rounds = time.perf_counter(), 0
    while rounds < _ROUNDS or time.perf_counter() < begun + _SECONDS:
        start, rounds = clock(), rounds + 1
        kernels.calls.tern_linear(
            ctypes.byref(matrix), scales.ctypes.data, None, x.ctypes.data, y.ctypes.data, 1, 0, threads
        )
        best = min(best, clock() - start)  # the least disturbed
    return rows * _K / best
