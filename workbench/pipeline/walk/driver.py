"""Drive a run of a pipeline: open the executor's host, walk the graph, keep the outputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ... import codec
from ...errors import RunError, WorkbenchError
from ...store import RunRow, Store
from ..driving import Listener, RunDriver
from ..ir import Graph, graph_of
from ..provenance import TreeNote
from ..workers.host import StepHost
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
    """Drives a run on the executor that its row names: a pipeline, or a recipe of verbs compiled to one.

    Parameters
    ----------
    store, run_id, on_event
        As for any driver of a run.
    verbs
        Runs the verbs of a recipe on this machine; None for the usual.
    keyless
        As for :class:`~workbench.pipeline.walk.orders.Orders`.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        on_event: Listener | None = None,
        *,
        verbs: StepHost | None = None,
        keyless: Collection[int] = (),
    ) -> None:
        super().__init__(store, run_id, on_event)
        self._verbs, self._keyless = verbs, keyless

    def _host(self, executor: str, recorded: Any, graph: Graph) -> StepHost:
        from ..executors.choose import LOCAL, open_host
        from ..executors.verbs_here import VerbsHere
        from ..recipe import Recipe

        if isinstance(recorded, Recipe) and executor == LOCAL:
            return self._verbs or VerbsHere(self.store, recorded.isolation, steps=len(recorded.steps))
        return open_host(executor, self.store, graph)

    def _work(self) -> Made:
        from ..recipe import loads

        row = self.store.runs.get(self.run_id)
        recorded = loads(row.recipe)
        work = pipeline_of(row, recorded)
        graph = work.graph()
        host = self._host(row.executor, recorded, graph)
        try:
            tree = TreeNote(self.store, self.run_id)
            walker = Walker(
                self.store,
                self.run_id,
                graph,
                host,
                fresh=work.fresh,
                keyless=self._keyless,
                look=self._forward,
                begun=tree.begin,
            )
            with tree.finished():
                made = walker.walk(work.arguments)
        finally:
            host.close()
        self._tell(OUTPUTS, {"parameters": dict(made.parameters), "artifacts": dict(made.artifacts)})
        return made


def pipeline_of(row: RunRow, recorded: Any = None) -> PipelineRun:
    """Return the pipeline of a run; a recipe is compiled to one. `recorded` is what its row holds, if known."""
    from ..recipe import Recipe, loads

    work = recorded or loads(row.recipe)
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
