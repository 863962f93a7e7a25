"""OCI image layout -> compiled folder, believing nothing: sizes before bytes, digests before names.

The layout may come from anywhere. A blob counts only once its size and SHA-256 are what its descriptor says;
a path is used only when it stays inside the folder; links, devices and anything above the limits are refused
before anything is written; the folder appears only after the last file was checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from .. import atomic
from ..errors import PackageError, UnsafePath
from . import layout as oci
from . import signature
from .blobs import Limits, copy_blob, open_blob, parse_document, read_blob, read_file
from .keys import PublicKey
from .layout import Descriptor
from .staged import staged_folder

_MOST_SIGNATURES = 64


@dataclass(frozen=True)
class Package:
    """A package's own account of itself.

    Parameters
    ----------
    digest
        ``sha256:<hex>`` of the manifest.
    name
        What it was packed as.
    config
        ``name``, ``signature``, ``backend``, ``manifest``, ``lineage``, ``environment`` and
        ``environment_digest`` in JSON form.
    files
        Its files; `title` is the path.
    sbom
        Its CycloneDX bill of materials; packages of version 0.1.0 have none.
    """

    digest: str
    name: str
    config: Mapping[str, Any]
    files: tuple[Descriptor, ...]
    sbom: Descriptor | None = None


def inspect(layout: Path, *, limits: Limits | None = None) -> Package:
    """Return what a package says of itself, with the digests of its manifest and config checked.

    Raises
    ------
    CorruptArtifact
        If a blob is missing, truncated or changed; names the blob.
    UnsafePath
        If a path leaves the package's folder, or a blob is not a plain file.
    PackageError
        If the folder is no package of ours, or above the limits.
    """
    bounds = limits or Limits()
    root = root_of(layout, bounds)
    head, layers = parts_of(read_blob(layout, root, bounds), str(layout), bounds)
    config = parse_document(read_blob(layout, head, bounds), where="config")
    files = tuple(layer for layer in layers if layer.media_type == oci.FILE)
    sbom = next((layer for layer in layers if layer.media_type == oci.SBOM), None)
    return Package(root.digest, str(config.get("name", "")), config, files, sbom)


def parts_of(data: bytes, where: str, limits: Limits) -> tuple[Descriptor, tuple[Descriptor, ...]]:
    """Return the config and the layers that a package's manifest names, checked against the limits.

    Raises
    ------
    UnsafePath, PackageError
        As :func:`inspect`.
    """
    manifest = parse_document(data, where="manifest")
    head = Descriptor.of(manifest.get("config"), oci.CONFIG, where="manifest, config")
    layers = manifest.get("layers")
    if not isinstance(layers, list):
        raise PackageError("the manifest has no list of layers", where=where)
    found = tuple(
        Descriptor.of(item, oci.FILE, oci.SBOM, where=f"manifest, layer {at}")
        for at, item in enumerate(layers)
    )
    _check_files(where, tuple(layer for layer in found if layer.media_type == oci.FILE), limits)
    return head, found


def signatures(layout: Path, *, limits: Limits | None = None) -> list[bytes]:
    """Return the envelopes of every signature of a layout's package; whose they are is another question.

    Raises
    ------
    CorruptArtifact, PackageError
        As :func:`inspect`.
    """
    bounds = limits or Limits()
    package = root_of(layout, bounds).digest
    found = []
    for signed in signature_manifests(layout, bounds):
        statement = statement_of(read_blob(layout, signed, bounds), package)
        found.append(read_blob(layout, statement, bounds))
    return found


def signature_manifests(layout: Path, limits: Limits) -> list[Descriptor]:
    """Return the manifests of a layout's signatures."""
    entries = [one for one in _entries(layout, limits) if one.get("artifactType") == oci.ENVELOPE]
    return [
        Descriptor.of(one, oci.MANIFEST, where="index.json, signature") for one in entries[:_MOST_SIGNATURES]
    ]


