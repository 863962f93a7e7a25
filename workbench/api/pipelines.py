"""Pipelines of the user's own steps: run one, on any executor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import InputError, UnknownArtifact
from ..pipeline.dsl import each, on_exit, pipeline, step, stored, when
from ..pipeline.launch import launch
from ..pipeline.result import Result
from ..pipeline.run import Run
from ..store import Store

if TYPE_CHECKING:
    from ..pipeline.driving import Listener
    from ..pipeline.walk.driver import PipelineRun

_RUN = re.compile("r[0-9a-f]{10}")

__all__ = ["each", "mirror", "on_exit", "pipeline", "run", "step", "stored", "when"]


def run(
    work: Any,
    arguments: Mapping[str, Any] | None = None,
    *,
    executor: str = "local",
    fresh: bool = False,
    store: Store | None = None,
    background: bool = False,
    on_event: Listener | None = None,
    dry_run: bool = False,
) -> Result | Run:
    """Run a pipeline.

    Parameters
    ----------
    work
        A function with ``@wb.pipeline``, a pipeline function of ``kfp.dsl``, a ``.yaml`` file with Kubeflow's
        PipelineSpec, ``"module:function"``, or the name or digest of an artifact: the steps that made it.
    arguments
        The pipeline's inputs.
    executor
        ``local`` (processes of this machine), ``ray`` (a Ray started here) or ``ray://HOST:PORT`` (the head of a
        cluster that this machine is a node of), ``kubeflow`` (kfp's own local runner, on this machine), or
        ``kubeflow://HOST:PORT`` (submitted; answers the cluster's run). Nothing else changes.
    fresh
        Run every step, whatever is known already.

    Returns
    -------
    Result or Run
        The outputs, by name, in ``result.outputs``; ``result.value()`` is the single output.

    Raises
    ------
    InputError
        If the pipeline or an argument is wrong, or the executor cannot honour something it asks for.
    WorkbenchError
        The error of the first step that failed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from workbench import Store, pipeline, step
    >>> @step
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> @pipeline
    ... def twice(n: int = 3):
    ...     return double(double(n))
    >>> run(twice, {"n": 4}, store=Store(Path(tempfile.mkdtemp()))).value()
    16
    """
    store = store or Store()
    order = replace(work_of(store, work, arguments), fresh=fresh)
    return launch(
        store,
        order,
        title=f"run {order.name}",
        background=background,
        dry_run=dry_run,
        on_event=on_event,
        executor=executor,
    )


def mirror(
    work: Any,
    arguments: Mapping[str, Any] | None = None,
    *,
    against: str = "ray",
    store: Store | None = None,
    on_event: Listener | None = None,
) -> Result:
    """Run a pipeline here and on another executor, and compare what every step left, digest by digest.

    Parameters
    ----------
    work, arguments
        As for :func:`run`; or the id of a run whose recipe or pipeline is meant.
    against
        The other executor.

    Returns
    -------
    Result
        ``result.equal`` says whether all is the same; ``result.first`` names the first step that is not, and the
        second table says why.

    Raises
    ------
    WorkbenchError
        If it fails on either.
    """
    from ..pipeline.mirror import mirror as reflect

    store = store or Store()
    order = work_of(store, work, arguments)
    found = reflect(store, order, against, title=f"mirror {order.name}", on_event=on_event)
    first = found.first
    tables = [found.table()]
    if found.causes:
        from .lineages import difference_table

        tables.append(difference_table(list(found.causes), f"why {first.step if first else ''} differs"))
    equal = sum(one.equal for one in found.steps)
    return Result(
        f"{equal} of {len(found.steps)} steps are the same on local and {against}",
        tuple(tables),
        details={
            "equal": first is None,
            "first": first.step if first else "",
            "runs": list(found.runs),
            "causes": [vars(one) for one in found.causes],
        },
        store=store,
    )


def work_of(store: Store, work: Any, arguments: Mapping[str, Any] | None) -> PipelineRun:
    """Return what a user means by a pipeline: see :func:`run`; also the id of a run."""
    from ..pipeline.bring import bring
    from ..pipeline.walk.driver import PipelineRun, pipeline_of

    if isinstance(work, str) and _RUN.fullmatch(work):
        return pipeline_of(store.runs.get(work))
    digest = _artifact(store, work)
    if digest:
        from ..pipeline.making import recipe_making
        from ..pipeline.walk.recipe import compiled

        return compiled(recipe_making(store, digest), re.sub("[^a-z0-9-]+", "-", work.lower()).strip("-"))
    found = bring(work)
    return PipelineRun(found.name, found.spec, found.platform, dict(arguments or {}))


def _artifact(store: Store, work: Any) -> str:
    """Return the digest of the artifact that a text names, empty when it names none."""
    if not isinstance(work, str) or work.endswith((".yaml", ".yml", ".json")):
        return ""
    try:
        return store.names.resolve(work)
    except (InputError, UnknownArtifact):
        return ""
