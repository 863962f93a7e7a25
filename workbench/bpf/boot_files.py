"""Whose files a boot service would run: they must be root's alone."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

from ..errors import NoPrivilege


def refuse_files_of_others(package: Path, service: str) -> None:
    """Raise if somebody but root can write the files a unit runs as root at every boot.

    All of the package, because the process imports more than its own folder, and the folders the interpreter is
    reached by, because who can write one puts another file in its place.

    Parameters
    ----------
    package
        The folder that is imported, resolved.
    service
        As in ``mlops SERVICE start``.

    Raises
    ------
    NoPrivilege
        Naming the first such file, or one that cannot be looked at, as a link that leads nowhere.
    """
    python = Path(sys.executable)
    folders = {*package.parents, *python.absolute().parents, *python.resolve().parents}
    for path in (python, package, *package.rglob("*"), *sorted(folders)):
        try:
            found = path.stat()
        except OSError as error:  # whoever makes the missing end decides what runs
            raise NoPrivilege(
                f"{path} cannot be looked at: {error.strerror}, and would be read as root at every boot",
                where=service,
                fix=f"remove it or install the workbench anew, or: mlops {service} start",
            ) from error
        writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
        if found.st_uid != 0 or writable:
            raise NoPrivilege(
                f"{path} can be changed by users other than root, and would run as root at every boot",
                where=service,
                fix=f"install the workbench into an environment that root owns, or: mlops {service} start",
            )
