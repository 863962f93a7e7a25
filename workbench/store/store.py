"""The store: one folder beside the notebook that holds everything the workbench knows."""

from __future__ import annotations

import contextlib
import os
import secrets
from contextlib import AbstractContextManager
from pathlib import Path

from .. import config
from ..atomic import disk_guard
from ..errors import NotWritable
from . import owner
from .artifacts import Artifacts
from .blobs import remove_tree
from .database import Database
from .deployments import Deployments
from .events import Events
from .gc import GcReport, collect
from .lineage import Direction, LineageGraph, children, lineage
from .measurements import Measurements
from .names import Names
from .origins import Environments, Origins
from .results import Results
from .runs import Runs
from .sweeps import Sweeps

GRACE_S = 600.0
"""How long gc spares an artifact that nothing refers to yet."""


class Store:
    """Artifacts, names, runs, events, measurements and deployments of one home folder.

    Any number of processes and threads may use the same home at once; threads may share a store object.

    Parameters
    ----------
    home
        The folder; by default ``$MLOPS_HOME`` or ``.mlops`` in the working directory. Made when absent.

    Examples
    --------
    >>> import tempfile
    >>> from workbench.store import ArtifactDraft
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> files = store.scratch()
    >>> _ = (files / "x.txt").write_text("hello")
    >>> digest = store.artifacts.put(ArtifactDraft("data", files))
    >>> store.names.set("greeting", digest)
    >>> store.names.resolve("greeting") == digest
    True
    """

    def __init__(self, home: Path | None = None) -> None:
        self.home = (home or config.home()).absolute()
        try:
            with disk_guard(self.home):
                for folder in (self.home / "scratch", self.home / "logs"):
                    folder.mkdir(parents=True, exist_ok=True)
        except (NotWritable, FileNotFoundError, FileExistsError) as error:
            raise NotWritable(
                "the store's folder cannot be made or written",
                where=str(self.home),
                fix="set MLOPS_HOME to a folder of yours, or mend who may write there (ls -ld)",
            ) from error
        self.database = Database(self.home / "workbench.db")
        self.artifacts = Artifacts(self.home, self.database, self.scratch)
        self.names = Names(self.database)
        self.runs = Runs(self.database)
        self.events = Events(self.database)
        self.results = Results(self.database)
        self.measurements = Measurements(self.database)
        self.deployments = Deployments(self.database)
        self.origins = Origins(self.database)
        self.environments = Environments(self.database)
        self.sweeps = Sweeps(self.database)

    def together(self) -> AbstractContextManager[object]:
        """Write all that is recorded inside at once: others see everything or nothing of it, at one commit's cost."""
        return self.database.transaction()

    def scratch(self) -> Path:
        """Return a new private folder on the store's file system; gc removes it when this process is gone."""
        path = self.home / "scratch" / f"{owner.current()}:{secrets.token_hex(6)}"
        with disk_guard(self.home):
            path.mkdir(mode=0o700)
        return path

    def adopt(self, label: str) -> Path:
        """Return the scratch folder of this label: the one a dead process left, else a new one.

        Parameters
        ----------
        label
            Letters and digits. Two living processes never share a folder.
        """
        scratch = self.home / "scratch"
        mine = scratch / f"{owner.current()}:{label}"
        if mine.is_dir():
            return mine
        for path in sorted(scratch.glob(f"*:{label}")):
            if not owner.alive(path.name.rpartition(":")[0]):
                with contextlib.suppress(OSError):  # another process was first
                    return path.rename(mine)
        with disk_guard(self.home):
            mine.mkdir(mode=0o700)
        return mine

    def lineage(self, digest: str, direction: Direction = "upstream") -> LineageGraph:
        """Return where an artifact came from, or (``downstream``) what was made from it.

        Raises
        ------
        UnknownArtifact
            If there is no such artifact.
        """
        self.artifacts.manifest(digest)
        return lineage(self.database, digest, direction)

    def children(self, digest: str, kind: str) -> list[str]:
        """Return the artifacts of a kind made directly from an artifact, newest first."""
        return children(self.database, digest, kind)

    def key(self) -> bytes:
        """Return the store's own 32-byte secret, readable by its owner only; made at the first use."""
        path = self.home / "key"
        with disk_guard(path):
            if not path.exists():
                fresh = self.scratch() / "key"
                handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(secrets.token_bytes(32))
                    file.flush()
                    os.fsync(file.fileno())
                with contextlib.suppress(FileExistsError):  # another process was first: its key is the key
                    os.link(fresh, path)
                remove_tree(fresh.parent)
        return path.read_bytes()

    def gc(self, grace_s: float = GRACE_S) -> GcReport:
        """Remove what no name, run, lineage or deployment refers to; see :mod:`workbench.store.gc`.

        Parameters
        ----------
        grace_s
            Unreferenced artifacts younger than this many seconds are spared.
        """
        return collect(self.home, self.database, self.artifacts, grace_s)

    def close(self) -> None:
        """Close the database connection; using the store again opens a new one."""
        self.database.close()
