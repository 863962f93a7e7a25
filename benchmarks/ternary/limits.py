"""Physical limits: reading a packed weight, decoding it, and the processor's peak of int8 products."""

from __future__ import annotations

import ctypes
import functools
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.kernels import compile_command
from workbench.kernels.build import run_compiler

_ROUNDS = 20_000


@functools.cache
def _calls() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "limits.so"
        source = Path(__file__).with_suffix(".c")
        run_compiler([*compile_command("host"), "-shared", "-fPIC", str(source), "-o", str(library)])
        calls = ctypes.CDLL(str(library))
    calls.read_bytes.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    calls.read_bytes.restype = None
    calls.repeat_linear.argtypes = [ctypes.c_void_p] * 6 + [
        ctypes.c_int64,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int64,
    ]
    calls.repeat_linear.restype = None
    for name in ("multiply_adds", "decode_t2", "decode_t5"):
        function = getattr(calls, name)
        function.argtypes, function.restype = [ctypes.c_int64], ctypes.c_int64
    return calls


def read(address: int, size: int, way: int = 0) -> None:
    """Load `size` bytes, doing nothing with them."""
    _calls().read_bytes(address, size, way)


def fastest_way(addresses: Sequence[int], size: int) -> int:
    """Return the way to read that takes least time for all of `addresses`, one after the other."""
    taken = dict.fromkeys(range(_calls().ways_to_read()), math.inf)
    for _ in range(3):
        for way in taken:
            start = time.thread_time()
            for address in addresses:
                read(address, size, way)
            taken[way] = min(taken[way], time.thread_time() - start)
    return min(taken, key=lambda way: taken[way])


def repeat_linear(call: ctypes._FuncPointer, *arguments: Any, times: int) -> None:
    """Make a call of ``tern_linear`` so many times without Python in between."""
    _calls().repeat_linear(ctypes.cast(call, ctypes.c_void_p), *arguments, times)


def peak_products() -> float:
    """Return the int8 products a second of one thread, from registers; 0 where there is no instruction for them."""
    return _rate("multiply_adds")


def peak_decoded(layout: str) -> float:
    """Return the packed bytes a second that one thread turns into fields and multiplies, read from registers.

    No kernel with these instructions is faster, wherever its weights come from. 0 where they do not exist.
    """
    return _rate(f"decode_{layout}")


def _rate(name: str) -> float:
    best = 0.0
    for _ in range(9):
        start = time.thread_time()
        done = getattr(_calls(), name)(_ROUNDS)
        best = max(best, done / (time.thread_time() - start))
    return best
