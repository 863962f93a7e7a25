"""Blobs and documents of a layout, believed only once their sizes and digests are what was promised."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CorruptArtifact, PackageError, UnsafePath
from . import layout as oci
from .layout import Descriptor

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


def read_blob(layout: Path, descriptor: Descriptor, limits: Limits) -> bytes:
    """Return a small blob whole.

    Raises
    ------
    CorruptArtifact, PackageError
        If it is not what its descriptor says, or too large for a document.
    """
    if descriptor.size_bytes > limits.document_bytes:
        raise PackageError(
            f"a document of {descriptor.size_bytes:,} bytes",
            where=descriptor.digest,
            fix=f"at most {limits.document_bytes:,} bytes are read",
        )
    with open_blob(layout, descriptor) as reader:
        data = reader.read(descriptor.size_bytes)
    if "sha256:" + hashlib.sha256(data).hexdigest() != descriptor.digest:
        raise corrupt("its bytes do not match its digest", descriptor)
    return data


def copy_blob(reader: BinaryIO, writer: BinaryIO, descriptor: Descriptor) -> None:
    """Copy an open blob, checking it on the way, and make the copy durable."""
    digest, left = hashlib.sha256(), descriptor.size_bytes
    while chunk := reader.read(min(left, _CHUNK_BYTES)):
        digest.update(chunk)
        writer.write(chunk)
        left -= len(chunk)
    if left or "sha256:" + digest.hexdigest() != descriptor.digest:
        raise corrupt("its bytes do not match its digest", descriptor)
    writer.flush()
    os.fsync(writer.fileno())


def open_blob(layout: Path, descriptor: Descriptor) -> BinaryIO:
    """Open a blob of the right size; its digest is still to be checked."""
    try:
        reader = _open_plain(oci.blob_path(layout, descriptor.digest))
    except FileNotFoundError as error:
        raise corrupt("it is missing", descriptor) from error
    size = os.fstat(reader.fileno()).st_size
    if size != descriptor.size_bytes:
        reader.close()
        raise corrupt(f"it has {size:,} bytes, not {descriptor.size_bytes:,}", descriptor)
    return reader


def read_file(path: Path, limits: Limits) -> bytes:
    """Return one of the layout's own two files."""
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


def parse_document(data: bytes, *, where: str) -> dict[str, Any]:
    """Return a JSON object, or raise :class:`PackageError`."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"the {where} is not JSON", where=where) from error
    if not isinstance(document, dict):
        raise PackageError(f"the {where} is not a JSON object", where=where)
    return document


def corrupt(what: str, descriptor: Descriptor) -> CorruptArtifact:
    """Return the error for a blob that is not what its descriptor says."""
    name = f" ({descriptor.title})" if descriptor.title else ""
    return CorruptArtifact(
        f"the blob {descriptor.digest}{name} is damaged: {what}",
        where=descriptor.digest,
        fix="pack or pull it again",
        digest=descriptor.digest,
    )
