"""An environment, and a model in it, as a container image: written by hand, no daemon, nothing fetched.

::

    oci-layout, index.json       OCI image layout: skopeo, umoci, podman and registries read it
    blobs/sha256/...             manifest ─> config (entry point, user, environment digest)
                                          ─> layers: system libraries, interpreter, packages, workbench, model

https://github.com/opencontainers/image-spec: image-layout.md, config.md, layer.md
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import PackageError
from .. import layout as oci
from ..environment import EnvironmentLock
from ..layout import Descriptor
from ..model_image import IMAGE_CONFIG, model_layer
from ..reader import inspect
from ..staged import staged_folder
from ..tar_layer import Member, write_layer
from . import root
from .installed import Installed, installed

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
_NONROOT = "65532:65532"


@dataclass(frozen=True)
class ImageReport:
    """What was built: digest of the manifest, names and sizes of the layers, number of packages."""

    digest: str
    layers: tuple[tuple[str, int], ...]
    packages: int


def build_image(
    out: Path,
    *,
    lock: EnvironmentLock | None = None,
    only: Iterable[str] | None = None,
    model: Path | None = None,
    own: Path | None = None,
    name: str = "environment",
) -> ImageReport:
    """Write an image layout.

    Parameters
    ----------
    out
        Folder of the layout; must not exist, or be empty. Appears whole or not at all.
    lock
        The environment it is to hold; without one the image is the model's files alone.
    only
        Names of the packages to take; all of the lock by default.
    model
        A package (see :func:`workbench.package.pack`) whose files go to ``/models/<name>/1``.
    own
        Folder of the workbench's own source, put beside the packages.
    name
        What the image is called; also the model's folder.

    Raises
    ------
    PackageError
        If a package of the lock is not installed here in its version; names them. Or if there is nothing to put in.
    CorruptArtifact
        If the model does not prove itself.
    StorageFull
        If the device is full; nothing is left behind.
    """
    if lock is None and model is None:
        raise PackageError("an image needs an environment or a model", where=str(out))
    chosen = _chosen(lock, only) if lock else []
    with staged_folder(out) as folder:
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        layers = _environment_layers(blobs, chosen, own) if lock else []
        if model is not None:
            place = PurePosixPath("models") / name.replace(":", "-").replace("/", "-") / "1"
            layers.append(("model", _keep(blobs, model_layer(model, inspect(model), blobs / "new", place))))
        top = _finish(folder, layers, _config([layer for _, layer in layers], lock, model is not None), name)
    sizes = tuple((label, layer.size_bytes) for label, layer in layers)
    return ImageReport(top.digest, sizes, len(chosen))


def build_base(out: Path, lock: EnvironmentLock, loading: Iterable[Installed]) -> ImageReport:
    """Write the image layout of an environment without its packages: the system's libraries and the interpreter.

    Parameters
    ----------
    out
        Folder of the layout; must not exist, or be empty. Appears whole or not at all.
    lock
        The environment, which the image names.
    loading
        The packages that will be shown to it; the libraries of the system that they load are in the image.

    Raises
    ------
    StorageFull
        If the device is full; nothing is left behind.
    """
    with staged_folder(out) as folder:
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        layers = _base_layers(blobs, root.packages(loading, libraries=True))
        top = _finish(folder, layers, _config([layer for _, layer in layers], lock, has_model=False), "base")
    return ImageReport(top.digest, tuple((label, layer.size_bytes) for label, layer in layers), 0)


def _finish(
    folder: Path, layers: list[tuple[str, Descriptor]], config: dict[str, Any], name: str
) -> Descriptor:
    """Write what names the layers, up to the index."""
    blobs = folder / "blobs" / "sha256"
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": _document(blobs, IMAGE_CONFIG, config).to_json(),
        "layers": [layer.to_json() for _, layer in layers],
    }
    top = _document(blobs, oci.MANIFEST, manifest)
    entry = {**top.to_json(), "annotations": {oci.REF_NAME: name}}
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]}
    (folder / "index.json").write_bytes(oci.canonical(index))
    (folder / "oci-layout").write_bytes(oci.canonical({"imageLayoutVersion": oci.LAYOUT_VERSION}))
    return top


def _chosen(lock: EnvironmentLock, only: Iterable[str] | None) -> list[Installed]:
    here, names = installed(), None if only is None else set(only)
    chosen, missing = [], []
    for line in lock.packages:
        package, _, version = line.partition("==")
        if names is not None and package not in names:
            continue
        one = here.get(package)
        if one is None or one.version != version:
            missing.append(line)
        else:
            chosen.append(one)
    if missing:
        raise PackageError(
            f"{len(missing)} package(s) of the environment are not installed here: " + ", ".join(missing[:5]),
            where="environment",
            fix="build it as a virtual environment first, and the image with that one's interpreter",
            packages=missing,
        )
    return chosen


def _environment_layers(
    blobs: Path, chosen: list[Installed], own: Path | None
) -> list[tuple[str, Descriptor]]:
    """Write system, interpreter, packages and the workbench, in the order of how seldom they change."""
    packages = list(root.packages(chosen))
    parts = [("packages", packages), ("workbench", list(root.own_source(own)) if own else [])]
    more = [(label, _keep(blobs, write_layer(blobs / "new", members))) for label, members in parts if members]
    return [*_base_layers(blobs, packages), *more]


def _base_layers(blobs: Path, packages: Iterable[Member]) -> list[tuple[str, Descriptor]]:
    """Write the interpreter, and what of the system it and these files load."""
    interpreter = list(root.interpreter())
    parts = [("system", list(root.system([*interpreter, *packages]))), ("interpreter", interpreter)]
    return [(label, _keep(blobs, write_layer(blobs / "new", members))) for label, members in parts]


def _keep(blobs: Path, layer: Descriptor) -> Descriptor:
    (blobs / "new").rename(blobs / layer.digest.removeprefix("sha256:"))
    return layer


def _config(layers: list[Descriptor], lock: EnvironmentLock | None, has_model: bool) -> dict[str, Any]:
    labels = {"mlops.environment": lock.digest} if lock else {}
    process: dict[str, Any] = {"Labels": labels}
    if lock is not None:
        process |= {
            "Env": [
                f"PATH=/{root.ENVIRONMENT}/bin:/usr/bin:/bin",
                "PYTHONDONTWRITEBYTECODE=1",
                "OMP_NUM_THREADS=1",
                "HOME=/tmp",
            ],
            "Entrypoint": [f"/{root.ENVIRONMENT}/bin/python"],
            "User": _NONROOT,
            "WorkingDir": "/models" if has_model else "/tmp",  # noqa: S108 - a place inside the image
        }
    return {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": process,
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
    }


def _document(blobs: Path, media_type: str, document: dict[str, Any]) -> Descriptor:
    data = oci.canonical(document)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return Descriptor(media_type, f"sha256:{digest}", len(data))
