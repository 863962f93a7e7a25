"""The executor ``kubeflow``: every step in a container's own command, started by kfp's local runner on this machine.

The walk, its order and its rows are the same as everywhere; what differs is the worker. Each step is the command
that a cluster would start (``workbench.pipeline.entrypoint``, or kfp's own for a component of kfp), with an executor
input as Kubeflow's launcher writes one, in a fresh interpreter and a store of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys

from ...errors import missing_dependency
from ..ir import Graph
from .limits import check, machine, refuse_bound

NAME, PROGRAM = "kfp's local runner", "workbench.pipeline.executors.kubeflow_here"


def ready(graph: Graph) -> None:
    """Refuse what kfp's local runner cannot run, before anything starts.

    Raises
    ------
    MissingDependency
        If kfp is not installed.
    InputError
        If a step asks for what this machine has not, or carries a function that only this store can open.
    """
    if importlib.util.find_spec("kfp") is None:
        raise missing_dependency("kfp", "kubeflow")
    check(graph, machine(), NAME)
    refuse_bound(graph, NAME)


def main(home: str, search_path: str) -> None:
    """Serve orders: a child process each, which hands the container's command to kfp."""
    from ..kubeflow import run_container
    from ..workers.forks import main as serve

    found = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), *json.loads(search_path)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, found)))
    serve(
        home,
        search_path,
        "kfp.local.subprocess_task_handler",
        "kfp.local.placeholder_utils",
        work=run_container,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
