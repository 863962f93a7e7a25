"""The Kubeflow executor: a pipeline goes to a cluster, which runs the same containers and keeps their outputs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...render.table import Table
from ...store import Store
from ..carry import carried
from ..dsl import Pipeline
from ..result import Result
from .limits import refuse_bound

if TYPE_CHECKING:
    from ..walk.driver import PipelineRun

TOKEN = "MLOPS_KUBEFLOW_TOKEN"  # noqa: S105 - the name of the variable that holds it
"""Environment variable with the token of the cluster, if it wants one."""


def give(store: Store, work: PipelineRun, executor: str) -> Result:
    """Submit a pipeline to a cluster.

    Raises
    ------
    InputError
        If it reads large artifacts of this store, or carries a function that only this store can open; names
        which.
    MissingDependency
        If kfp is not installed.
    RunError
        If the cluster does not answer, or refuses.
    """
    from ..kubeflow import submit

    refuse_bound(work.graph(), "Kubeflow")
    work = carried(store, work)
    host = f"http://{executor.partition('://')[2]}"
    pipeline = Pipeline(work.name, work.spec, work.platform)
    run_id = submit(pipeline, host, work.arguments, token=os.environ.get(TOKEN, ""))
    table = Table(("cluster", "run", "page"), [(host, run_id, f"{host}/#/runs/details/{run_id}")])
    return Result(f"{work.name} on {host}", (table,), details={"run": run_id, "host": host})
