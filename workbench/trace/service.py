"""The collector of a machine: it serves every user, each for his own processes."""

from __future__ import annotations

from ..bpf.service import Service
from . import privileges


def collector(*, enforce: bool = False) -> Service:
    """Return the collector as a service.

    Parameters
    ----------
    enforce
        It may also refuse connects (CAP_NET_ADMIN).
    """
    return Service(
        name="collector",
        module="workbench.trace.collector",
        purpose="traces processes for their own users",
        kept=privileges.ENFORCING if enforce else privileges.KEPT,
        options=("--enforce",) if enforce else (),
    )
