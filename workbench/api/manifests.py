"""Manifests: a package in a registry, and the documents that make a cluster serve it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic import write_bytes
from ..errors import InputError
from ..pipeline.launch import launch
from ..pipeline.naming import name_of
from ..pipeline.recipe import Recipe
from ..pipeline.result import Result
from ..render.table import Table
from ..store import Store
from ..store.blobs import remove_tree
from . import packaging

if TYPE_CHECKING:
    from ..package import Reference

PLATFORMS = ("kserve", "kubernetes")


def export_manifests(
    platform: str,
    artifact: str,
    *,
    registry: str,
    out: str,
    image: str = "",
    stable: str = "",
    canary: float = 0.0,
    replicas: int = 1,
    most_replicas: int = 4,
    keda: bool = False,
    sign: str = "",
    trust: tuple[str, ...] = (),
    base: str = "",
    name: str = "",
    store: Store | None = None,
) -> Result:
    """Send an artifact to a registry and write the manifests that serve exactly these bytes.

    Parameters
    ----------
    platform
        ``kserve`` (InferenceService with ``oci://``) or ``kubernetes`` (Deployment, Service, autoscaler; with a
        canary also an HTTPRoute).
    artifact
        What to serve, as for :func:`~workbench.api.push`.
    registry
        Where the cluster pulls from, ``http://host:port``.
    out
        Folder for the files; made when absent, files of the same names are replaced.
    image
        For ``kubernetes``: container image with this workbench.
    stable, canary
        With a canary share between 0 and 1, `artifact` is the canary. On ``kubernetes`` `stable` names the version
        beside it; on ``kserve`` that is the revision before.
    replicas, most_replicas
        Pods: at least, at most.
    keda
        For ``kubernetes``: scale by the length of the queues instead of by CPU.
    sign, trust
        Secret key that signs; public keys that the pods check.
    base
        For ``kserve``: image with a shell below the model, in the same registry.
    name
        Of the service; by default the artifact's.

    Raises
    ------
    InputError
        If an option is missing or does not fit the platform.
    UnknownArtifact, RegistryError
        As :func:`~workbench.api.push`.
    """
    from ..package.manifests import dump

    if platform not in PLATFORMS:
        raise InputError(f"no platform {platform!r}", where="export", fix=" or ".join(PLATFORMS))
    store = store or Store()
    cluster = _Cluster(
        name or name_of(store, artifact).base.lower(),
        round(100 * canary),
        replicas,
        most_replicas,
        registry,
        sign,
        store,
    )
    if platform == "kserve":
        document = _kserve(cluster, artifact, base)
    else:
        keys = tuple(Path(path).read_text() for path in trust)
        document = _kubernetes(cluster, artifact, stable, image=image, keda=keda, trusted=keys)
    path = Path(out) / f"{cluster.name}-{platform}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, dump(document).encode())
    rows = tuple((one["kind"], one["metadata"]["name"]) for one in document)
    return Result(str(path), (Table(("kind", "name"), rows),), details={"file": str(path)}, store=store)


@dataclass(frozen=True)
class _Cluster:
    """What both platforms need: the service's name, the canary's percent, pods, and where packages go."""

    name: str
    percent: int
    least: int
    most: int
    registry: str
    sign: str
    store: Store

    def publish(self, artifact: str) -> tuple[Reference, str]:
        """Package an artifact unless it is a package, and send it; return where it lies and its digest here."""
        from ..package import Reference

        package, steps = packaging.package_of(self.store, artifact, self.sign)
        steps.append(packaging.publish_step(package, self.registry, name_of(self.store, artifact)))
        result = launch(self.store, Recipe(tuple(steps)), title=f"push {artifact} to {self.registry}")
        assert isinstance(result, Result)  # not in the background
        return Reference.parse(result.details["reference"]), result.digest


def _kserve(cluster: _Cluster, artifact: str, base: str) -> list[dict[str, Any]]:
    from ..package import Reference, inspect
    from ..package.manifests.kserve import inference_service
    from ..package.model_image import push_model_image

    sent, digest = cluster.publish(artifact)
    layout, below = cluster.store.artifacts.path(digest), Reference.parse(base) if base else None
    document = inference_service(
        cluster.name, inspect(layout), canary_percent=cluster.percent, least=cluster.least, most=cluster.most
    )
    scratch = cluster.store.scratch()
    try:
        place = Reference(sent.url, sent.repository, f"{sent.tag}-image")
        place = push_model_image(layout, place, scratch, name=cluster.name, base=below)
    finally:
        remove_tree(scratch)
    document["spec"]["predictor"]["model"]["storageUri"] = place.oci
    return [document]


def _kubernetes(
    cluster: _Cluster, artifact: str, stable: str, *, image: str, **options: Any
) -> list[dict[str, Any]]:
    from ..package.manifests.kubernetes import Plan, Track, documents

    if not image:
        raise InputError(
            "which container image serves it?", where="--image", fix="one with this workbench in it"
        )
    if bool(stable) != bool(cluster.percent):
        raise InputError("a canary and the stable version go together", where="--canary", fix="--stable NAME")

    def track(role: str, text: str) -> Track:
        place, _ = cluster.publish(text)
        reference = f"{place.url}/{place.repository}:{place.tag}@{place.digest}"
        return Track(role, reference, place.digest[7:19], cluster.least)

    first, second = track("stable", stable or artifact), track("canary", artifact) if stable else None
    plan = Plan(cluster.name, image, first, second, cluster.percent, cluster.most, **options)
    return documents(plan)
