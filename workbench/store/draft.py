"""What becomes an artifact: a folder of regular files and what the manifest will say of them."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, UnsafePath
from ..types import Signature

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ArtifactDraft:
    """What becomes an artifact: a folder of files and everything the manifest says of them.

    Parameters
    ----------
    kind
        ``program | variant | compiled | package | trace | data``.
    files
        The folder whose regular files (at any depth) are taken; it is left as it is.
    signature, parents, step, code, environment, data, metrics
        As in :class:`~workbench.types.Manifest`.
    """

    kind: str
    files: Path
    signature: Signature | None = None
    parents: tuple[str, ...] = ()
    step: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    environment: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


def regular_files(folder: Path) -> list[Path]:
    """Return the files of a folder at any depth, sorted by path.

    Raises
    ------
    UnsafePath
        If it holds a link or something that is no regular file.
    InputError
        If it is no folder, or holds a file of the manifest's name.
    """
    if not folder.is_dir():
        raise InputError("a draft needs a folder of files", where=str(folder))
    found = []
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
        mode = path.lstat().st_mode
        if not stat.S_ISDIR(mode):
            if not stat.S_ISREG(mode):
                raise UnsafePath(f"{path.name} is not a regular file", where=str(path))
            found.append(path)
    if folder / MANIFEST in found:
        raise InputError(f"a draft may not hold a {MANIFEST}", where=str(folder))
    return found
