"""Where the workbench keeps its things, and the few knobs the environment may set."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from .errors import UnsafePath

HOME_VARIABLE = "MLOPS_HOME"


def home() -> Path:
    """Return the store's folder: ``$MLOPS_HOME``, else ``.mlops`` in the working directory.

    A notebook's kernel runs in the notebook's folder, so the store lies beside the notebook.
    """
    return Path(os.environ.get(HOME_VARIABLE) or ".mlops").absolute()


def cache(part: str) -> Path:
    """Return the folder of what can be made again, such as compiled kernels; only this user can write there.

    It is ``$XDG_CACHE_HOME/mlops-workbench/<part>``, else below ``~/.cache``; where that cannot be written, a folder
    for this user in the system's place for temporary files.

    Raises
    ------
    UnsafePath
        If the folder belongs to somebody else or others may write to it.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (base / "mlops-workbench", Path(tempfile.gettempdir()) / f"mlops-workbench-{os.getuid()}"):
        try:
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder / part, os.W_OK):
            return _own(folder / part)
    raise UnsafePath(f"no folder for {part} can be written", where=str(base), fix="set XDG_CACHE_HOME")


def _own(folder: Path) -> Path:
    """Return the folder if nobody else could have put anything there: code is loaded from it."""
    facts = folder.stat()
    if facts.st_uid != os.getuid() or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafePath(
            "others can write to the cache",
            where=str(folder),
            fix=f"chmod go-w {folder}, or set XDG_CACHE_HOME",
        )
    return folder
