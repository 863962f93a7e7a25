"""What a worker is told, and what it answers: plain data, the same on every executor."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ... import codec
from ...errors import StepFailed, StepLost

if TYPE_CHECKING:
    from ..ir.graph import Component

OUTPUTS, LISTS = "--outputs", "--lists"
FUNCTION, STEP, GIVEN, KUBEFLOW = "--function", "--step", "--given", "--function_to_execute"
"""Arguments of a container that say what its body is: a function, a verb of the workbench, an artifact that the
pipeline carries, a component of kfp."""


@dataclass(frozen=True)
class Order:
    """One step to run.

    Parameters
    ----------
    run_id, position, path
        Its place: the run, its row, and where in the pipeline it stands (``for-each[3]/train``).
    key
        Where the store keeps its outcome: the cache key, or one of this run alone.
    body
        Command and arguments of the container.
    outputs
        The component's output definitions.
    parameters
        Plain inputs by name.
    artifacts
        Digests of artifacts by input name; a list for an input that takes many.
    seed
        For random number generators; decided by what runs on what, so the same everywhere.
    attempt
        Counted from 1.
    environment
        Digest of the environment lock of who asks; a worker with another refuses.
    search_path
        Where who asks imports from.
    timeout_s, cpus, memory_bytes
        What the step may take; 0 for no limit.
    """

    run_id: str
    position: int
    path: str
    key: str
    body: tuple[str, ...]
    outputs: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, str | list[str]] = field(default_factory=dict)
    seed: int = 0
    attempt: int = 1
    environment: str = ""
    search_path: tuple[str, ...] = ()
    timeout_s: float = 0.0
    cpus: float = 0.0
    memory_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)

    @classmethod
    def of(cls, form: Mapping[str, Any]) -> Self:
        """Return the order in JSON-able data."""
        return cls(**{**form, "body": tuple(form["body"]), "search_path": tuple(form["search_path"])})

    def may_pass(self, error: Mapping[str, Any]) -> bool:
        """Return whether trying again may help: an error that a verb foresaw comes again."""
        return STEP not in self.body or error.get("error") in (StepFailed.__name__, StepLost.__name__)

    def digests(self) -> list[str]:
        """Return the digests of all artifacts it takes."""
        found = []
        for value in self.artifacts.values():
            found += [value] if isinstance(value, str) else value
        return found

    def argument(self, flag: str) -> str:
        """Return the argument after a flag of its body, empty when the flag is not there."""
        return argument_of(self.body, flag)


@dataclass(frozen=True)
class Outcome:
    """What a step left.

    Parameters
    ----------
    parameters, artifacts
        Plain outputs, and digests of artifacts, by name.
    result
        For a verb of the workbench: the JSON form of its :class:`~workbench.pipeline.result.StepResult`.
    error
        The JSON form of the error, None when it is done.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)

    @classmethod
    def of(cls, form: Mapping[str, Any]) -> Self:
        """Return the outcome in JSON-able data, also in the form that runs of version 0.1.0 recorded for a verb."""
        if "_type" in form:
            return cls(artifacts={"artifact": str(form["output"])}, result=form)
        return cls(**form)


def body_of(component: Component) -> tuple[str, ...]:
    """Return what a component's container runs: for one of ours, the arguments that say what."""
    container = component.container
    arguments = tuple(container.get("args", ()))
    if {FUNCTION, STEP, GIVEN} & {*arguments}:
        return arguments[arguments.index("--executor_input") + 2 :]
    return (*container.get("command", ()), *arguments)


def argument_of(body: tuple[str, ...], flag: str) -> str:
    """Return the argument after a flag, empty when the flag is not there."""
    return body[body.index(flag) + 1] if flag in body[:-1] else ""


def seed_of(body: tuple[str, ...], parameters: Mapping[str, Any], artifacts: Mapping[str, Any]) -> int:
    """Return the seed of a step: decided by its code and inputs, not by where or when it runs or what it is called."""
    if STEP in body:
        form = {**json.loads(argument_of(body, STEP)), "name": ""}
        body = (STEP, codec.dumps(form))
    form = {"body": list(body), "parameters": dict(parameters), "artifacts": dict(artifacts)}
    return int(codec.digest(form)[7:15], 16)


def search_path() -> tuple[str, ...]:
    """Return where this process imports from, so that a worker finds the same modules."""
    return tuple(str(Path(entry).absolute()) for entry in sys.path)
