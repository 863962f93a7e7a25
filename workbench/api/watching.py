"""Deployments: look again and again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..pipeline.result import Result
from ..store import Store

if TYPE_CHECKING:
    from ..staging import Watched


def watch(
    name: str,
    *,
    seconds: float | None = None,
    every: float = 1.0,
    show: Callable[[Watched], object] | None = None,
    store: Store | None = None,
) -> Result:
    """Follow a deployment: weights, rates, latency, waits for a processor, memory, events.

    Parameters
    ----------
    seconds
        How long; ``None`` until it is interrupted or the deployment is gone.
    every
        Seconds between readings.
    show
        Given each :class:`~workbench.staging.Watched` reading.

    Returns
    -------
    Result
        The last reading.

    Raises
    ------
    UnknownDeployment
        If nothing of this name is deployed.
    """
    from .. import staging

    until = None if seconds is None else time.monotonic() + seconds
    last: Watched | None = None
    with contextlib.suppress(KeyboardInterrupt):  # how a person ends it
        for last in staging.watch(store or Store(), name, every_s=every):
            if show is not None:
                show(last)
            if until is not None and time.monotonic() + every > until:
                break
    tables = () if last is None or show is not None else (last.table(),)
    return Result(f"watched {name}", tables, details={"last": last})
