"""What tasks made, and how inputs of later tasks are found in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import InputError, StepFailed
from ..ir.graph import Component, Dag, Graph

Artifact = str | list[str]
_PLACE = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
_PICK = re.compile(r"parseJson\(string_value\)\[\"([^\"]+)\"\]")


@dataclass(frozen=True)
class Made:
    """Outputs of a task: plain values, and digests of artifacts (a list for many)."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)


def parameters_of(
    sources: Mapping[str, Mapping[str, Any]],
    component: Component,
    given: Mapping[str, Any],
    made: Mapping[str, Made],
    status: Mapping[str, Mapping[str, Any]],
    where: str,
) -> dict[str, Any]:
    """Return the plain inputs of a task.

    Parameters
    ----------
    sources, component
        Where they come from as the IR says it, and the component that takes them.
    given, made
        Inputs of the dag around, and what its tasks made.
    status
        How tasks ended, for those that ask.
    where
        The task, for errors.

    Raises
    ------
    StepFailed
        If an earlier task left no such output.
    """
    definitions = component.inputs["parameters"]
    found = {key: one["defaultValue"] for key, one in definitions.items() if "defaultValue" in one}
    late = {}
    for key, source in sources.items():
        if "runtimeValue" in source:
            late[key] = source["runtimeValue"].get("constant")
        elif "componentInputParameter" in source:
            if source["componentInputParameter"] in given:
                found[key] = _picked(given[source["componentInputParameter"]], source, where)
        elif "taskFinalStatus" in source:
            found[key] = status[source["taskFinalStatus"]["producerTask"]]
        else:
            value = _output(made, source["taskOutputParameter"], "Parameter", where)
            found[key] = _picked(value, source, where)
    found |= {key: _filled(value, found) for key, value in late.items()}
    return {key: typed(value, definitions.get(key, {})) for key, value in found.items()}


def artifacts_of(
    sources: Mapping[str, Mapping[str, Any]],
    component: Component,
    given: Mapping[str, Artifact],
    made: Mapping[str, Made],
    where: str,
) -> dict[str, Artifact]:
    """Return the digests of the artifacts a task takes; see :func:`parameters_of`."""
    found: dict[str, Artifact] = {}
    for key, source in sources.items():
        if "componentInputArtifact" in source:
            if source["componentInputArtifact"] in given:
                found[key] = given[source["componentInputArtifact"]]
        else:
            found[key] = _output(made, source["taskOutputArtifact"], "Artifact", where)
        if key in found and component.inputs["artifacts"].get(key, {}).get("isArtifactList"):
            found[key] = [found[key]] if isinstance(found[key], str) else found[key]  # type: ignore[list-item]
    return found


def arguments_of(graph: Graph, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of a whole pipeline, with defaults.

    Raises
    ------
    InputError
        If one is missing or unknown.
    """
    inputs = graph.root.inputs["parameters"]
    unknown = sorted(set(arguments) - set(inputs))
    absent = [key for key, one in inputs.items() if key not in arguments and not one.get("isOptional")]
    if unknown or absent:
        what = f"has no input {', '.join(unknown)}" if unknown else f"needs {', '.join(absent)}"
        raise InputError(
            f"the pipeline {what}",
            where=graph.name,
            fix=f"its inputs: {', '.join(inputs) or 'none'}",
        )
    defaults = {key: one["defaultValue"] for key, one in inputs.items() if "defaultValue" in one}
    return {key: typed(value, inputs[key]) for key, value in {**defaults, **arguments}.items()}


def outputs_of(dag: Dag, made: Mapping[str, Made]) -> Made:
    """Return the outputs of a dag whose tasks have ended; what a skipped task would have made is left out."""
    parameters = {}
    for key, form in dag.parameters.items():
        for one in _selectors(form):
            task = made.get(one["producerSubtask"])
            if task is not None and one["outputParameterKey"] in task.parameters:
                parameters[key] = task.parameters[one["outputParameterKey"]]
                break
    artifacts: dict[str, Artifact] = {}
    for key, form in dag.artifacts.items():
        for one in form.get("artifactSelectors", ()):
            task = made.get(one["producerSubtask"])
            if task is not None and one["outputArtifactKey"] in task.artifacts:
                artifacts[key] = task.artifacts[one["outputArtifactKey"]]
                break
    return Made(parameters, artifacts)


def gathered(items: Iterable[Made], component: Component) -> Made:
    """Return what a loop made: each output as the list over its items."""
    listed = list(items)
    parameters = {
        key: [one.parameters[key] for one in listed if key in one.parameters]
        for key in component.outputs["parameters"]
    }
    artifacts: dict[str, Artifact] = {}
    for key in component.outputs["artifacts"]:
        values = [one.artifacts[key] for one in listed if key in one.artifacts]
        artifacts[key] = [one for value in values for one in ([value] if isinstance(value, str) else value)]
    return Made(parameters, artifacts)


def typed(value: Any, definition: Mapping[str, Any]) -> Any:
    """Return a value as its definition wants it: YAML and JSON write 3 as 3.0 where it suits them."""
    kind = definition.get("parameterType")
    if isinstance(value, tuple):
        value = list(value)
    if kind == "NUMBER_INTEGER" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "NUMBER_DOUBLE" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _selectors(form: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "valueFromParameter" in form:
        return [form["valueFromParameter"]]
    return list(form.get("valueFromOneof", {}).get("parameterSelectors", ()))


def _output(made: Mapping[str, Made], source: Mapping[str, Any], word: str, where: str) -> Any:
    task, key = source["producerTask"], source[f"output{word}Key"]
    outputs = made[task].parameters if word == "Parameter" else made[task].artifacts
    if key not in outputs:
        raise StepFailed(f"{task} left no output {key!r}", where=where, fix=f"let {task} write it")
    return outputs[key]


def _picked(value: Any, source: Mapping[str, Any], where: str) -> Any:
    text = source.get("parameterExpressionSelector", "")
    if not text:
        return value
    match = _PICK.fullmatch(text)
    if match is None:
        raise InputError(
            f"the selector {text!r} is not understood", where=where, fix="pick one key: item.key"
        )
    return (json.loads(value) if isinstance(value, str) else value)[match[1]]


def _filled(value: Any, found: Mapping[str, Any]) -> Any:
    """Return a constant with the parameters that its text names put in."""
    if not isinstance(value, str):
        return value
    whole = _PLACE.fullmatch(value)
    if whole is not None:
        return found[whole[1]]
    return _PLACE.sub(lambda match: _text(found[match[1]]), value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
