"""Which store this server shows, opened when it is there."""

from __future__ import annotations

import os
from pathlib import Path

from .. import config
from ..errors import UnknownRun, WorkbenchError
from ..store import Store


def home_of(root_dir: str) -> Path:
    """Return the store this server shows: ``$MLOPS_HOME``, else ``.mlops`` in the server's root folder."""
    return config.home() if os.environ.get(config.HOME_VARIABLE) else Path(root_dir).absolute() / ".mlops"


class Home:
    """A store's place.

    A store that does not exist yet is not made: looking must not leave folders behind. Safe to use from any
    thread.

    Parameters
    ----------
    path
        The store's folder.
    root
        The server's root folder: notebooks are named relative to it.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path = path
        self.root = root
        self._store: Store | None = None

    def store(self) -> Store | None:
        """Return the store, None while there is none."""
        if self._store is None and (self.path / "workbench.db").exists():
            self._store = Store(self.path)
        return self._store

    def require(self, what: str, error: type[WorkbenchError] = UnknownRun) -> Store:
        """Return the store.

        Raises
        ------
        WorkbenchError
            Of class `error`, if there is no store yet.
        """
        store = self.store()
        if store is None:
            raise error(f"{what}: there is no store yet", where=str(self.path))
        return store

    def notebook(self, origin: str) -> str:
        """Return the notebook a run came from as JupyterLab names it: relative to the server's root."""
        if self.root is not None and Path(origin).is_absolute() and Path(origin).is_relative_to(self.root):
            return Path(origin).relative_to(self.root).as_posix()
        return origin
