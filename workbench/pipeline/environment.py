"""Which code made an artifact, and which packages it ran on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from .. import __version__
from ..package.environment import lock

_SOURCE = {".py", ".c", ".h", ".S"}
_PACKAGE = Path(__file__).resolve().parents[1]


def lock_digest() -> str:
    """Return the digest of the installed packages; read anew where a folder of packages has changed."""
    return lock().digest


def code_digest(parts: Iterable[str]) -> str:
    """Return the digest of the source that decides a step's result.

    Parameters
    ----------
    parts
        Folders or files inside the package (``"quantize"``, ``"pipeline/steps/quantize.py"``). The modules
        they all stand on, those at the top of the package, are always counted.
    """
    digest = hashlib.sha256()
    for path in _sources(parts):
        digest.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def code_version(parts: Iterable[str]) -> str:
    """Return the package's version, the git commit it lies in if any, and the digest of the parts' source."""
    commit = _commit(_PACKAGE.parent)
    return "+".join([__version__, *([commit[:12]] if commit else []), code_digest(parts)[:12]])


def _sources(parts: Iterable[str]) -> list[Path]:
    files = set(_PACKAGE.glob("*.py"))
    for part in parts:
        path = _PACKAGE / part
        files.update(p for p in path.rglob("*") if p.suffix in _SOURCE) if path.is_dir() else files.add(path)
    return sorted(files)


def _commit(root: Path) -> str:
    """Return the commit checked out at `root`, empty when there is none; reads files, starts no process."""
    head = root / ".git" / "HEAD"
    if not head.is_file():
        return ""
    text = head.read_text().strip()
    if not text.startswith("ref: "):
        return text
    reference = root / ".git" / os.fspath(text[5:])
    return reference.read_text().strip() if reference.is_file() else ""
