"""A step's component and executor in the IR, and the container command that runs it anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import __version__, codec
from ..workers.order import LISTS, OUTPUTS
from .step import Needs, StepFunction

IMAGE = f"mlops-workbench:{__version__}-python3.11"
"""The container image a step runs in on a cluster, unless another is given."""

COMMAND = ("python3", "-m", "workbench.pipeline.entrypoint")
"""What a container of a step starts with."""

PROTOCOL = ("--protocol", "kfp.dsl.executor_main")
"""Says that the arguments are those of a Python component: Kubeflow's local runner takes no others."""


def component(step: StepFunction, name: str, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the component of a task that gets these inputs (definitions by name)."""
    from .trace import OUTPUT, Scope, Value

    inputs: dict[str, dict[str, Any]] = {}
    for key, definition in given.items():
        inputs.setdefault("parameters" if "parameterType" in definition else "artifacts", {})[key] = (
            definition
        )
    made = Value(Scope("", None, "pipeline"), name, OUTPUT, step.output_type())
    form: dict[str, Any] = {
        "executorLabel": f"exec-{name}",
        "outputDefinitions": {made.kind: {OUTPUT: made.definition()}},
    }
    if inputs:
        form["inputDefinitions"] = inputs
    return form


def executor(step: StepFunction, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the executor of a step whose component is given."""
    run = command("--function", codec.dumps(step.source()), definition)
    return {"container": {**run, **_resources(step.needs)}}


def command(flag: str, body: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return image, command and arguments of a container that runs a body of ours."""
    artifacts = definition.get("inputDefinitions", {}).get("artifacts", {})
    lists = sorted(name for name, one in artifacts.items() if one.get("isArtifactList"))
    outputs = codec.dumps(definition["outputDefinitions"])
    arguments = [
        *PROTOCOL,
        OUTPUTS,
        outputs,
        LISTS,
        codec.dumps(lists),
        "--executor_input",
        "{{$}}",
        flag,
        body,
    ]
    return {"image": IMAGE, "command": list(COMMAND), "args": arguments}


def _resources(needs: Needs) -> dict[str, Any]:
    form: dict[str, Any] = {}
    if needs.cpus:
        form |= {"cpuLimit": needs.cpus, "resourceCpuLimit": f"{needs.cpus:g}"}
    if needs.memory_bytes:
        form |= {"memoryLimit": needs.memory_bytes / 1e9, "resourceMemoryLimit": str(needs.memory_bytes)}
    if needs.accelerators:
        count = str(needs.accelerators)
        form["accelerator"] = {"count": count, "type": "nvidia.com/gpu", "resourceCount": count,
                               "resourceType": "nvidia.com/gpu"}  # fmt: skip
    return {"resources": form} if form else {}
