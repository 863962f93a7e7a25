"""Tell others of runs: MLflow (runs, models, aliases), or whoever collects OpenLineage events."""

from __future__ import annotations

from ..pipeline import openlineage as lineage_events
from ..pipeline import tracking
from ..pipeline.result import Result
from ..render.table import Table
from ..store import Store
from ..store.run_rows import ENDED


def track(run_id: str = "", *, limit: int = 20, openlineage: str = "", store: Store | None = None) -> Result:
    """Publish a run to MLflow, or the newest ones; what is there already stays as it is.

    With ``MLOPS_TRACKING_URI`` (or ``MLFLOW_TRACKING_URI``) set, every run that ends is published by itself; this
    is for those that ended before it was set, or while the server was away.

    Parameters
    ----------
    run_id
        The run; without one, the newest `limit` that have ended.
    limit
        How many at most.
    openlineage
        Instead, write OpenLineage events to this file, or post them to this address: a run's START, START and end
        of each step with artifacts as datasets, and the run's COMPLETE, FAIL or ABORT. With ``MLOPS_OPENLINEAGE``
        set, runs report themselves.

    Returns
    -------
    Result
        ``.published`` maps our run to MLflow's, or to the number of events.

    Raises
    ------
    UnknownRun
        If there is no such run.
    InputError
        If no tracking URI is set.
    MissingDependency
        If MLflow is not installed.
    RunError
        If MLflow or the address refuses or cannot be reached, or the file cannot be written.
    """
    store = store or Store()
    runs = [run_id] if run_id else [row.id for row in store.runs.list(limit) if row.state in ENDED]
    if openlineage:
        sent = {one: lineage_events.publish(store, one, openlineage) for one in runs}
        table = Table(("run", "events"), list(sent.items()))
        return Result(f"{len(runs)} run(s) to {openlineage}", (table,), details={"published": sent})
    published = {one: tracking.publish(store, one) for one in runs}
    table = Table(("run", "in MLflow"), list(published.items()))
    return Result(
        f"{len(runs)} run(s) in {tracking.tracking_uri()}", (table,), details={"published": published}
    )
