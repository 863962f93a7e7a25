"""An image's layer: one uncompressed tar whose bytes depend on the files only.

Members are sorted; times, owners and inodes are left out; modes are 0644, or 0755 for what can be run. Uncompressed,
a layer's digest is also its diff id, and nothing is spent on compressing weights that do not shrink.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..atomic import disk_guard
from .blobs import corrupt, open_blob
from .layout import Descriptor

LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Member:
    """One file of a layer.

    Parameters
    ----------
    path
        Where it goes, relative to the image's root.
    source
        The file it is a copy of, or its bytes.
    link
        Instead: where a symbolic link points.
    executable
        Whether it can be run.
    """

    path: PurePosixPath
    source: Path | bytes = b""
    link: str = ""
    executable: bool = False


class _Digesting(io.RawIOBase):
    """A file that hashes what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest, self.size = hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)


def write_layer(path: Path, members: Iterable[Member]) -> Descriptor:
    """Write a layer and return what it is.

    Parameters
    ----------
    path
        The file to write.
    members
        In any order; of two at one path the first counts.

    Raises
    ------
    StorageFull
        If the device is full.
    """
    chosen: dict[PurePosixPath, Member] = {}
    for member in members:
        chosen.setdefault(member.path, member)
    with disk_guard(path), path.open("wb") as file:
        out = _Digesting(file)
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
            made: set[PurePosixPath] = set()
            for target in sorted(chosen):
                for parent in reversed(target.parents[:-1]):
                    if parent not in made and parent not in chosen:
                        made.add(parent)
                        tar.addfile(_entry(parent, tarfile.DIRTYPE, 0o755))
                _add(tar, chosen[target])
    return Descriptor(LAYER, f"sha256:{out.digest.hexdigest()}", out.size)


def digest_of(layout: Path, descriptor: Descriptor) -> None:
    """Read a blob whole and compare it with its digest.

    Raises
    ------
    CorruptArtifact
        If it is not what its descriptor says.
    """
    with open_blob(layout, descriptor) as reader:
        found = hashlib.file_digest(reader, "sha256").hexdigest()  # type: ignore[arg-type]
        if f"sha256:{found}" != descriptor.digest:
            raise corrupt("its bytes do not match its digest", descriptor)


def _add(tar: tarfile.TarFile, member: Member) -> None:
    if member.link:
        entry = _entry(member.path, tarfile.SYMTYPE, 0o777)
        entry.linkname = member.link
        tar.addfile(entry)
        return
    entry = _entry(member.path, tarfile.REGTYPE, 0o755 if member.executable else 0o644)
    if isinstance(member.source, bytes):
        entry.size = len(member.source)
        tar.addfile(entry, io.BytesIO(member.source))
        return
    with member.source.open("rb") as reader:
        entry.size = reader.seek(0, io.SEEK_END)
        reader.seek(0)
        tar.addfile(entry, reader)


def _entry(path: PurePosixPath, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(str(path))
    entry.type, entry.mode = kind, mode
    return entry
