"""A recipe of verbs as a pipeline: the same IR as users' steps, so the same executors run it.

Each step becomes a component whose command carries the step's record, with ``input:FIELD`` where an artifact
goes in; what lies in the store already comes in through an importer.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ... import codec
from ..cache import OUTPUT
from ..dsl.emit import command
from ..dsl.pipeline import SCHEMA_VERSION
from ..dsl.trace import task_form
from ..recipe import Recipe, Step, input_texts, pin, portable
from .driver import PipelineRun

_DEFINITION = {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}


def compiled(recipe: Recipe, title: str = "", *, fresh: bool = False) -> PipelineRun:
    """Return a recipe as a pipeline to run."""
    name = "-".join(dict.fromkeys(step.verb for step in recipe.steps))
    spec: dict[str, Any] = {
        "components": {},
        "deploymentSpec": {"executors": {}},
        "root": {"dag": {"tasks": {}}},
    }
    tasks = spec["root"]["dag"]["tasks"]
    names: list[str] = []
    for task, step in zip(task_names(recipe), recipe.steps, strict=True):
        sources = {}
        for field, text in input_texts(step):
            made_here = text.startswith("step:")
            producer = names[int(text[5:])] if made_here else _import(spec, text, task, field, names[-1:])
            made = {"producerTask": producer, "outputArtifactKey": OUTPUT}
            sources[field] = ({"taskOutputArtifact": made}, _DEFINITION)
        _add(spec, task, step, list(sources))
        form = tasks[task] = task_form(task, sources)
        form["cachingOptions"] = {"enableCache": True}
        if names:  # one after the other, as the recipe says
            form["dependentTasks"] = sorted({*form.get("dependentTasks", []), names[-1]})
        if recipe.retries:
            form["retryPolicy"] = {"maxRetryCount": recipe.retries}
        names.append(task)
    selector = {"producerSubtask": names[-1], "outputArtifactKey": OUTPUT}
    spec["root"]["dag"]["outputs"] = {"artifacts": {OUTPUT: {"artifactSelectors": [selector]}}}
    spec["root"]["outputDefinitions"] = {"artifacts": {OUTPUT: _DEFINITION}}
    head = {"pipelineInfo": {"name": name}, "schemaVersion": SCHEMA_VERSION, "sdkVersion": "kfp-2.16.1"}
    return PipelineRun(title or name, {**head, **spec}, fresh=fresh)


def task_names(recipe: Recipe) -> list[str]:
    """Return what the steps are called in the pipeline: the verb, with a number from its second time on.

    Examples
    --------
    >>> from workbench.pipeline.steps.compile import CompileStep
    >>> task_names(Recipe((CompileStep("net"), CompileStep("step:0"))))
    ['compile', 'compile-2']
    """
    seen: Counter[str] = Counter()
    names = []
    for step in recipe.steps:
        seen[step.verb] += 1
        names.append(step.verb if seen[step.verb] == 1 else f"{step.verb}-{seen[step.verb]}")
    return names


def _add(spec: dict[str, Any], task: str, step: Step, fields: list[str]) -> None:
    numbered = iter([f"input:{field}" for field in fields])
    placed = portable(pin(step, lambda _text: next(numbered)))
    component: dict[str, Any] = {
        "executorLabel": f"exec-{task}",
        "outputDefinitions": {"artifacts": {OUTPUT: _DEFINITION}},
    }
    if fields:
        component["inputDefinitions"] = {"artifacts": dict.fromkeys(fields, _DEFINITION)}
    spec["components"][f"comp-{task}"] = component
    spec["deploymentSpec"]["executors"][f"exec-{task}"] = {
        "container": command("--step", codec.dumps(placed), component)
    }


def _import(spec: dict[str, Any], text: str, task: str, field: str, before: list[str]) -> str:
    """Add what reads an artifact of the store; a name is looked up when its step's turn comes, as names move."""
    name = f"{task}-{field}".replace("_", "-")
    uri = {"constant": f"mlops:{text}"}
    spec["deploymentSpec"]["executors"][f"exec-{name}"] = {
        "importer": {"artifactUri": uri, "typeSchema": _DEFINITION["artifactType"]}
    }
    spec["components"][f"comp-{name}"] = {
        "executorLabel": f"exec-{name}",
        "outputDefinitions": {"artifacts": {OUTPUT: _DEFINITION}},
    }
    form = spec["root"]["dag"]["tasks"][name] = task_form(name, {})
    if before and not text.startswith("sha256:"):
        form["dependentTasks"] = before
    return name
