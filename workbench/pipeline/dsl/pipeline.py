"""``@wb.pipeline``: a function that calls steps, compiled to Kubeflow's IR."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ... import codec
from ...errors import InputError
from .operand import Condition
from .step import TYPES, parameter_type
from .trace import Scope, Trace, Value, task_form, tracing

SCHEMA_VERSION = "2.1.0"


class Pipeline:
    """A compiled pipeline.

    Parameters
    ----------
    name
        What it is called.
    spec
        Kubeflow's PipelineSpec in its JSON form.
    platform
        Kubeflow's PlatformSpec (timeouts); empty when there is nothing to say.
    """

    def __init__(self, name: str, spec: Mapping[str, Any], platform: Mapping[str, Any]) -> None:
        self.name, self.spec, self.platform = name, spec, platform

    def yaml(self) -> str:
        """Return the IR as Kubeflow's tools read it."""
        from ...package.manifests.yaml import dump

        return dump([self.spec, *([self.platform] if self.platform else [])])

    def __repr__(self) -> str:
        return f"<pipeline {self.name}: {len(self.spec['root']['dag']['tasks'])} tasks>"


def pipeline(function: Callable[..., Any]) -> Pipeline:
    """Compile a function that calls steps.

    It is called once, with what stands for its inputs; its inputs are plain values (JSON) with annotations or
    defaults. What it returns is the pipeline's output.

    Raises
    ------
    InputError
        If an input has neither annotation nor default, or a step gets what it cannot take.

    Examples
    --------
    >>> from workbench.pipeline.dsl import step
    >>> @step
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> @pipeline
    ... def twice(n: int = 3):
    ...     return double(double(n))
    >>> twice
    <pipeline twice: 2 tasks>
    """
    name = function.__name__.replace("_", "-").lower().strip("-") or "pipeline"
    with Trace() as trace:
        inputs, arguments = _inputs(function, trace)
        result = function(**arguments)
        if not trace.root.tasks:
            raise InputError(
                "the pipeline has no step", where=name, fix="call a function with @wb.step in it"
            )
        outputs = _outputs(result, trace)
    root: dict[str, Any] = {"dag": {"tasks": trace.root.tasks}}
    if inputs:
        root["inputDefinitions"] = {"parameters": inputs}
    if outputs:
        root["dag"]["outputs"] = outputs[0]
        root["outputDefinitions"] = outputs[1]
    spec = {
        "pipelineInfo": {"name": name},
        "schemaVersion": SCHEMA_VERSION,
        "sdkVersion": "kfp-2.16.1",
        "components": trace.components,
        "deploymentSpec": {"executors": trace.executors},
        "root": root,
    }
    return Pipeline(name, spec, platform_spec(trace.limits))


