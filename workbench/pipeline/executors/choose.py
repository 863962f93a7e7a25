"""Which executor a text means, and the host that runs its steps."""

from __future__ import annotations

import json

from ... import codec
from ...errors import InputError
from ...store import Store
from ..function_source import FunctionSource
from ..ir import Graph
from ..workers.host import Host
from ..workers.order import FUNCTION, KUBEFLOW, STEP, argument_of, body_of, search_path

LOCAL, RAY, KUBEFLOW_HERE, CLUSTER = "local", "ray", "kubeflow", "kubeflow cluster"
_WORDS = (LOCAL, RAY, KUBEFLOW_HERE)


def kind_of(executor: str) -> str:
    """Return ``local``, ``ray``, ``kubeflow`` (kfp's own local runner) or ``kubeflow cluster``.

    Raises
    ------
    InputError
        If the text is none of them.

    Examples
    --------
    >>> kind_of("ray://10.0.0.1:6379")
    'ray'
    """
    word, separator, rest = executor.partition("://")
    if word not in _WORDS or (separator and (word == LOCAL or not rest)):
        raise InputError(
            f"no executor {executor!r}",
            where="executor",
            fix="local, ray (started here), ray://HOST:PORT, kubeflow (kfp's runner here), kubeflow://HOST:PORT",
        )
    return CLUSTER if word == KUBEFLOW_HERE and rest else word


def open_host(executor: str, store: Store, graph: Graph) -> Host:
    """Return a started host for an executor.

    Raises
    ------
    InputError
        If a step asks for what the executor cannot give; names all of it, before anything starts.
    MissingDependency
        If the executor needs a package that is not installed.
    """
    from .limits import check, machine

    if kind_of(executor) == RAY:
        from .ray import open_ray

        wide = preloads(graph) if graph.spreads else []  # a chain loads what it needs on the node it comes to
        return open_ray(executor, store, graph, wide)
    here = (str(store.home), json.dumps(search_path()))
    if kind_of(executor) == KUBEFLOW_HERE:
        from .kubeflow_here import NAME, PROGRAM, ready

        ready(graph)
        return Host(PROGRAM, *here, name=NAME)
    check(graph, machine(), "the local executor")
    return Host("workbench.pipeline.workers.forks", *here, *preloads(graph), name="the local executor")


def preloads(graph: Graph) -> list[str]:
    """Return the modules that steps of a pipeline need and that are worth loading once, before any step."""
    bodies = [body_of(component) for component in graph.leaves()]
    wanted: list[str] = []
    if any(STEP in body or "import torch" in " ".join(body) for body in bodies):
        wanted.append("torch")
    if any(KUBEFLOW in body for body in bodies):
        wanted.append("kfp.dsl.executor")
    sources = [codec.loads(argument_of(body, FUNCTION)) for body in bodies if FUNCTION in body]
    modules = [
        one.target.partition(":")[0] for one in sources if isinstance(one, FunctionSource) and not one.text
    ]
    return [*wanted, *dict.fromkeys(modules)]
