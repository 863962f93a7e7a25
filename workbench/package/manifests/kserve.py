"""A model on KServe: one InferenceService that reads an image with the model, ``oci://``.

The model is an ONNX file in a model repository (``/models/<name>/1/model.onnx``), which KServe's Triton runtime serves
by the same protocol as our replicas. A model of another format needs a runtime of its own and is refused.
https://kserve.github.io/website/docs/reference/crd-api (serving.kserve.io/v1beta1)
"""

from __future__ import annotations

from typing import Any

from ...errors import InputError
from ..reader import Package

_RUNTIME = "kserve-tritonserver"


def inference_service(
    name: str,
    package: Package,
    *,
    storage_uri: str = "",
    canary_percent: int = 0,
    least: int = 1,
    most: int = 4,
    cpu: str = "1",
    memory: str = "1Gi",
) -> dict[str, Any]:
    """Return the InferenceService.

    Parameters
    ----------
    storage_uri
        ``oci://host/repository:tag@sha256:...`` of the model's image.
    canary_percent
        Share of the traffic that this revision gets beside the last one; 0 for all.
    least, most
        Pods.

    Raises
    ------
    InputError
        If the package holds no ``model.onnx``.
    """
    if not any(file.title == "model.onnx" for file in package.files):
        raise InputError(
            "KServe's runtimes serve no model of this format",
            where=package.name,
            fix="compile it with --backend onnxruntime, or mlops export kubernetes",
        )
    resources = {"cpu": cpu, "memory": memory}
    model = {
        "modelFormat": {"name": "onnx"},
        "runtime": _RUNTIME,
        "protocolVersion": "v2",
        "storageUri": storage_uri,
        "resources": {"requests": resources, "limits": resources},
    }
    predictor: dict[str, Any] = {"minReplicas": least, "maxReplicas": most, "model": model}
    if canary_percent:
        predictor["canaryTrafficPercent"] = canary_percent
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "annotations": {"mlops-workbench/package": package.digest}},
        "spec": {"predictor": predictor},
    }
