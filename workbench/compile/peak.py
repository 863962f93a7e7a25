"""What this machine can do at most: products of float32 a second, and bytes moved a second, measured."""

from __future__ import annotations

import time

_SIDE, _FLOATS, _ROUNDS = 768, 16 << 20, 5


def peaks() -> tuple[float, float]:
    """Return (operations a second, bytes a second) of one thread, the best of a few rounds; takes about 0.3 s.

    Time is the processor's own, so that other work on the machine lowers neither. Operations: a matrix product of
    numpy's BLAS, a multiply-add counting two. Bytes: a copy of 64 MiB, read and written.
    """
    import numpy

    a = numpy.ones((_SIDE, _SIDE), numpy.float32)
    source, target = numpy.ones(_FLOATS, numpy.float32), numpy.empty(_FLOATS, numpy.float32)
    product = min(_seconds(lambda: a @ a) for _ in range(_ROUNDS))
    copy = min(_seconds(lambda: numpy.copyto(target, source)) for _ in range(_ROUNDS))
    return 2.0 * _SIDE**3 / product, 2.0 * source.nbytes / copy


def _seconds(work: object) -> float:
    start = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - start
