"""The walker: begins every task that can begin, gives steps to a host, and carries outputs on.

One walker serves every executor; they differ in the host that runs the orders. A failed task stops what
depends on it and nothing else, as on a cluster; exit handlers run; then the first error is raised.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...errors import RunCancelled, StepFailed, WorkbenchError, from_json
from ...store import Store, owner
from .. import record
from ..ir import condition
from ..ir.graph import Component, Graph, Task
from ..workers.host import StepHost
from ..workers.order import Order, Outcome
from .frame import DONE, FAILED, SKIPPED, Frame, Spread
from .made import Made, arguments_of, artifacts_of, gathered, outputs_of, parameters_of, typed
from .orders import Orders

_LOOK_S = 0.1


@dataclass(eq=False)
class _Leaf:
    """A step on its way: its place, its order, how many attempts are left."""

    frame: Frame
    task: Task
    order: Order
    left: int


class Walker:
    """Walks one run of a pipeline.

    Parameters
    ----------
    store, run_id
        The run; it must have been created.
    graph
        The pipeline.
    host
        Runs its steps.
    fresh, keyless
        As for :class:`~workbench.pipeline.walk.orders.Orders`.
    look
        Called now and then, to pass events on.
    begun
        Called with the position of each step that really runs, before it does.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        graph: Graph,
        host: StepHost,
        *,
        fresh: bool = False,
        keyless: Collection[int] = (),
        look: Callable[[], None] = lambda: None,
        begun: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store, self._run_id, self._graph, self._host = store, run_id, graph, host
        self._look, self._begun = look, begun
        self._orders = Orders(store, run_id, fresh, keyless)
        self._frames: deque[Frame] = deque()
        self._waiting: deque[_Leaf] = deque()
        self._delayed: list[tuple[float, int, _Leaf]] = []
        self._running: dict[int, _Leaf] = {}
        self._adopted: list[_Leaf] = []
        self._ticket = 0
        self._error: Mapping[str, Any] | None = None

    def walk(self, arguments: Mapping[str, Any]) -> Made:
        """Run what is left and return the pipeline's outputs.

        Raises
        ------
        InputError
            If an argument is missing, unknown or of another type.
        RunCancelled
            If somebody cancelled the run.
        WorkbenchError
            The error of the first step that failed.
        """
        root = Frame(self._graph.root, "", arguments_of(self._graph, arguments), {})
        self._frames.append(root)
        try:
            while self._frames or self._busy():
                self._advance()
                if self._busy():
                    self._turn()
        except (KeyboardInterrupt, RunCancelled):
            self._cancel()
            raise
        if self._error is not None:
            raise from_json(self._error)
        return outputs_of(root.dag, root.made)

    def _busy(self) -> bool:
        return bool(self._waiting or self._running or self._delayed or self._adopted)

    def _advance(self) -> None:
        """Begin what can begin, in every dag where something ended."""
        while self._frames:
            frame = self._frames.popleft()
            for task in frame.ready():
                try:
                    self._begin(frame, task)
                except WorkbenchError as error:
                    self._fail(frame, task.name, error.to_json())
            if frame.ended and frame.outer is not None and not frame.left:
                frame.left = True  # it stands in the queue once for each task that ended
                self._leave(frame)

    def _begin(self, frame: Frame, task: Task) -> None:
        before = [frame.states[name] for name in task.after]
        if not task.regardless and (FAILED in before or SKIPPED in before):
            self._end(frame, task.name, FAILED if FAILED in before else SKIPPED)
            return
        component, where = self._graph.components[task.component], frame.place(task.name)
        status = {name: frame.status(name, self._run_id) for name in task.after}
        parameters = parameters_of(task.parameters, component, frame.parameters, frame.made, status, where)
        artifacts = artifacts_of(task.artifacts, component, frame.artifacts, frame.made, where)
        if task.condition is not None and not condition.evaluate(task.condition, parameters):
            self._end(frame, task.name, SKIPPED)
        elif task.loop is not None:
            self._spread(frame, task, component, parameters, artifacts)
        elif component.dag is not None:
            self._frames.append(Frame(component, where, parameters, artifacts, frame, task.name))
        else:
            self._step(frame, task, component, parameters, artifacts)

    def _spread(
        self, frame: Frame, task: Task, component: Component, parameters: Any, artifacts: Any
    ) -> None:
        assert task.loop is not None, "only loops are spread"
        items: Any = task.loop.items
        if isinstance(items, str):
            items = (artifacts if task.loop.artifacts else parameters)[items]
        if isinstance(items, str):  # a list that travelled as text
            import json

            items = json.loads(items)
        frame.spreads[task.name] = Spread(list(items))
        self._fill(frame, task, component, parameters, artifacts)

    def _fill(self, frame: Frame, task: Task, component: Component, parameters: Any, artifacts: Any) -> None:
        """Begin as many items of a loop as may run at once."""
        spread, loop = frame.spreads[task.name], task.loop
        assert loop is not None, "only loops are spread"
        where = frame.place(task.name)
        while spread.next < len(spread.items) and not 0 < loop.at_once <= spread.running:
            index, item = spread.next, spread.items[spread.next]
            spread.next, spread.running = index + 1, spread.running + 1
            inner, files = dict(parameters), dict(artifacts)
            if loop.artifacts:
                files[loop.item] = item
            else:
                inner[loop.item] = typed(item, component.inputs["parameters"].get(loop.item, {}))
            self._frames.append(Frame(component, f"{where}[{index}]", inner, files, frame, task.name, index))
        if not spread.running and spread.next == len(spread.items):
            made = gathered((spread.made[index] for index in sorted(spread.made)), component)
            self._end(frame, task.name, FAILED if spread.failed else DONE, made)

    def _leave(self, frame: Frame) -> None:
        """Carry a finished dag's outputs to the task it stands for."""
        outer = frame.outer
        assert outer is not None, "the root has none outside"
        made = outputs_of(frame.dag, frame.made)
        if frame.index < 0:
            self._inherit(outer, frame)
            self._end(outer, frame.task, frame.state, made)
            return
        spread, task = outer.spreads[frame.task], outer.dag.tasks[frame.task]
        spread.running -= 1
        spread.made[frame.index] = made
        spread.failed = spread.failed or frame.state == FAILED
        self._inherit(outer, frame)
        self._fill(outer, task, frame.component, *self._common(frame, task))

    def _common(self, frame: Frame, task: Task) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the inputs of a loop's item without the item."""
        assert task.loop is not None, "only loops have items"
        parameters, artifacts = dict(frame.parameters), dict(frame.artifacts)
        (artifacts if task.loop.artifacts else parameters).pop(task.loop.item, None)
        return parameters, artifacts

    def _inherit(self, outer: Frame, frame: Frame) -> None:
        if frame.state == FAILED and frame.errors:
            outer.errors.setdefault(frame.task, next(iter(frame.errors.values())))

    def _step(self, frame: Frame, task: Task, component: Component, parameters: Any, artifacts: Any) -> None:
        where = frame.place(task.name)
        if "importer" in component.executor:
            self._end(frame, task.name, DONE, self._orders.imported(component, parameters, where))
            return
        with self._store.together():
            order, row = self._orders.make(task, component, parameters, artifacts, where)
            leaf = _Leaf(frame, task, order, task.retry.count)
            if row is not None and row.state == "running" and owner.alive(row.owner):
                self._adopted.append(leaf)
                return
            known = self._orders.known(order, row)
        if known is not None:
            self._done(leaf, known)
        else:
            self._waiting.append(leaf)

    def _turn(self) -> None:
        """Give the host what it has room for, and hear what ended."""
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self._waiting.append(heapq.heappop(self._delayed)[2])
        while self._waiting and self._host.has_room(self._waiting[0].order):
            self._ticket += 1
            leaf = self._running[self._ticket] = self._waiting.popleft()
            self._begun(leaf.order.position)
            self._host.send(self._ticket, leaf.order)
        for ended in self._host.wait(_LOOK_S):
            self._ended(self._running.pop(ended.ticket), ended.outcome)
        self._look_after()

    def _look_after(self) -> None:
        """See to steps that outlived their driver, to who asked to cancel, and to who listens."""
        for leaf in list(self._adopted):
            row = self._store.runs.step(self._run_id, leaf.order.position)
            if row.state == "running" and owner.alive(row.owner):
                continue
            self._adopted.remove(leaf)
            known = self._orders.known(leaf.order, row)
            if known is not None:
                self._done(leaf, known)
            else:
                self._waiting.append(leaf)
        if self._store.runs.cancelling(self._run_id):
            raise RunCancelled(
                f"run {self._run_id} was cancelled", where=self._run_id, fix=f"%mlops resume {self._run_id}"
            )
        self._look()

    def _ended(self, leaf: _Leaf, outcome: Outcome) -> None:
        if outcome.error is None:
            self._done(leaf, outcome)
        elif (
            leaf.left and leaf.order.may_pass(outcome.error) and not self._store.runs.cancelling(self._run_id)
        ):
            retry, attempt = leaf.task.retry, leaf.order.attempt
            wait = min(retry.wait_s * retry.factor ** (attempt - 1), retry.most_s)
            self._store.events.append(self._run_id, leaf.order.position, "step.retried", dict(outcome.error))
            again = replace(leaf, order=replace(leaf.order, attempt=attempt + 1), left=leaf.left - 1)
            self._ticket += 1
            heapq.heappush(self._delayed, (time.monotonic() + wait, self._ticket, again))
        else:
            self._fail(leaf.frame, leaf.task.name, outcome.error)

    def _done(self, leaf: _Leaf, outcome: Outcome) -> None:
        absent = [key for key in leaf.order.outputs.get("parameters", {}) if key not in outcome.parameters]
        absent += [key for key in leaf.order.outputs.get("artifacts", {}) if key not in outcome.artifacts]
        if absent:
            error = StepFailed(
                f"it wrote no {', '.join(absent)}", where=leaf.order.path, fix="write each output"
            )
            self._fail(leaf.frame, leaf.task.name, error.to_json())
            return
        self._end(leaf.frame, leaf.task.name, DONE, Made(outcome.parameters, outcome.artifacts))

    def _fail(self, frame: Frame, name: str, error: Mapping[str, Any]) -> None:
        self._error = self._error or error
        frame.errors[name] = error
        self._end(frame, name, FAILED)

    def _end(self, frame: Frame, name: str, state: str, made: Made | None = None) -> None:
        frame.end(name, state, made)
        self._frames.append(frame)

    def _cancel(self) -> None:
        """End what runs, and record it."""
        for ticket in self._running:
            self._host.cancel(ticket)
        until = time.monotonic() + 10.0
        while self._running and time.monotonic() < until:
            for ended in self._host.wait(_LOOK_S):
                leaf = self._running.pop(ended.ticket)
                error = ended.outcome.error
                if error is not None and error.get("error") != RunCancelled.__name__:  # it says so itself
                    record.cancelled(self._store, self._run_id, leaf.order.position)
