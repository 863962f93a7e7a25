"""A PipelineSpec as a graph of frozen records: what the walker needs to know, and nothing of the file's form."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Retry:
    """How often a failed task is tried again, and how long to wait before: seconds, factor, most seconds."""

    count: int = 0
    wait_s: float = 0.0
    factor: float = 2.0
    most_s: float = 3600.0


@dataclass(frozen=True)
class Loop:
    """A task run once for each item of a list.

    Parameters
    ----------
    items
        The list itself, or the name of the task's input that holds it.
    item
        The component's input that gets one item.
    artifacts
        Whether items are artifacts.
    at_once
        How many run at once at most; 0 for no limit.
    """

    items: tuple[Any, ...] | str
    item: str
    artifacts: bool = False
    at_once: int = 0


@dataclass(frozen=True)
class Task:
    """One task of a dag.

    Parameters
    ----------
    name, component
        Its name in the dag and the component it runs.
    parameters, artifacts
        Where inputs come from, as the IR says it.
    after
        Tasks that must have ended: those named, and those whose outputs it takes.
    condition
        Must hold for the task to run; None for always.
    regardless
        Runs also when an earlier task failed (an exit handler).
    """

    name: str
    component: str
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    artifacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    condition: ast.expr | None = None
    regardless: bool = False
    loop: Loop | None = None
    retry: Retry = field(default_factory=Retry)
    cached: bool = True


@dataclass(frozen=True)
class Dag:
    """Tasks in an order in which they can run, and which of their outputs are the dag's own."""

    tasks: Mapping[str, Task]
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    artifacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Component:
    """Something a task runs: a dag, or the command of an executor.

    Parameters
    ----------
    inputs, outputs
        Definitions as in the IR: ``{"parameters": {...}, "artifacts": {...}}``.
    executor
        ``{"container": {...}}`` or ``{"importer": {...}}``; empty for a dag.
    timeout_s
        Seconds one attempt may take; 0 for no limit.
    """

    name: str
    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    executor: Mapping[str, Any] = field(default_factory=dict)
    dag: Dag | None = None
    timeout_s: float = 0.0

    @property
    def container(self) -> Mapping[str, Any]:
        """The container part of the executor, empty when there is none."""
        return self.executor.get("container", {})  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Graph:
    """A whole pipeline: its name, the root component and all others by name."""

    name: str
    root: Component
    components: Mapping[str, Component]

    @property
    def spreads(self) -> bool:
        """Whether a loop may put steps on many workers at once; a chain needs one at a time."""
        dags = [one.dag for one in (self.root, *self.components.values()) if one.dag is not None]
        return any(task.loop is not None for dag in dags for task in dag.tasks.values())

    def leaves(self) -> list[Component]:
        """Return the components that run something, sorted by name."""
        return [one for _, one in sorted(self.components.items()) if one.dag is None]
