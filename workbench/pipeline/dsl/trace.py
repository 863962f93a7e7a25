"""Calling a pipeline's function once, with what stands for its inputs, writes down its tasks.

Every block (the pipeline, a loop, a condition, what an exit handler guards) is a dag. A value made in an outer
dag reaches an inner one through inputs of the components between; a value made in a loop leaves it as a list
through the loop's outputs. Both are named as Kubeflow's own compiler names them (``pipelinechannel--...``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from .operand import Operand

if TYPE_CHECKING:
    from .step import StepFunction

_NOW: ContextVar[Trace | None] = ContextVar("trace", default=None)
OUTPUT = "Output"
"""What the output of a step is called."""


def tracing() -> Trace | None:
    """Return the trace in progress, None outside a pipeline."""
    return _NOW.get()


@dataclass(eq=False)
class Scope:
    """A dag that is being written.

    Parameters
    ----------
    name
        Of the task that stands for it in the dag outside; empty for the pipeline itself.
    outer
        The dag outside.
    kind
        ``pipeline``, ``loop``, ``condition`` or ``guarded``.
    """

    name: str
    outer: Scope | None
    kind: str
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    inputs: dict[str, dict[str, Any]] = field(default_factory=lambda: {"parameters": {}, "artifacts": {}})
    outputs: dict[str, dict[str, Any]] = field(default_factory=lambda: {"parameters": {}, "artifacts": {}})
    made: dict[str, dict[str, Any]] = field(default_factory=lambda: {"parameters": {}, "artifacts": {}})

    def chain(self) -> list[Scope]:
        """Return it and every dag around it, innermost first."""
        return [self, *(self.outer.chain() if self.outer else [])]


@dataclass(frozen=True, eq=False)
class Value(Operand):
    """What stands for a value while a pipeline is written.

    Parameters
    ----------
    scope
        Where it is made.
    task, key
        The task that makes it and the output's name; no task for an input of the pipeline or an item.
    type
        The IR's type of a parameter; empty for an artifact.
    many
        Whether it is a list of artifacts.
    """

    scope: Scope
    task: str
    key: str
    type: str
    many: bool = False

    @property
    def kind(self) -> str:
        """``parameters`` or ``artifacts``: the word of the IR."""
        return "parameters" if self.type else "artifacts"

    @property
    def channel(self) -> str:
        """What it is called as an input of a dag further in."""
        if self.key.startswith("pipelinechannel--"):
            return self.key
        return f"pipelinechannel--{self.task}-{self.key}" if self.task else f"pipelinechannel--{self.key}"

    def definition(self) -> dict[str, Any]:
        """Return the IR's definition of an input or output that holds it."""
        if self.type:
            return {"parameterType": self.type}
        form: dict[str, Any] = {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}
        return {**form, "isArtifactList": True} if self.many else form


