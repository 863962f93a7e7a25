"""A folder that appears whole or not at all: filled under another name beside its place, then renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .. import atomic
from ..errors import PackageError


@contextlib.contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Give a private folder to fill; on success it becomes `out`, on any error it is removed.

    Raises
    ------
    PackageError
        If `out` exists and is not an empty folder.
    StorageFull
        If the device is full; nothing is left behind.
    """
    if os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir())):
        raise PackageError("the target exists already", where=str(out), fix="choose a new or empty folder")
    with atomic.disk_guard(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        try:
            yield folder
            folder.chmod(0o755)
            for path, _, _ in os.walk(folder):
                atomic.sync_folder(Path(path))
            folder.rename(out)  # onto an empty folder this is atomic too
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    atomic.sync_folder(out.parent)
