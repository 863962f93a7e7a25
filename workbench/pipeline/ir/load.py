"""From the IR's JSON form to a :class:`~workbench.pipeline.ir.graph.Graph`, with every reference checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ...errors import InputError
from . import condition
from .graph import Component, Dag, Graph, Loop, Retry, Task

SCHEMA = (2, 1)
"""The newest version of the IR's schema that is read."""

_ALWAYS = "ALL_UPSTREAM_TASKS_COMPLETED"
_SOURCES = (
    "runtimeValue",
    "componentInputParameter",
    "taskOutputParameter",
    "taskFinalStatus",
    "componentInputArtifact",
    "taskOutputArtifact",
)


def graph_of(spec: Mapping[str, Any], platform: Mapping[str, Any] | None = None) -> Graph:
    """Return the graph of a pipeline after checking it.

    Parameters
    ----------
    spec
        The PipelineSpec in its JSON form.
    platform
        The PlatformSpec (timeouts), if any.

    Raises
    ------
    InputError
        If a reference leads nowhere, tasks wait for one another, or the schema is newer than this reads.
    """
    _check_version(spec)
    platforms = (platform or {}).get("platforms", {}).get("kubernetes", {})
    limits = platforms.get("deploymentSpec", {}).get("executors", {})
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    raw = spec.get("components", {})
    components = {name: _component(name, form, executors, limits) for name, form in raw.items()}
    name = str(spec.get("pipelineInfo", {}).get("name", "pipeline"))
    root = _component(name, spec["root"], executors, limits)
    for component in (root, *components.values()):
        if component.dag is not None:
            _check_dag(component, component.dag, components)
    _ordered({one.name: _used(one) for one in components.values()}, "components contain one another")
    return Graph(name, root, components)


def _check_version(spec: Mapping[str, Any]) -> None:
    version = str(spec.get("schemaVersion", ""))
    parts = version.split(".")
    if not all(part.isdigit() for part in parts) or len(parts) < 2 or "root" not in spec:
        raise InputError(
            "this is no Kubeflow pipeline: it has no schemaVersion and root",
            where=version or "pipeline",
            fix="compile it with kfp 2: kfp dsl compile --py FILE --output pipeline.yaml",
        )
    if not (2, 0) <= (int(parts[0]), int(parts[1])) <= SCHEMA:
        raise InputError(
            f"the pipeline is written in schema {version}, this workbench reads 2.0 to {SCHEMA[0]}.{SCHEMA[1]}",
            where=str(spec.get("sdkVersion", "pipeline")),
            fix="compile it again with kfp 2.16",
        )


def _component(
    name: str, form: Mapping[str, Any], executors: Mapping[str, Any], limits: Mapping[str, Any]
) -> Component:
    inputs, outputs = _definitions(form, "inputDefinitions"), _definitions(form, "outputDefinitions")
    if "dag" in form:
        return Component(name, inputs, outputs, dag=_dag(name, form["dag"]))
    label = form.get("executorLabel", "")
    if label not in executors:
        raise InputError(
            f"{name} names the executor {label!r}, which is not there",
            where=name,
            fix=_written_as(label, executors),
        )
    seconds = float(limits.get(label, {}).get("activeDeadlineSeconds", 0))
    return Component(name, inputs, outputs, executor=executors[label], timeout_s=seconds)


def _written_as(name: str, known: Iterable[str]) -> str:
    return (
        f"write {name!r} as it is called where it is defined: {', '.join(sorted(known)) or 'there is none'}"
    )


