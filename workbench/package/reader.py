"""OCI image layout -> compiled folder, believing nothing: sizes before bytes, digests before names.

The layout may come from anywhere. A blob counts only once its size and SHA-256 are what its descriptor says;
a path is used only when it stays inside the folder; links, devices and anything above the limits are refused
before anything is written; the folder appears only after the last file was checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from .. import atomic
from ..errors import CorruptArtifact, PackageError, UnsafePath
from . import layout as oci
from .layout import Descriptor
from .staged import staged_folder

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a package may cost before it is refused.

    Parameters
    ----------
    total_bytes
        All files together.
    files
        How many files.
    document_bytes
        The index, the manifest and the config, each.
    """

    total_bytes: int = 64 << 30
    files: int = 10_000
    document_bytes: int = 16 << 20


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
    """

    digest: str
    name: str
    config: Mapping[str, Any]
    files: tuple[Descriptor, ...]


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
    root = _root(layout, bounds)
    manifest = _document(_blob_bytes(layout, root, bounds), where="manifest")
    head = Descriptor.of(manifest.get("config"), oci.CONFIG, where="manifest, config")
    layers = manifest.get("layers")
    if not isinstance(layers, list):
        raise PackageError("the manifest has no list of layers", where=str(layout))
    files = tuple(
        Descriptor.of(item, oci.FILE, where=f"manifest, layer {at}") for at, item in enumerate(layers)
    )
    _check_files(layout, files, bounds)
    config = _document(_blob_bytes(layout, head, bounds), where="config")
    return Package(root.digest, str(config.get("name", "")), config, files)


def unpack(layout: Path, out: Path, *, limits: Limits | None = None) -> Package:
    """Check a package and write its files to `out`.

    Parameters
    ----------
    layout
        Folder of the OCI image layout.
    out
        Must not exist, or be an empty folder. Appears whole or not at all.
    limits
        Refuse packages above these; generous by default.

    Raises
    ------
    CorruptArtifact, UnsafePath, PackageError
        As :func:`inspect`, for every blob.
    StorageFull
        If the device is full; nothing is left behind.
    """
    package = inspect(layout, limits=limits)
    with staged_folder(out) as folder:
        for file in package.files:
            target = atomic.inside(folder, file.title)
            target.parent.mkdir(parents=True, exist_ok=True)
            with _open_blob(layout, file) as reader, target.open("xb") as writer:
                _copy(reader, writer, file)
    return package


def _root(layout: Path, limits: Limits) -> Descriptor:
    marker = _document(_file_bytes(layout / "oci-layout", limits), where="oci-layout")
    if marker.get("imageLayoutVersion") != oci.LAYOUT_VERSION:
        raise PackageError(f"layout version {marker.get('imageLayoutVersion')!r}", where=str(layout))
    index = _document(_file_bytes(layout / "index.json", limits), where="index.json")
    entries = index.get("manifests")
    if not isinstance(entries, list) or len(entries) != 1:
        raise PackageError("the index must name exactly one manifest", where=str(layout / "index.json"))
    return Descriptor.of(entries[0], oci.MANIFEST, where="index.json")


def _check_files(layout: Path, files: tuple[Descriptor, ...], limits: Limits) -> None:
    total = sum(file.size_bytes for file in files)
    if len(files) > limits.files or total > limits.total_bytes:
        raise PackageError(
            f"{len(files):,} files of {total:,} bytes",
            where=str(layout),
            fix=f"at most {limits.files:,} files of {limits.total_bytes:,} bytes are unpacked",
        )
    seen: set[PurePosixPath] = set()
    for file in files:
        path = PurePosixPath(file.title)
        if not _is_plain(path, file.title):
            raise UnsafePath(f"{file.title!r} is not a plain relative path", where=str(layout))
        if path in seen:
            raise PackageError(f"{file.title!r} is there twice", where=str(layout))
        seen.add(path)
    for path in seen:
        if not seen.isdisjoint(path.parents):
            raise PackageError(f"{path} lies below another file", where=str(layout))


def _is_plain(path: PurePosixPath, title: str) -> bool:
    """Whether a title is the one way to write a path below the folder, in characters a file name may have."""
    normal = path.as_posix() == title and bool(path.parts) and not path.is_absolute()
    return normal and ".." not in path.parts and title.isprintable()


def _blob_bytes(layout: Path, descriptor: Descriptor, limits: Limits) -> bytes:
    if descriptor.size_bytes > limits.document_bytes:
        raise PackageError(
            f"a document of {descriptor.size_bytes:,} bytes",
            where=descriptor.digest,
            fix=f"at most {limits.document_bytes:,} bytes are read",
        )
    with _open_blob(layout, descriptor) as reader:
        data = reader.read(descriptor.size_bytes)
    if "sha256:" + hashlib.sha256(data).hexdigest() != descriptor.digest:
        raise _corrupt("its bytes do not match its digest", descriptor)
    return data


def _copy(reader: BinaryIO, writer: BinaryIO, descriptor: Descriptor) -> None:
    digest, left = hashlib.sha256(), descriptor.size_bytes
    while chunk := reader.read(min(left, _CHUNK_BYTES)):
        digest.update(chunk)
        writer.write(chunk)
        left -= len(chunk)
    if left or "sha256:" + digest.hexdigest() != descriptor.digest:
        raise _corrupt("its bytes do not match its digest", descriptor)
    writer.flush()
    os.fsync(writer.fileno())


def _open_blob(layout: Path, descriptor: Descriptor) -> BinaryIO:
    try:
        reader = _open_plain(oci.blob_path(layout, descriptor.digest))
    except FileNotFoundError as error:
        raise _corrupt("it is missing", descriptor) from error
    size = os.fstat(reader.fileno()).st_size
    if size != descriptor.size_bytes:
        reader.close()
        raise _corrupt(f"it has {size:,} bytes, not {descriptor.size_bytes:,}", descriptor)
    return reader


def _file_bytes(path: Path, limits: Limits) -> bytes:
    try:
        with _open_plain(path) as reader:
            data = reader.read(limits.document_bytes + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PackageError(
            f"no {path.name}", where=str(path.parent), fix="is it an OCI image layout?"
        ) from error
    if len(data) > limits.document_bytes:
        raise PackageError(f"{path.name} is larger than {limits.document_bytes:,} bytes", where=str(path))
    return data


def _open_plain(path: Path) -> BinaryIO:
    """Open a plain file: never through a link, and never waiting for a pipe's other end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnsafePath(f"cannot be opened as a plain file: {error.strerror}", where=str(path)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UnsafePath("not a plain file", where=str(path))
    return os.fdopen(handle, "rb")


def _document(data: bytes, *, where: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"the {where} is not JSON", where=where) from error
    if not isinstance(document, dict):
        raise PackageError(f"the {where} is not a JSON object", where=where)
    return document


def _corrupt(what: str, descriptor: Descriptor) -> CorruptArtifact:
    name = f" ({descriptor.title})" if descriptor.title else ""
    return CorruptArtifact(
        f"the blob {descriptor.digest}{name} is damaged: {what}",
        where=descriptor.digest,
        fix="pack or pull it again",
        digest=descriptor.digest,
    )
