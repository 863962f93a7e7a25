"""Tell a route in the kernel how a call went that it cannot see: one among many on a connection (gRPC).

The kernel's sentinel sees every system call of a replica. This one asks ``prctl`` for an option that no kernel knows:
nothing happens, the arguments were seen. It costs about a microsecond.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

CALL_TOLD = 0x4D4C4F50
"""``MLOP``, as in the route's ``sentinel.bpf.c``."""


def tell(status: int, seconds: float) -> None:
    """Say that a call was answered.

    Parameters
    ----------
    status
        Of the answer, as HTTP counts.
    seconds
        From the call's first byte to its answer, waits for a processor included.
    """
    _prctl()(CALL_TOLD, ctypes.c_ulong(status), ctypes.c_ulong(int(seconds * 1e9)), 0, 0)


@functools.cache
def _prctl() -> Any:
    return ctypes.CDLL(None).prctl
