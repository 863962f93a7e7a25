"""Which executor a text means, and the host that runs its steps."""

from __future__ import annotations

import json

from ... import codec
from ...errors import InputError
from ...store import Store
from ..dsl.source import FunctionSource
from ..ir import Graph
from ..workers.host import Host
from ..workers.order import FUNCTION, KUBEFLOW, STEP, argument_of, body_of, search_path

LOCAL, RAY, CLUSTER = "local", "ray", "kubeflow"
_KINDS = (LOCAL, RAY, CLUSTER)


def kind_of(executor: str) -> str:
    """Return ``local``, ``ray`` or ``kubeflow``.

    Raises
    ------
    InputError
        If the text is none of them.

    Examples
    --------
    >>> kind_of("ray://10.0.0.1:6379")
    'ray'
    """
    kind, _, rest = executor.partition("://")
    if kind not in _KINDS or (kind == LOCAL and rest) or (kind == CLUSTER and not rest):
        raise InputError(
            f"no executor {executor!r}",
            where="executor",
            fix="local, ray (started here), ray://HOST:PORT, or kubeflow://HOST:PORT",
        )
    return kind


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

        return open_ray(executor, store, graph, preloads(graph))
    check(graph, machine(), "the local executor")
    path = json.dumps(search_path())
    arguments = (str(store.home), path, *preloads(graph))
    return Host("workbench.pipeline.workers.forks", *arguments, name="the local executor")


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