def platform_spec(limits: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the PlatformSpec that holds timeouts by executor, empty when there are none."""
    if not limits:
        return {}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": dict(limits)}}}}


@contextlib.contextmanager
def each(items: Any, at_once: int = 0) -> Iterator[Value]:
    """Run what is inside once for each item; what it makes is a list outside.

    Parameters
    ----------
    items
        A list of plain values, or what stands for a list.
    at_once
        How many items are worked on at once at most; 0 for as many as there is room for.
    """
    trace = _trace("each")
    outer, name = trace.scope, trace.fresh("for-each")
    scope = Scope(name, outer, "loop")
    if isinstance(items, Value):
        kind, item = items.kind, f"{items.channel}-loop-item"
        value = Value(scope, "", item, "STRUCT" if items.type else "")
        iterator: dict[str, Any] = {"itemInput": item}
    else:
        listed = list(items)
        if any(isinstance(one, Value) for one in listed):
            raise InputError(
                "a list to loop over holds plain values, or is itself the output of a step",
                where=name,
                fix="let a step return the list",
            )
        kinds = {TYPES.get(type(one), "") for one in listed}
        item = f"pipelinechannel--{name}-loop-item"
        kind, value = "parameters", Value(scope, "", item, kinds.pop() if len(kinds) == 1 else "STRUCT")
        iterator = {"itemInput": item, "items": {"raw": codec.dumps(listed)}}
    trace.scope = scope
    try:
        yield value
    finally:
        trace.scope = outer
    form = _close(trace, scope, {kind: {item: value.definition()}})
    if isinstance(items, Value):
        source = trace.reach(items)
        form.setdefault("inputs", {}).setdefault(kind, {})[items.channel] = source
        definitions = trace.components[f"comp-{name}"].setdefault("inputDefinitions", {}).setdefault(kind, {})
        definitions[items.channel] = items.definition()
        iterator["items"] = {"inputParameter" if items.type else "inputArtifact": items.channel}
        if items.task and items.task in outer.tasks:
            form["dependentTasks"] = sorted({*form.get("dependentTasks", []), items.task})
    form["parameterIterator" if kind == "parameters" else "artifactIterator"] = iterator
    if at_once:
        form["iteratorPolicy"] = {"parallelismLimit": at_once}


@contextlib.contextmanager
def when(condition: Condition) -> Iterator[None]:
    """Run what is inside only if a condition holds."""
    trace = _trace("when")
    if not isinstance(condition, Condition):
        raise InputError(
            "this is no condition", where="when", fix="compare the output of a step: score > 0.5"
        )
    outer, scope = trace.scope, Scope(trace.fresh("condition"), trace.scope, "condition")
    trace.scope = scope
    try:
        for value in condition.values:
            trace.reach(value)
        yield
    finally:
        trace.scope = outer
    names = [f"inputs.parameter_values['{value.channel}']" for value in condition.values]
    form = _close(trace, scope, {})
    form["triggerPolicy"] = {"condition": condition.text.format(*names)}


@contextlib.contextmanager
def on_exit(task: Value) -> Iterator[None]:
    """Run a task after what is inside, however that ends.

    Parameters
    ----------
    task
        What calling a step returned; it may use nothing that is made inside.
    """
    trace = _trace("on_exit")
    outer, scope = trace.scope, Scope(trace.fresh("exit-handler"), trace.scope, "guarded")
    form = outer.tasks[task.task]
    trace.scope = scope
    try:
        yield
    finally:
        trace.scope = outer
    _close(trace, scope, {})
    form["dependentTasks"] = [scope.name]
    form["triggerPolicy"] = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}


def stored(name: str) -> Value:
    """Return what stands for an artifact of the store: a name, an alias or a digest."""
    return _trace("stored").importer(f"mlops:{name}")


def _trace(word: str) -> Trace:
    trace = tracing()
    if trace is None:
        raise InputError(
            f"wb.{word} is for use inside a pipeline", where=word, fix="def ...: with @wb.pipeline"
        )
    return trace


def _close(trace: Trace, scope: Scope, more: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Write a finished dag down as a component and its task in the dag outside; return the task."""
    if not scope.tasks:
        raise InputError("there is no step in the block", where=scope.name, fix="call a step in it")
    assert scope.outer is not None, "only the pipeline itself has none outside"
    sources = {key: pair for kind in ("parameters", "artifacts") for key, pair in scope.inputs[kind].items()}
    component: dict[str, Any] = {"dag": {"tasks": scope.tasks}}
    definitions: dict[str, Any] = {}
    for kind in ("parameters", "artifacts"):
        inputs = {key: definition for key, (_, definition) in scope.inputs[kind].items()}
        if inputs or more.get(kind):
            definitions[kind] = {**inputs, **more.get(kind, {})}
    if definitions:
        component["inputDefinitions"] = definitions
    # What leaves the loop is known only later: these dictionaries are filled when an outer step takes it.
    component["dag"]["outputs"], component["outputDefinitions"] = scope.outputs, scope.made
    trace.components[f"comp-{scope.name}"] = component
    form = task_form(scope.name, sources)
    scope.outer.tasks[scope.name] = form
    return form


def _inputs(function: Callable[..., Any], trace: Trace) -> tuple[dict[str, Any], dict[str, Value]]:
    hints = inspect.get_annotations(function, eval_str=True)
    definitions: dict[str, Any] = {}
    arguments = {}
    for name, parameter in inspect.signature(function).parameters.items():
        default = parameter.default
        kind = parameter_type(hints.get(name)) or TYPES.get(type(default), "")
        if not kind:
            raise InputError(
                f"the pipeline's input {name!r} has no plain type",
                where=function.__name__,
                fix=f"annotate it: {name}: float, or int, str, bool, list, dict",
            )
        definitions[name] = {"parameterType": kind}
        if default is not parameter.empty:
            definitions[name] |= {"defaultValue": default, "isOptional": True}
        arguments[name] = Value(trace.root, "", name, kind)
    return definitions, arguments


def _outputs(result: Any, trace: Trace) -> tuple[dict[str, Any], dict[str, Any]] | None:
    if result is None:
        return None
    values = result if isinstance(result, dict) else {"Output": result}
    dag: dict[str, Any] = {}
    made: dict[str, Any] = {}
    for key, value in values.items():
        if not isinstance(value, Value):
            raise InputError("a pipeline returns outputs of steps", where=key, fix="return STEP(...)")
        source = trace.reach(value)
        word = "Parameter" if value.type else "Artifact"
        if f"taskOutput{word}" not in source:
            raise InputError("a pipeline returns outputs of steps, not its inputs", where=key)
        produced = source[f"taskOutput{word}"]
        selector = {
            "producerSubtask": produced["producerTask"],
            f"output{word}Key": produced[f"output{word}Key"],
        }
        chosen = {"valueFromParameter": selector} if value.type else {"artifactSelectors": [selector]}
        dag.setdefault(value.kind, {})[key] = chosen
        made.setdefault(value.kind, {})[key] = _list_of(value, trace)
    return dag, made


def _list_of(value: Value, trace: Trace) -> dict[str, Any]:
    """Return the definition of an output: what a loop made is a list outside."""
    if value.scope is trace.root:
        return value.definition()
    return {"parameterType": "LIST"} if value.type else {**value.definition(), "isArtifactList": True}
