"""A layout to a registry and back: every blob once, every byte checked, broken transfers gone on with.

Signatures follow the OCI 1.1 *referrers tag schema*: an index under the tag ``sha256-<hex>`` of the package's
digest lists the manifests that refer to it. Registries without the referrers API keep that like any other tag.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import closing
from pathlib import Path

from ..atomic import disk_guard
from ..errors import CorruptArtifact, RegistryError, StorageFull
from . import layout as oci
from .blobs import Limits, parse_document, read_blob
from .layout import Descriptor
from .reader import Package, inspect, parts_of, root_of, signature_manifests, statement_of
from .reference import Reference
from .registry import Progress, Registry
from .staged import staged_folder
from .writer import write_index

_MOST_SIGNATURES = 64


def push_layout(layout: Path, reference: Reference, *, progress: Progress = lambda _: None) -> Reference:
    """Upload a package and its signatures; return where exactly it lies now.

    What the registry has already is not sent again, so that running it again after a failure goes on.

    Raises
    ------
    CorruptArtifact, PackageError
        If the layout does not prove itself.
    RegistryError
        If the registry refuses or stays away.
    """
    limits = Limits()
    package, root = inspect(layout, limits=limits), root_of(layout, limits)
    with closing(Registry(reference)) as registry:
        document = read_blob(layout, root, limits)
        head, layers = parts_of(document, str(layout), limits)
        for blob in (*layers, head):
            registry.push_blob(blob, oci.blob_path(layout, blob.digest), progress)
        signed = signature_manifests(layout, limits)
        for one in signed:
            data = read_blob(layout, one, limits)
            for blob in (statement_of(data, package.digest), oci.EMPTY_BLOB):
                registry.push_blob(blob, oci.blob_path(layout, blob.digest), progress)
            registry.push_manifest(data, oci.MANIFEST, one.digest)
        if signed:
            entries = [{**one.to_json(), "artifactType": oci.ENVELOPE} for one in signed]
            index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}
            registry.push_manifest(oci.canonical(index), oci.INDEX, _referrers_tag(package.digest))
        registry.push_manifest(
            document, oci.MANIFEST, reference.tag
        )  # last: a tag never names half a package
    return Reference(reference.url, reference.repository, reference.tag, package.digest)


def pull_layout(
    reference: Reference,
    out: Path,
    partial: Path,
    *,
    limits: Limits | None = None,
    progress: Progress = lambda _: None,
) -> Package:
    """Download a package and its signatures as a layout.

    Parameters
    ----------
    out
        Must not exist, or be empty; appears whole or not at all.
    partial
        Folder for what has come so far, on the file system of `out`; kept after a failure, and the next call
        with the same folder goes on there.
    limits
        Refuse packages above these before any of their files is fetched.

    Raises
    ------
    CorruptArtifact, UnsafePath, PackageError
        If the package does not prove itself.
    RegistryError
        If there is none, or the registry refuses or stays away.
    StorageFull
        If it does not fit on the device.
    """
    bounds = limits or Limits()
    with closing(Registry(reference)) as registry:
        document = registry.manifest(reference.digest or reference.tag, oci.MANIFEST)
        if document is None:
            raise RegistryError(f"no package {reference.repository}:{reference.tag}", where=reference.url)
        root = _descriptor(oci.MANIFEST, document)
        head, layers = parts_of(document, reference.oci, bounds)
        blobs = {blob.digest: blob for blob in (*layers, head)}
        folder = partial / root.digest.removeprefix("sha256:")
        with disk_guard(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _check_space(folder, list(blobs.values()))
            _write(folder, root, document)
            signed = _pull_signatures(registry, root, folder, bounds)
            for blob in blobs.values():
                target = folder / blob.digest.removeprefix("sha256:")
                if not target.exists():
                    registry.pull_blob(blob, target, progress)
    with staged_folder(out) as layout:
        place = layout / "blobs" / "sha256"
        place.mkdir(parents=True)
        for path in folder.iterdir():
            os.link(path, place / path.name)
        name = str(parse_document(read_blob(layout, head, bounds), where="config").get("name", ""))
        write_index(layout, root, name, signed)
        package = inspect(layout, limits=bounds)
    shutil.rmtree(folder)
    return package


def _pull_signatures(registry: Registry, root: Descriptor, folder: Path, limits: Limits) -> list[Descriptor]:
    data = registry.manifest(_referrers_tag(root.digest), oci.INDEX)
    if data is None:
        return []
    entries = parse_document(data, where="referrers").get("manifests")
    found = []
    for entry in entries[:_MOST_SIGNATURES] if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or entry.get("artifactType") != oci.ENVELOPE:
            continue
        one = Descriptor.of(entry, oci.MANIFEST, where="referrers")
        document = registry.manifest(one.digest, oci.MANIFEST)
        if document is None:
            raise CorruptArtifact("a signature that the registry names is not there", where=one.digest)
        statement = statement_of(document, root.digest)
        if max(one.size_bytes, statement.size_bytes) > limits.document_bytes:
            raise CorruptArtifact("a signature is too large to be one", where=one.digest)
        for blob in (statement, oci.EMPTY_BLOB):
            target = folder / blob.digest.removeprefix("sha256:")
            if not target.exists():
                registry.pull_blob(blob, target)
        _write(folder, one, document)
        found.append(one)
    return found


def _check_space(folder: Path, blobs: list[Descriptor]) -> None:
    """Refuse before the first byte what cannot fit, counting what is there from an earlier try."""
    have = sum(path.stat().st_size for path in folder.iterdir())
    need, free = sum(blob.size_bytes for blob in blobs) - have, shutil.disk_usage(folder).free
    if need > free:
        raise StorageFull(
            f"the package needs {need:,} bytes, {free:,} are free",
            where=str(folder),
            fix="free some space (%mlops gc removes what nothing refers to) and run it again",
        )


def _descriptor(media_type: str, data: bytes) -> Descriptor:
    return Descriptor(media_type, "sha256:" + hashlib.sha256(data).hexdigest(), len(data))


def _write(folder: Path, descriptor: Descriptor, data: bytes) -> None:
    (folder / descriptor.digest.removeprefix("sha256:")).write_bytes(data)


def _referrers_tag(digest: str) -> str:
    return digest.replace(":", "-")