class Trace:
    """The pipeline that is being written."""

    def __init__(self) -> None:
        self.root = Scope("", None, "pipeline")
        self.scope = self.root
        self.components: dict[str, dict[str, Any]] = {}
        self.executors: dict[str, dict[str, Any]] = {}
        self.limits: dict[str, dict[str, Any]] = {}
        self._names: set[str] = set()

    def __enter__(self) -> Trace:
        self._token = _NOW.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _NOW.reset(self._token)

    def fresh(self, name: str) -> str:
        """Return a name of a task that no other has."""
        name = name.replace("_", "-").lower().strip("-") or "step"
        found, count = name, 1
        while found in self._names:
            count += 1
            found = f"{name}-{count}"
        self._names.add(found)
        return found

    def task(self, step: StepFunction, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Value:
        """Add a task that runs a step, and return what stands for its output."""
        from .emit import component, executor

        try:
            bound = step.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(f"{step.name}: {error}", where=step.name, fix=f"it is {step!r}") from error
        name = self.fresh(step.name)
        sources = {key: self._source(step, key, value) for key, value in bound.arguments.items()}
        definition = component(step, name, {key: value for key, (_, value) in sources.items()})
        self.components[f"comp-{name}"] = definition
        self.executors[f"exec-{name}"] = executor(step, definition)
        if step.needs.timeout_s:
            self.limits[f"exec-{name}"] = {"activeDeadlineSeconds": max(1, int(step.needs.timeout_s))}
        form = task_form(name, sources)
        form["cachingOptions"] = {"enableCache": True} if step.needs.cache else {}
        if step.needs.retries:
            form["retryPolicy"] = {
                "maxRetryCount": step.needs.retries,
                "backoffDuration": f"{step.needs.wait_s:g}s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": "3600s",
            }
        self.scope.tasks[name] = form
        return Value(self.scope, name, OUTPUT, step.output_type())

    def importer(self, uri: str) -> Value:
        """Add a task that brings an artifact of the store in."""
        name = self.fresh("stored")
        value = Value(self.scope, name, "artifact", "")
        self.components[f"comp-{name}"] = {
            "executorLabel": f"exec-{name}",
            "outputDefinitions": {"artifacts": {"artifact": value.definition()}},
        }
        schema = value.definition()["artifactType"]
        self.executors[f"exec-{name}"] = {
            "importer": {"artifactUri": {"constant": uri}, "typeSchema": schema, "reimport": False}
        }
        self.scope.tasks[name] = task_form(name, {})
        return value

    def reach(self, value: Value) -> dict[str, Any]:
        """Return how the present dag gets at a value, threading it through the dags between."""
        common = next((one for one in self.scope.chain() if one in value.scope.chain()), self.root)
        return _down(self.scope, common, _up(value, common))

    def _source(self, step: StepFunction, key: str, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if isinstance(value, Value):
            wanted = step.input_type(key)
            if step.takes_path(key) and value.type:
                raise InputError(f"{key} wants files, and is given a {value.type}", where=step.name)
            if wanted and not value.type and not value.many:
                raise InputError(
                    f"{key} is annotated as a plain value, and is given an artifact",
                    where=step.name,
                    fix=f"leave the annotation of {key} out, or annotate what the earlier step returns",
                )
            return self.reach(value), value.definition()
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{key} is a {type(value).__name__}, which a pipeline cannot write down",
                where=step.name,
                fix="give plain values, outputs of steps, or wb.stored(NAME) for an artifact",
            ) from error
        from .step import TYPES

        kind = step.input_type(key) or TYPES.get(type(value), "STRING")
        return {"runtimeValue": {"constant": value}}, {"parameterType": kind}


def task_form(name: str, sources: Mapping[str, tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Return a task of the IR with its inputs and what it waits for."""
    inputs: dict[str, dict[str, Any]] = {}
    after = []
    for key, (source, definition) in sources.items():
        inputs.setdefault("parameters" if "parameterType" in definition else "artifacts", {})[key] = source
        made = source.get("taskOutputParameter") or source.get("taskOutputArtifact")
        if made:
            after.append(made["producerTask"])
    form: dict[str, Any] = {"componentRef": {"name": f"comp-{name}"}, "taskInfo": {"name": name}}
    if inputs:
        form["inputs"] = inputs
    if after:
        form["dependentTasks"] = sorted(set(after))
    return form


def _up(value: Value, common: Scope) -> Value:
    """Return what a value made further in is called in an outer dag: each loop between makes it a list."""
    while value.scope is not common:
        scope = value.scope
        if scope.kind != "loop" or scope.outer is None:
            raise InputError(
                "a value made under a condition or an exit handler cannot be used outside it",
                where=value.task or value.key,
                fix="put the step that uses it into the same block",
            )
        key = value.channel
        selector = {"producerSubtask": value.task, f"output{_word(value)}Key": value.key}
        if value.type:
            scope.outputs["parameters"][key] = {"valueFromParameter": selector}
        else:
            scope.outputs["artifacts"][key] = {"artifactSelectors": [selector]}
        outer = Value(scope.outer, scope.name, key, "LIST" if value.type else "", many=not value.type)
        scope.made[value.kind][key] = outer.definition()
        value = outer
    return value


def _down(scope: Scope, common: Scope, value: Value) -> dict[str, Any]:
    """Return how an inner dag gets at a value of an outer one."""
    if scope is common:
        if not value.task:
            return {f"componentInput{_word(value)}": value.key}
        made = {"producerTask": value.task, f"output{_word(value)}Key": value.key}
        return {f"taskOutput{_word(value)}": made}
    assert scope.outer is not None, "the common dag is around it"
    channel = value.channel
    if channel not in scope.inputs[value.kind]:
        scope.inputs[value.kind][channel] = (_down(scope.outer, common, value), value.definition())
    return {f"componentInput{_word(value)}": channel}


def _word(value: Value) -> str:
    return value.kind.removesuffix("s").capitalize()
