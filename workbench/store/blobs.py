"""File contents by digest: each lies once in ``blobs/<hex>``, hard-linked into every artifact that has it."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from ..atomic import disk_guard

_CHUNK_BYTES = 1 << 20


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's bytes as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def take_in(source: Path, blobs: Path, scratch: Path) -> str:
    """Make a file's content a blob and return its hex digest.

    The content is copied (never linked: the caller may still write to its file) while it is hashed, synced unless
    it is there already, and then renamed to its digest. A blob of that digest whose bytes went bad is replaced.
    """
    temporary = scratch / "incoming"
    with disk_guard(blobs):
        digest = _copy(source, temporary)
        target = blobs / digest
        if target.exists() and hash_file(target) == digest:  # whoever wrote it has synced it
            temporary.unlink()
        else:
            _sync(temporary)
            temporary.replace(target)
    return digest


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(_CHUNK_BYTES):
            digest.update(chunk)
            writing.write(chunk)
        writing.flush()
        os.fchmod(writing.fileno(), 0o444)
    return digest.hexdigest()


def remove_tree(path: Path) -> None:
    """Remove a folder; another process removing the same one is no error."""
    shutil.rmtree(path, ignore_errors=True)
