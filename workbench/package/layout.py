"""The words of the format: media types, descriptors, and where a blob lies (OCI image spec 1.1).

https://github.com/opencontainers/image-spec: image-layout.md, manifest.md (artifacts), descriptor.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import PackageError

LAYOUT_VERSION = "1.0.0"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ARTIFACT = "application/vnd.mlops-workbench.model.v1"
CONFIG = "application/vnd.mlops-workbench.model.config.v1+json"
FILE = "application/vnd.mlops-workbench.model.file.v1"
SBOM = "application/vnd.cyclonedx+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"

TITLE = "org.opencontainers.image.title"
"""Annotation with a file's path, as other OCI clients that carry plain files write it."""
REF_NAME = "org.opencontainers.image.ref.name"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class PackageReport:
    """What :func:`~workbench.package.pack` made.

    Parameters
    ----------
    digest
        ``sha256:<hex>`` of the manifest: the package's identity in any registry.
    name
        What it was packed as.
    files
        Number of files.
    size_bytes
        Bytes of all blobs.
    """

    digest: str
    name: str
    files: int
    size_bytes: int


@dataclass(frozen=True)
class Descriptor:
    """A pointer to a blob: what it is, its digest and its exact size."""

    media_type: str
    digest: str
    size_bytes: int
    title: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the OCI form."""
        form = {"mediaType": self.media_type, "digest": self.digest, "size": self.size_bytes}
        return {**form, "annotations": {TITLE: self.title}} if self.title else form

    @classmethod
    def of(cls, data: object, *media_types: str, where: str) -> Descriptor:
        """Read the OCI form of a blob that must be of one of `media_types`.

        Raises
        ------
        PackageError
            If it is not a descriptor, or of something else.
        """
        if not isinstance(data, Mapping):
            raise PackageError("not a descriptor", where=where)
        found, digest, size = data.get("mediaType"), data.get("digest"), data.get("size")
        if not isinstance(found, str) or found not in media_types:
            raise PackageError(
                f"media type {found!r}", where=where, fix=f"expected {' or '.join(media_types)}"
            )
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise PackageError(f"digest {digest!r} is not sha256:<64 hex digits>", where=where)
        if type(size) is not int or size < 0:
            raise PackageError(f"size {size!r} is not a number of bytes", where=where)
        notes = data.get("annotations") or {}
        title = notes.get(TITLE, "") if isinstance(notes, Mapping) else ""
        return cls(found, digest, size, title if isinstance(title, str) else "")


EMPTY_BLOB = Descriptor(EMPTY, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", 2)
"""The two bytes ``{}``: the config of an artifact that has none."""


def blob_path(layout: Path, digest: str) -> Path:
    """Return where a layout keeps a blob."""
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return JSON whose bytes depend on the content only."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
