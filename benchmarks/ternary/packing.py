"""What loading costs: canonical codes to the kernels' layout, and reading a packed file with its digest verified."""

from __future__ import annotations

import time

from workbench import kernels
from workbench.kernels.packed import PackedTernary

from ..samples import Samples
from .engines import Shape

_SHAPE = Shape(4096, 11008, 1, False)


def measure(samples: Samples) -> None:
    """Add CPU seconds a gigabyte of packed weights."""
    codes = _SHAPE.codes()
    for layout in ("t2", "t5"):
        start = time.thread_time()
        packed = kernels.pack(codes, _SHAPE.k, layout=layout)
        middle = time.thread_time()
        data = packed.to_bytes()
        written = time.thread_time()
        PackedTernary.from_bytes(data)
        end = time.thread_time()
        for name, seconds in (("pack", middle - start), ("verify", end - written)):
            samples.add(f"load.{name}_{layout}.s_per_gb", seconds / packed.nbytes * 1e9)
