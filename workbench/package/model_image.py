"""The same model as a container image, for tools that mount images: files under ``/models/<name>/1/``.

KServe reads ``oci://`` that way (*modelcar*, https://kserve.github.io/website). The layer is one uncompressed tar with
no times or owners, so that equal models give equal digests. KServe's sidecar runs a shell in the image: give it a
base image that has one (``busybox``), in the same registry. Where Kubernetes mounts images as volumes no base is
needed.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import PackageError, RegistryError
from . import layout as oci
from .layout import Descriptor
from .reader import Package, inspect
from .reference import Reference
from .registry import Registry
from .tar_layer import Member, digest_of, write_layer

IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
_IMAGE_MANIFESTS = (oci.MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")


def push_model_image(
    layout: Path, reference: Reference, scratch: Path, *, name: str, base: Reference | None = None
) -> Reference:
    """Push a package's files as an image; return where exactly it lies.

    Parameters
    ----------
    layout
        The package.
    scratch
        Empty folder for the layer while it is made.
    name
        Of the model: the folder below ``/models``.
    base
        Image below it, in the same registry.

    Raises
    ------
    CorruptArtifact, PackageError
        If the package does not prove itself, or the base is no single image of this registry.
    RegistryError
        If the registry refuses or stays away.
    """
    package = inspect(layout)
    layer = model_layer(layout, package, scratch / "layer", PurePosixPath("models") / name / "1")
    with closing(Registry(reference)) as registry:
        below, config = _base(registry, base, reference) if base else ([], _empty_config())
        config["rootfs"]["diff_ids"].append(layer.digest)  # uncompressed: the layer's digest is its diff id
        head = _document(scratch / "config", IMAGE_CONFIG, config)
        manifest = {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "config": head.to_json(),
            "layers": [*below, layer.to_json()],
            "annotations": {"org.opencontainers.image.title": package.name},
        }
        for blob, path in ((layer, scratch / "layer"), (head, scratch / "config")):
            registry.push_blob(blob, path)
        data = oci.canonical(manifest)
        registry.push_manifest(data, oci.MANIFEST, reference.tag)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return Reference(reference.url, reference.repository, reference.tag, digest)


def model_layer(layout: Path, package: Package, path: Path, folder: PurePosixPath) -> Descriptor:
    """Write a package's files, each checked against its digest, below `folder` as one layer."""
    for file in package.files:
        digest_of(layout, file)
    return write_layer(
        path, (Member(folder / file.title, oci.blob_path(layout, file.digest)) for file in package.files)
    )


def _document(path: Path, media_type: str, document: dict[str, Any]) -> Descriptor:
    data = oci.canonical(document)
    path.write_bytes(data)
    return Descriptor(media_type, "sha256:" + hashlib.sha256(data).hexdigest(), len(data))


def _empty_config() -> dict[str, Any]:
    return {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}


def _base(
    registry: Registry, base: Reference, target: Reference
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the layers and the config of an image, its layers mounted into the target's repository."""
    if base.url != target.url:
        raise PackageError(
            "the base image lies in another registry", where=base.oci, fix=f"copy it to {target.url}"
        )
    with closing(Registry(base)) as other:
        data = other.manifest(base.digest or base.tag, *_IMAGE_MANIFESTS)
        if data is None:
            raise RegistryError(f"no image {base.repository}:{base.tag}", where=base.url)
        try:
            manifest = json.loads(data)
            head, layers = manifest["config"], manifest["layers"]
            config = json.loads(other.document(Descriptor(head["mediaType"], head["digest"], head["size"])))
            config["rootfs"]["diff_ids"] = list(config["rootfs"]["diff_ids"])
            for layer in layers:
                registry.mount(
                    Descriptor(layer["mediaType"], layer["digest"], layer["size"]), base.repository
                )
        except (ValueError, KeyError, TypeError) as error:
            raise PackageError("the base is not a single image", where=base.oci) from error
    config.pop("history", None)  # it would have to name our layer too
    return [dict(layer) for layer in layers], config
