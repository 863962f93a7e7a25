"""Compiled folder -> OCI image layout.

Equal inputs give byte-identical layouts: there is no time, owner or host in one.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import codec
from ..errors import MissingInput, PackageError, UnsafePath
from ..types import Manifest
from . import layout as oci
from . import sbom, signature
from .environment import EnvironmentLock
from .keys import SigningKey
from .layout import Descriptor, PackageReport
from .staged import staged_folder

_CHUNK_BYTES = 1 << 20
_REQUIRED = ("signature.json", "backend.json")


def pack(
    compiled: Path,
    out: Path,
    *,
    manifest: Manifest,
    lineage: Mapping[str, Any],
    environment: EnvironmentLock,
    name: str,
    key: SigningKey | None = None,
) -> PackageReport:
    """Pack a compiled folder.

    Parameters
    ----------
    compiled
        Folder with the model, ``signature.json`` and ``backend.json``; every regular file in it is packed.
    out
        Folder of the layout; must not exist, or be empty. Appears whole or not at all.
    manifest
        The compiled artifact's manifest.
    lineage
        Where it came from: JSON-able (records of :mod:`workbench.codec` included), the same for equal runs.
    environment
        The environment it was compiled in.
    name
        What it is called, e.g. ``minilm:int8``.
    key
        Signs it; without one it is not signed.

    Returns
    -------
    PackageReport
        Digest of the OCI manifest, number of files and bytes.

    Raises
    ------
    MissingInput
        If `compiled` or a required file is missing.
    UnsafePath
        If `compiled` holds a link, a device or another thing that is not a file or folder.
    PackageError
        If `out` is taken or `lineage` is no JSON.
    StorageFull
        If the device is full; nothing is left behind.
    """
    for required in _REQUIRED:
        if not (compiled / required).is_file():
            raise MissingInput(f"no {required}", where=str(compiled), fix="compile the model first")
    with staged_folder(out) as folder:
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        files = [_add_file(blobs, path, title) for path, title in _files(compiled)]
        bill = sbom.bill_of_materials(name, codec.digest(manifest), files, environment, _facts(compiled))
        layers = [*files, replace(_add_bytes(blobs, oci.SBOM, oci.canonical(bill)), title=sbom.FILE_NAME)]
        head = _add_bytes(blobs, oci.CONFIG, _config(compiled, manifest, lineage, environment, name))
        root = _add_bytes(blobs, oci.MANIFEST, oci.canonical(_oci_manifest(head, layers)))
        write_index(folder, root, name)
        if key is not None:
            sign(folder, root, name, lineage, key)
        size = sum(blob.stat().st_size for blob in blobs.iterdir())
    return PackageReport(root.digest, name, len(files), size)


def write_index(folder: Path, root: Descriptor, name: str, signatures: Sequence[Descriptor] = ()) -> None:
    """Write the two files that make a folder of blobs a layout."""
    entry = {**root.to_json(), "artifactType": oci.ARTIFACT, "annotations": {oci.REF_NAME: name}}
    entries = [entry, *({**one.to_json(), "artifactType": oci.ENVELOPE} for one in signatures)]
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}
    _write(folder / "index.json", oci.canonical(index))
    _write(folder / "oci-layout", oci.canonical({"imageLayoutVersion": oci.LAYOUT_VERSION}))


def sign(folder: Path, root: Descriptor, name: str, lineage: Mapping[str, Any], key: SigningKey) -> None:
    """Put a signature of the package `root` into its layout, in place of any that is there."""
    blobs = folder / "blobs" / "sha256"
    statement = _add_bytes(blobs, oci.ENVELOPE, signature.envelope(root.digest, name, lineage, key))
    empty = _add_bytes(blobs, oci.EMPTY, b"{}")
    signed = _add_bytes(blobs, oci.MANIFEST, oci.canonical(signature.manifest(root, statement, empty)))
    write_index(folder, root, name, (signed,))


def _oci_manifest(config: Descriptor, layers: list[Descriptor]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "artifactType": oci.ARTIFACT,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }


def _facts(compiled: Path) -> dict[str, str]:
    """Return what the bill of materials says of the model beside its name."""
    try:
        return {"backend": str(json.loads((compiled / "backend.json").read_bytes())["backend"])}
    except (ValueError, KeyError, TypeError) as error:
        raise PackageError(
            f"the backend's name cannot be read: {error}", where=str(compiled / "backend.json")
        ) from error


def _config(
    compiled: Path, manifest: Manifest, lineage: Mapping[str, Any], environment: EnvironmentLock, name: str
) -> bytes:
    try:
        return oci.canonical(
            {
                "name": name,
                "signature": json.loads((compiled / "signature.json").read_bytes()),
                "backend": json.loads((compiled / "backend.json").read_bytes()),
                "manifest": codec.to_json(manifest),
                "lineage": codec.to_json(lineage),
                "environment": codec.to_json(environment),
                "environment_digest": environment.digest,
            }
        )
    except (ValueError, TypeError) as error:
        raise PackageError(f"the package's facts are not JSON: {error}", where=str(compiled)) from error


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file with its POSIX path, in an order that does not depend on the file system."""
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            yield path, path.relative_to(folder).as_posix()
        elif not stat.S_ISDIR(mode):
            raise UnsafePath("neither a file nor a folder", where=str(path), fix="pack plain files only")


def _add_file(blobs: Path, source: Path, title: str) -> Descriptor:
    """Copy a file into the blobs; digest and copy come from the same single read."""
    digest, size = hashlib.sha256(), 0
    partial = blobs / "partial"
    with source.open("rb") as reader, partial.open("wb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
            size += len(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    partial.rename(blobs / digest.hexdigest())
    return Descriptor(oci.FILE, f"sha256:{digest.hexdigest()}", size, title)


def _add_bytes(blobs: Path, media_type: str, data: bytes) -> Descriptor:
    digest = hashlib.sha256(data).hexdigest()
    _write(blobs / digest, data)
    return Descriptor(media_type, f"sha256:{digest}", len(data))


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
