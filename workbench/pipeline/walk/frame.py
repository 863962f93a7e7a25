"""One dag in progress: which of its tasks wait, run or ended, and what they made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..ir.graph import Component, Dag, Task
from .made import Artifact, Made

DONE, FAILED, SKIPPED = "done", "failed", "skipped"


@dataclass(eq=False)
class Spread:
    """A loop in progress: the items still to begin, and what each made, by index."""

    items: list[Any]
    next: int = 0
    running: int = 0
    failed: bool = False
    made: dict[int, Made] = field(default_factory=dict)


@dataclass(eq=False)
class Frame:
    """A dag in progress.

    Parameters
    ----------
    component
        The component whose dag it is.
    path
        Where in the pipeline: ``for-each[3]``; empty for the root.
    parameters, artifacts
        Its inputs.
    outer, task, index
        The dag outside and the task in it that this stands for; which item of a loop, or -1.
    left
        Whether its outputs have been carried out.
    """

    component: Component
    path: str
    parameters: Mapping[str, Any]
    artifacts: Mapping[str, Artifact]
    outer: Frame | None = None
    task: str = ""
    index: int = -1
    states: dict[str, str] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)
    errors: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    spreads: dict[str, Spread] = field(default_factory=dict)
    left: bool = False
    _missing: dict[str, int] = field(default_factory=dict)
    _later: dict[str, list[str]] = field(default_factory=dict)
    _ready: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, task in self.dag.tasks.items():
            self._missing[name] = len(task.after)
            for other in task.after:
                self._later.setdefault(other, []).append(name)
        self._ready = [name for name, count in self._missing.items() if not count]

    @property
    def dag(self) -> Dag:
        """The dag itself."""
        assert self.component.dag is not None, "only dags are frames"
        return self.component.dag

    def place(self, name: str) -> str:
        """Return where in the pipeline one of its tasks stands."""
        return f"{self.path}/{name}" if self.path else name

    def ready(self) -> Iterator[Task]:
        """Give the tasks that wait for nothing any more, each once."""
        while self._ready:
            yield self.dag.tasks[self._ready.pop(0)]

    def end(self, name: str, state: str, made: Made | None = None) -> None:
        """Record how a task ended; what waited only for it becomes ready."""
        self.states[name] = state
        if made is not None:
            self.made[name] = made
        for later in self._later.get(name, ()):
            self._missing[later] -= 1
            if not self._missing[later]:
                self._ready.append(later)

    @property
    def ended(self) -> bool:
        """Whether every task has ended."""
        return len(self.states) == len(self.dag.tasks)

    @property
    def state(self) -> str:
        """How it ended as a whole."""
        return FAILED if FAILED in self.states.values() else DONE

    def status(self, name: str, run_id: str) -> dict[str, Any]:
        """Return how a task ended, as an exit handler is told."""
        failed = self.states.get(name) == FAILED
        error = self.errors.get(name, {})
        return {
            "state": "FAILED" if failed else "SUCCEEDED",
            "pipelineJobResourceName": run_id,
            "pipelineTaskName": name,
            "error": {"code": 1, "message": str(error.get("what", ""))}
            if failed
            else {"code": 0, "message": ""},
        }
