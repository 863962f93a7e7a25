"""Writes that are all or nothing: temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import NotWritable, StorageFull, UnsafePath

_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Raises
    ------
    StorageFull, NotWritable
        If the device is full, or the folder is not ours to write; the old file is untouched.
    """
    with disk_guard(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with disk_guard(path), os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def disk_guard(where: Path) -> Iterator[None]:
    """Turn a full disk into :class:`StorageFull`, and what may not be written, or read, into :class:`NotWritable`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                "no space left on the device; nothing was changed",
                where=str(where),
                fix="free some space (%mlops gc removes what nothing refers to) and run it again",
            ) from error
        if error.errno in _NOT_WRITABLE:
            raise NotWritable(
                f"it cannot be {_refused(error)}: {os.strerror(error.errno)}; nothing was changed",
                where=str(error.filename or where),
                fix="mend who may do that there (ls -ld), or choose another place",
            ) from error
        raise


def _refused(error: OSError) -> str:
    """Return what was not allowed: a file that is there and that we may not read was to be read."""
    name = error.filename
    if not isinstance(name, str | bytes) or not os.access(name, os.F_OK, effective_ids=True):
        return "written"
    return "written" if os.access(name, os.R_OK, effective_ids=True) else "read"


def inside(folder: Path, relative: str) -> Path:
    """Return ``folder/relative``, refusing a path that leaves the folder.

    Raises
    ------
    UnsafePath
        If `relative` is absolute, has ``..`` or a NUL, or passes through a link that leaves `folder`.
    """
    parts = Path(relative).parts
    if not parts or Path(relative).is_absolute() or ".." in parts or "\0" in relative:
        raise UnsafePath(f"{relative!r} leaves its folder", where=str(folder))
    target = folder / relative
    if not target.resolve().is_relative_to(folder.resolve()):
        raise UnsafePath(f"{relative!r} leaves its folder", where=str(folder))
    return target
