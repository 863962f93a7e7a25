"""Pipelines of the user's own steps: run one, on any executor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..pipeline.dsl import each, on_exit, pipeline, step, stored, when
from ..pipeline.launch import launch
from ..pipeline.result import Result
from ..pipeline.run import Run
from ..store import Store

if TYPE_CHECKING:
    from ..pipeline.driving import Listener

__all__ = ["each", "on_exit", "pipeline", "run", "step", "stored", "when"]


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
        PipelineSpec, or ``"module:function"``.
    arguments
        The pipeline's inputs.
    executor
        ``local`` (processes of this machine), ``ray`` (a Ray started here), ``ray://HOST:PORT`` (a cluster), or
        ``kubeflow://HOST:PORT``. Nothing else changes.
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
    >>> @step
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> @pipeline
    ... def twice(n: int = 3):
    ...     return double(double(n))
    >>> run(twice, {"n": 4}, store=Store(Path(tempfile.mkdtemp()))).value()
    16
    """
    from ..pipeline.bring import bring
    from ..pipeline.walk.driver import PipelineRun

    found = bring(work)
    order = PipelineRun(found.name, found.spec, found.platform, dict(arguments or {}), fresh)
    return launch(
        store or Store(),
        order,
        title=f"run {found.name}",
        background=background,
        dry_run=dry_run,
        on_event=on_event,
        executor=executor,
    )
