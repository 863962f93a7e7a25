"""A step's component and executor in the IR, and the container command that runs it anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import __version__, codec
from .step import Needs, StepFunction

IMAGE = f"mlops-workbench:{__version__}"
"""The container image a step runs in on a cluster, unless another is given."""

COMMAND = ("python3", "-m", "workbench.pipeline.entrypoint")
"""What a container of a step starts with."""

EXECUTOR_INPUT = ("--executor_input", "{{$}}")


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


def executor(step: StepFunction) -> dict[str, Any]:
    """Return the executor of a step."""
    return {"container": {**command("--function", codec.dumps(step.source())), **_resources(step.needs)}}


def command(flag: str, body: str) -> dict[str, Any]:
    """Return image, command and arguments of a container that runs a body of ours."""
    return {"image": IMAGE, "command": list(COMMAND), "args": [*EXECUTOR_INPUT, flag, body]}


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
