"""Drive a run of a pipeline: open the executor's host, walk the graph, keep the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ... import codec
from ...errors import RunError, WorkbenchError
from ...store import RunRow, Store
from ..driving import RunDriver
from ..ir import Graph, graph_of
from ..provenance import TreeNote
from .made import Made
from .walker import Walker

OUTPUTS = "run.outputs"
"""Kind of the event that holds what a pipeline made."""


@codec.register("pipeline_run")
@dataclass(frozen=True)
class PipelineRun:
    """A pipeline to run.

    Parameters
    ----------
    name, spec, platform
        The pipeline: Kubeflow's PipelineSpec and PlatformSpec in their JSON forms.
    arguments
        Its inputs.
    fresh
        Take no result of an earlier run.
    """

    name: str
    spec: Mapping[str, Any]
    platform: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False

    def graph(self) -> Graph:
        """Return the checked graph."""
        return graph_of(self.spec, self.platform)


class PipelineDriver(RunDriver[Made]):
    """Drives a run of a pipeline on the executor that its row names."""

    def _work(self) -> Made:
        from ..executors.choose import open_host

        row = self.store.runs.get(self.run_id)
        work = pipeline_of(row)
        graph = work.graph()
        host = open_host(row.executor, self.store, graph)
        try:
            tree = TreeNote(self.store, self.run_id)
            walker = Walker(
                self.store, self.run_id, graph, host, fresh=work.fresh, look=self._forward, begun=tree.begin
            )
            with tree.finished():
                made = walker.walk(work.arguments)
        finally:
            host.close()
        self._tell(OUTPUTS, {"parameters": dict(made.parameters), "artifacts": dict(made.artifacts)})
        return made


def pipeline_of(row: RunRow) -> PipelineRun:
    """Return the pipeline of a run; a recipe is compiled to one."""
    from ..recipe import Recipe, loads

    work = loads(row.recipe)
    if isinstance(work, Recipe):
        from .recipe import compiled

        return compiled(work, row.title)
    if not isinstance(work, PipelineRun):
        raise RunError("the run holds no pipeline", where=row.id)
    return work


def made_by(store: Store, run_id: str) -> Made:
    """Return what a finished run of a pipeline made."""
    event = store.events.newest(run_id, OUTPUTS)
    if event is None:
        raise WorkbenchError("the run has no outputs", where=run_id)
    return Made(event.payload["parameters"], event.payload["artifacts"])
