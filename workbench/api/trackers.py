"""MLflow: publish runs, models and aliases to the team's registry."""

from __future__ import annotations

from ..pipeline import tracking
from ..pipeline.result import Result
from ..render.table import Table
from ..store import Store


def track(run_id: str = "", *, limit: int = 20, store: Store | None = None) -> Result:
    """Publish a run to MLflow, or the newest ones; what is there already stays as it is.

    With ``MLOPS_TRACKING_URI`` (or ``MLFLOW_TRACKING_URI``) set, every run that ends is published by itself; this
    is for those that ended before it was set, or while the server was away.

    Parameters
    ----------
    run_id
        The run; without one, the newest `limit` that have ended.
    limit
        How many at most.

    Returns
    -------
    Result
        ``.published`` maps our run to MLflow's.

    Raises
    ------
    UnknownRun
        If there is no such run.
    InputError
        If no tracking URI is set.
    MissingDependency
        If MLflow is not installed.
    RunError
        If MLflow refuses or cannot be reached.
    """
    store = store or Store()
    ended = ("done", "failed", "cancelled")
    runs = [run_id] if run_id else [row.id for row in store.runs.list(limit) if row.state in ended]
    published = {one: tracking.publish(store, one) for one in runs}
    table = Table(("run", "in MLflow"), list(published.items()))
    return Result(
        f"{len(runs)} run(s) in {tracking.tracking_uri()}", (table,), details={"published": published}
    )