def _definitions(form: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
    return {kind: form.get(key, {}).get(kind, {}) for kind in ("parameters", "artifacts")}


def _dag(name: str, form: Mapping[str, Any]) -> Dag:
    tasks = {key: _task(key, one, f"{name}/{key}") for key, one in form.get("tasks", {}).items()}
    for task in tasks.values():
        for other in task.after:
            if other not in tasks:
                raise InputError(
                    f"{task.name} waits for {other!r}, which is not there",
                    where=f"{name}/{task.name}",
                    fix=_written_as(other, tasks),
                )
    order = _ordered(
        {key: task.after for key, task in tasks.items()}, f"tasks of {name} wait for one another"
    )
    outputs = form.get("outputs", {})
    return Dag(
        {key: tasks[key] for key in order}, outputs.get("parameters", {}), outputs.get("artifacts", {})
    )


def _task(name: str, form: Mapping[str, Any], where: str) -> Task:
    inputs = form.get("inputs", {})
    parameters, artifacts = inputs.get("parameters", {}), inputs.get("artifacts", {})
    produced = []
    for key, source in (*parameters.items(), *artifacts.items()):
        kind = next((one for one in _SOURCES if one in source), None)
        if kind is None:
            raise InputError(f"input {key} comes from {', '.join(source)}, which is not known", where=where)
        if isinstance(source[kind], Mapping) and "producerTask" in source[kind]:
            produced.append(source[kind]["producerTask"])
    trigger = form.get("triggerPolicy", {})
    text = trigger.get("condition", "")
    return Task(
        name,
        form["componentRef"]["name"],
        parameters,
        artifacts,
        tuple(dict.fromkeys([*form.get("dependentTasks", []), *produced])),
        condition.parse(text, where) if text else None,
        trigger.get("strategy") == _ALWAYS,
        _loop(form),
        _retry(form.get("retryPolicy", {})),
        bool(form.get("cachingOptions", {}).get("enableCache", False)),
    )


def _loop(form: Mapping[str, Any]) -> Loop | None:
    at_once = int(form.get("iteratorPolicy", {}).get("parallelismLimit", 0))
    if "parameterIterator" in form:
        iterator, items = form["parameterIterator"], form["parameterIterator"]["items"]
        if "inputParameter" in items:
            return Loop(items["inputParameter"], iterator["itemInput"], at_once=at_once)
        import json

        return Loop(tuple(json.loads(items["raw"])), iterator["itemInput"], at_once=at_once)
    if "artifactIterator" in form:
        iterator = form["artifactIterator"]
        return Loop(iterator["items"]["inputArtifact"], iterator["itemInput"], True, at_once)
    return None


def _retry(form: Mapping[str, Any]) -> Retry:
    def seconds(key: str, default: float) -> float:
        return float(str(form.get(key, default)).removesuffix("s"))

    count = int(form.get("maxRetryCount", 0))
    factor = float(form.get("backoffFactor", 2.0))
    return Retry(count, seconds("backoffDuration", 0.0), factor, seconds("backoffMaxDuration", 3600.0))


def _check_dag(owner: Component, dag: Dag, components: Mapping[str, Component]) -> None:
    for task in dag.tasks.values():
        where = f"{owner.name}/{task.name}"
        if task.component not in components:
            raise InputError(
                f"{task.name} runs {task.component!r}, which is not there",
                where=where,
                fix=_written_as(task.component, components),
            )
        known = {task.loop.item} if task.loop else set()
        for kind, sources in (("parameters", task.parameters), ("artifacts", task.artifacts)):
            known.update(sources)
            for key, source in sources.items():
                _check_source(owner, dag, components, kind, source, f"{where}, input {key}")
        if task.loop and isinstance(task.loop.items, str) and task.loop.items not in known:
            raise InputError(
                f"it loops over {task.loop.items!r}, which is no input of it",
                where=where,
                fix=_written_as(task.loop.items, known),
            )
        inputs = components[task.component].inputs["parameters"]
        absent = [key for key, one in inputs.items() if key not in known and not one.get("isOptional")]
        if absent:
            raise InputError(
                f"{task.name} gets no {', '.join(absent)}",
                where=where,
                fix="give it one, or give the input a default",
            )


def _check_source(
    owner: Component,
    dag: Dag,
    components: Mapping[str, Component],
    kind: str,
    source: Mapping[str, Any],
    where: str,
) -> None:
    single = kind.removesuffix("s").capitalize()
    name = source.get(f"componentInput{single}")
    if name is not None and name not in owner.inputs[kind]:
        raise InputError(f"{owner.name} has no input {name!r}", where=where)
    produced = source.get(f"taskOutput{single}")
    if produced is not None:
        made = components.get(dag.tasks[produced["producerTask"]].component)
        key = produced[f"output{single}Key"]
        if made is not None and key not in made.outputs[kind]:
            raise InputError(f"{produced['producerTask']} makes no {key!r}", where=where)


def _used(component: Component) -> Sequence[str]:
    return [task.component for task in component.dag.tasks.values()] if component.dag else []


def _ordered(after: Mapping[str, Sequence[str]], what: str) -> list[str]:
    """Return the names so that each comes after what it needs, earlier names first where nothing else tells."""
    try:
        return list(TopologicalSorter(after).static_order())
    except CycleError as error:
        raise InputError(
            f"{what}: {' -> '.join(error.args[1])}", where=str(error.args[1][0]), fix="break the circle"
        ) from error
