"""What Ray's own errors say: a step that failed, or one that was lost with what ran it."""

from __future__ import annotations

from ...errors import StepFailed, StepLost
from ..workers.order import Order

_LOST = {
    "AuthenticationError",
    "ConnectionError",
    "LocalRayletDiedError",
    "NodeDiedError",
    "ObjectLostError",
    "RaySystemError",
    "RpcError",
}
"""Errors of the cluster. A worker that died again and again, or took too much memory, died of its step."""


def unfinished(error: BaseException, order: Order) -> StepFailed:
    """Return the error of a step that Ray did not finish.

    Parameters
    ----------
    error
        What Ray raised.
    order
        What was to be done.

    Returns
    -------
    StepFailed
        :class:`~workbench.errors.StepLost` where the cluster was lost and not the step.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return (StepLost if kinds & _LOST else StepFailed)(
        f"Ray could not finish the step: {type(error).__name__}",
        where=f"{order.run_id}, {order.path}",
        fix=f"%mlops resume {order.run_id} tries again",
        log=str(error)[-2000:],
    )
