"""A package on plain Kubernetes: fetched and verified by an init container, served by ours.

::

    HTTPRoute ─ 90 % ─> Service stable ─> Deployment stable      (the route and the second half with a canary only)
              └ 10 % ─> Service canary ─> Deployment canary
    HorizontalPodAutoscaler, or KEDA ScaledObject ─> Deployment stable

The route is of the Gateway API (gateway.networking.k8s.io/v1), because a plain Service cannot weigh.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ...errors import InputError

HTTP_PORT, GRPC_PORT = 8080, 9000
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?")


@dataclass(frozen=True)
class Track:
    """One version of the model in the cluster.

    Parameters
    ----------
    name
        ``stable`` or ``canary``.
    reference
        The package, as ``http://host/repository:tag@sha256:...``.
    version
        What requests and metrics call it.
    replicas
        Pods.
    """

    name: str
    reference: str
    version: str
    replicas: int = 1


@dataclass(frozen=True)
class Plan:
    """What to write.

    Parameters
    ----------
    name
        Of the model, the Services and the Deployments.
    image
        Container image with this workbench installed.
    stable, canary
        The versions; a canary needs `weight`.
    weight
        The canary's share of the traffic, in percent.
    most_replicas
        The autoscaler's limit; the stable track's own number of pods is its least.
    keda
        Scale by what waits in the replicas' queues (KEDA, Prometheus) instead of by CPU.
    prometheus
        Address that KEDA asks.
    trusted
        Public keys in PEM form; the init container refuses what none of them signed.
    cpu, memory
        Of each pod, in Kubernetes' units.

    Raises
    ------
    InputError
        If the name is none that Kubernetes takes, or there is a canary without a weight.
    """

    name: str
    image: str
    stable: Track
    canary: Track | None = None
    weight: int = 0
    most_replicas: int = 4
    keda: bool = False
    prometheus: str = "http://prometheus.monitoring:9090"
    trusted: tuple[str, ...] = field(default=())
    cpu: str = "1"
    memory: str = "1Gi"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(
                f"{self.name!r} is no name for Kubernetes", where="--name", fix="small letters, digits and -"
            )
        if (self.canary is None) != (self.weight == 0) or not 0 <= self.weight <= 100:
            raise InputError(
                "a canary needs a share between 1 and 100 %", where="--canary", fix="--canary 10%"
            )


def documents(plan: Plan) -> list[dict[str, Any]]:
    """Return the manifests, in the order in which they should be applied."""
    tracks = [plan.stable, *([plan.canary] if plan.canary else [])]
    found = [_keys(plan)] if plan.trusted else []
    for track in tracks:
        found += [_deployment(plan, track), _service(plan, track)]
    found.append(_scaled_object(plan) if plan.keda else _autoscaler(plan))
    if plan.canary:
        found.append(_route(plan))
    return found


def _labels(plan: Plan, track: Track) -> dict[str, str]:
    return {"app.kubernetes.io/name": plan.name, "mlops-workbench/track": track.name}


def _meta(plan: Plan, track: Track) -> dict[str, Any]:
    return {"name": f"{plan.name}-{track.name}", "labels": _labels(plan, track)}


def _deployment(plan: Plan, track: Track) -> dict[str, Any]:
    labels = _labels(plan, track)
    scrape = {
        "prometheus.io/scrape": "true",
        "prometheus.io/path": "/metrics",
        "prometheus.io/port": str(HTTP_PORT),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(plan, track),
        "spec": {
            "replicas": track.replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": labels, "annotations": scrape}, "spec": _pod(plan, track)},
        },
    }


def _pod(plan: Plan, track: Track) -> dict[str, Any]:
    model = {"name": "model", "mountPath": "/model"}
    keys = {"name": "keys", "mountPath": "/keys", "readOnly": True}
    fetch = ["mlops", "pull", track.reference, "--out", "/model/bundle"]
    fetch += [part for at in range(len(plan.trusted)) for part in ("--trust", f"/keys/{at}.pub")]
    volumes: list[dict[str, Any]] = [{"name": "model", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    if plan.trusted:
        volumes.append({"name": "keys", "configMap": {"name": f"{plan.name}-keys"}})
    tmp = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - the pod's own, empty volume
    init = {"name": "fetch", "image": plan.image, "command": fetch, "securityContext": _SECURITY}
    return {
        "terminationGracePeriodSeconds": 45,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001},
        "initContainers": [{**init, "volumeMounts": [model, tmp, *([keys] if plan.trusted else [])]}],
        "containers": [_container(plan, track, [{**model, "readOnly": True}, tmp])],
        "volumes": volumes,
    }


def _container(plan: Plan, track: Track, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    command = ["python", "-m", "workbench.serve.replica", "--model", plan.name, "--version", track.version]
    command += ["--bundle", "/model/bundle", "--ready-file", "/tmp/ready.json", "--host", "0.0.0.0"]  # noqa: S104, S108
    command += ["--port", str(HTTP_PORT), "--grpc-port", str(GRPC_PORT), "--track", track.name]
    resources = {"cpu": plan.cpu, "memory": plan.memory}
    return {
        "name": "replica",
        "image": plan.image,
        "command": command,
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT},
            {"name": "grpc", "containerPort": GRPC_PORT},
        ],
        "resources": {"requests": resources, "limits": resources},
        "securityContext": _SECURITY,
        "startupProbe": {**_probe("/v2/health/ready"), "periodSeconds": 1, "failureThreshold": 120},
        "readinessProbe": {**_probe("/v2/health/ready"), "periodSeconds": 2},
        "livenessProbe": {**_probe("/v2/health/live"), "periodSeconds": 10},
        # Endpoints lag behind a pod's end; until they follow, the listener stays open.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
        "volumeMounts": mounts,
    }


_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _probe(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}}


def _service(plan: Plan, track: Track) -> dict[str, Any]:
    ports = [
        {"name": "http", "port": 80, "targetPort": "http"},
        {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(plan, track),
        "spec": {"selector": _labels(plan, track), "ports": ports},
    }


def _autoscaler(plan: Plan) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": 70}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _meta(plan, plan.stable),
        "spec": {
            "scaleTargetRef": _target(plan),
            "minReplicas": plan.stable.replicas,
            "maxReplicas": max(plan.most_replicas, plan.stable.replicas),
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def _scaled_object(plan: Plan) -> dict[str, Any]:
    query = f'sum(mlops_queue_length{{model="{plan.name}",track="stable"}})'
    trigger = {"serverAddress": plan.prometheus, "query": query, "threshold": "4"}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": _meta(plan, plan.stable),
        "spec": {
            "scaleTargetRef": _target(plan),
            "minReplicaCount": plan.stable.replicas,
            "maxReplicaCount": max(plan.most_replicas, plan.stable.replicas),
            "triggers": [{"type": "prometheus", "metadata": trigger}],
        },
    }


def _target(plan: Plan) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{plan.name}-{plan.stable.name}"}


def _route(plan: Plan) -> dict[str, Any]:
    assert plan.canary is not None
    shares = ((plan.stable, 100 - plan.weight), (plan.canary, plan.weight))
    backends = [
        {"name": f"{plan.name}-{track.name}", "port": 80, "weight": weight} for track, weight in shares
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": plan.name, "labels": {"app.kubernetes.io/name": plan.name}},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": backends}]},
    }


def _keys(plan: Plan) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{plan.name}-keys", "labels": {"app.kubernetes.io/name": plan.name}},
        "data": {f"{at}.pub": pem for at, pem in enumerate(plan.trusted)},
    }
