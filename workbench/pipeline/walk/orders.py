"""Orders for a run's steps: their rows in the store, their cache keys, and what is known of them already."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ... import codec
from ...errors import InputError
from ...store import StepRow, Store
from .. import cache, data, provenance
from ..environment import code_digest
from ..ir.graph import Component, Task
from ..recipe import placed
from ..workers import ledger
from ..workers.order import STEP, Order, Outcome, argument_of, body_of, search_path, seed_of
from .made import Artifact, Made

_WORKER_CODE = ("pipeline/workers", "pipeline/data.py", "pipeline/kubeflow.py")
STORE_SCHEME = "mlops:"


class Orders:
    """Makes the orders of one run.

    Parameters
    ----------
    store, run_id
        The run.
    fresh
        Take no result of an earlier run; results of this one are kept all the same.
    keyless
        Positions of steps whose results are neither taken from others nor kept for them.
    """

    def __init__(self, store: Store, run_id: str, fresh: bool = False, keyless: Collection[int] = ()) -> None:
        self._keyless = keyless
        self._store, self._run_id, self._fresh = store, run_id, fresh
        self._rows = {row.verb: row for row in store.runs.get(run_id).steps}
        self._position = len(self._rows)
        self._environment = provenance.note_environment(store)
        self._path = search_path()
        self._code: dict[tuple[str, ...], str] = {}

    def make(
        self,
        task: Task,
        component: Component,
        parameters: Mapping[str, Any],
        artifacts: Mapping[str, Artifact],
        path: str,
    ) -> tuple[Order, StepRow | None]:
        """Return the order for a step, and its row when an earlier driver of this run wrote one."""
        row = self._rows.get(path)
        position = self._position if row is None else row.position
        if row is None:
            self._store.runs.add_step(self._run_id, position, path)
            self._position += 1
        for digest in (
            one for value in artifacts.values() for one in ([value] if isinstance(value, str) else value)
        ):
            self._store.runs.refer(self._run_id, position, "input", digest)
        body = body_of(component)
        resources = component.container.get("resources", {})
        order = Order(
            run_id=self._run_id,
            position=position,
            path=path,
            key="" if position in self._keyless else self._key(task, component, body, parameters, artifacts),
            body=body,
            outputs=component.outputs,
            parameters=parameters,
            artifacts=artifacts,
            seed=seed_of(body, parameters, artifacts),
            environment=self._environment,
            search_path=self._path,
            timeout_s=component.timeout_s,
            cpus=float(resources.get("cpuLimit", resources.get("cpuRequest", 0.0))),
            memory_bytes=int(float(resources.get("memoryLimit", 0.0)) * 1e9),
        )
        return order, row

    def known(self, order: Order, row: StepRow | None) -> Outcome | None:
        """Return what is known of a step: done earlier in this run, or by another for the same key."""
        if row is not None and row.state == "done" and row.result is not None:
            outcome = Outcome.of(row.result)
            if all(map(self._store.artifacts.exists, outcome.artifacts.values())):
                return outcome
            self._store.runs.reopen_step(order.run_id, order.position)
        found = None if self._fresh else ledger.known(self._store, order.key)
        if found is not None:
            ledger.finish(self._store, order, found, cached=True)
        return found

    def imported(self, component: Component, parameters: Mapping[str, Any], where: str) -> Made:
        """Return the artifact that an importer means: one of the store, or files of this machine.

        Raises
        ------
        InputError
            If its address is of another kind.
        UnknownArtifact
            If the store has no such artifact.
        """
        form = component.executor["importer"]["artifactUri"]
        uri = str(
            form.get("constant", parameters.get(form.get("runtimeParameter", ""), parameters.get("uri", "")))
        )
        (name,) = component.outputs["artifacts"] or ("artifact",)
        if uri.startswith(STORE_SCHEME):
            digest = self._store.names.resolve(uri.removeprefix(STORE_SCHEME))
            return Made({}, {name: digest})
        path = Path(uri.removeprefix("file://"))
        if "://" in uri.removeprefix("file://") or not path.is_file():
            raise InputError(
                f"{uri!r} cannot be read here",
                where=where,
                fix="import a file of this machine, or an artifact of the store: mlops:NAME",
            )
        return Made({}, {name: data.put_files(self._store, [path])})

    def _key(
        self,
        task: Task,
        component: Component,
        body: tuple[str, ...],
        parameters: Mapping[str, Any],
        artifacts: Mapping[str, Artifact],
    ) -> str:
        if not task.cached or task.regardless:  # what runs at the end is there to act, not to compute
            return ""
        if STEP in body:
            step = placed(argument_of(body, STEP), artifacts)
            code = self._digest(step.code) if step.code else ""
            return cache.key_of(step, code=code, environment=self._environment)
        form = {
            "body": body,
            "outputs": component.outputs,
            "parameters": parameters,
            "artifacts": artifacts,
            "code": self._digest(_WORKER_CODE),
            "environment": self._environment,
        }
        return codec.digest(form)

    def _digest(self, parts: tuple[str, ...]) -> str:
        if parts not in self._code:
            self._code[parts] = code_digest(parts)
        return self._code[parts]