def statement_of(data: bytes, package: str) -> Descriptor:
    """Return the envelope's blob that a signature's manifest names, if it is about this package."""
    manifest = parse_document(data, where="signature")
    subject = Descriptor.of(manifest.get("subject"), oci.MANIFEST, where="signature, subject")
    layers = manifest.get("layers")
    if subject.digest != package or not isinstance(layers, list) or len(layers) != 1:
        raise PackageError("the signature is of another package, or has not one layer", where=package)
    return Descriptor.of(layers[0], oci.ENVELOPE, where="signature, layer")


def unpack(
    layout: Path, out: Path, *, limits: Limits | None = None, trusted: Sequence[PublicKey] = ()
) -> Package:
    """Check a package and write its files to `out`.

    Parameters
    ----------
    layout
        Folder of the OCI image layout.
    out
        Must not exist, or be an empty folder. Appears whole or not at all.
    limits
        Refuse packages above these; generous by default.
    trusted
        Refuse packages that none of these keys signed; without any, a signature is not looked for.

    Raises
    ------
    CorruptArtifact, UnsafePath, PackageError
        As :func:`inspect`, for every blob.
    UntrustedPackage
        If none of the keys signed it; nothing of it was written then.
    StorageFull
        If the device is full; nothing is left behind.
    """
    bounds = limits or Limits()
    package = inspect(layout, limits=bounds)
    if package.sbom is not None:
        read_blob(layout, package.sbom, bounds)
    if trusted:
        signature.verify(package.digest, signatures(layout, limits=bounds), trusted)
    with staged_folder(out) as folder:
        for file in package.files:
            target = atomic.inside(folder, file.title)
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_blob(layout, file) as reader, target.open("xb") as writer:
                copy_blob(reader, writer, file)
    return package


def root_of(layout: Path, limits: Limits) -> Descriptor:
    """Return the manifest of a layout's one package."""
    marker = parse_document(read_file(layout / "oci-layout", limits), where="oci-layout")
    if marker.get("imageLayoutVersion") != oci.LAYOUT_VERSION:
        raise PackageError(f"layout version {marker.get('imageLayoutVersion')!r}", where=str(layout))
    packages = [one for one in _entries(layout, limits) if one.get("artifactType") != oci.ENVELOPE]
    if len(packages) != 1:
        raise PackageError("the index must name exactly one package", where=str(layout / "index.json"))
    return Descriptor.of(packages[0], oci.MANIFEST, where="index.json")


def _entries(layout: Path, limits: Limits) -> list[Mapping[str, Any]]:
    index = parse_document(read_file(layout / "index.json", limits), where="index.json")
    entries = index.get("manifests")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PackageError("the index has no list of manifests", where=str(layout / "index.json"))
    return entries


def _check_files(where: str, files: tuple[Descriptor, ...], limits: Limits) -> None:
    total = sum(file.size_bytes for file in files)
    if len(files) > limits.files or total > limits.total_bytes:
        raise PackageError(
            f"{len(files):,} files of {total:,} bytes",
            where=where,
            fix=f"at most {limits.files:,} files of {limits.total_bytes:,} bytes are unpacked",
        )
    seen: set[PurePosixPath] = set()
    for file in files:
        path = PurePosixPath(file.title)
        if not _is_plain(path, file.title):
            raise UnsafePath(f"{file.title!r} is not a plain relative path", where=where)
        if path in seen:
            raise PackageError(f"{file.title!r} is there twice", where=where)
        seen.add(path)
    for path in seen:
        if not seen.isdisjoint(path.parents):
            raise PackageError(f"{path} lies below another file", where=where)


def _is_plain(path: PurePosixPath, title: str) -> bool:
    """Whether a title is the one way to write a path below the folder, in characters a file name may have."""
    normal = path.as_posix() == title and bool(path.parts) and not path.is_absolute()
    return normal and ".." not in path.parts and title.isprintable()
