"""One SQLite file in WAL mode: readers never wait for writers, a killed writer leaves nothing half done.

A :class:`Database` holds one connection a process behind a lock, so its threads take turns; other processes
meet it in SQLite's own write lock, for which every transaction waits up to 30 s.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import NotWritable, StorageFull, StoreError
from . import reserve
from .schema import SCHEMA, UPGRADES, VERSION

_BUSY_S = 30.0


class Database:
    """The store's tables.

    Parameters
    ----------
    path
        The database file; it is made, with its tables, when absent.

    Raises
    ------
    StoreError
        If the file is no database, or a newer workbench wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._pid = 0
        self._handle: sqlite3.Connection | None = None
        self.reserve = path.with_name("reserve")
        with self._errors():
            try:
                self._open()
            except sqlite3.OperationalError:
                if not reserve.give_up(self.reserve):
                    raise
                self._open()  # on a full disk, once, in the space that was kept for this
            else:
                reserve.keep(self.reserve)

    def query(self, sql: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """Return the rows of a read."""
        with self._lock, self._errors():
            return self._connection().execute(sql, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose statements all happen, or none of them.

        A transaction inside another of the same thread is part of that one.

        Raises
        ------
        StorageFull
            If the device is full; nothing was changed.
        """
        with self._lock, self._errors():
            connection = self._connection()
            within = connection.in_transaction
            if within:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                _undo(connection)
                raise

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        with self._lock:
            if self._handle is not None and self._pid == os.getpid():
                self._handle.close()
            self._handle = None

    def _connection(self) -> sqlite3.Connection:
        if self._handle is None or self._pid != os.getpid():  # a connection must not cross a fork
            self._handle = sqlite3.connect(
                self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._handle.row_factory = sqlite3.Row
            self._handle.execute("PRAGMA synchronous=NORMAL")  # WAL: kill -9 safe, no fsync a commit
            self._pid = os.getpid()
        return self._handle

    def _open(self) -> None:
        if self._connection().execute("PRAGMA user_version").fetchone()[0] != VERSION:
            self._initialise()

    def _initialise(self) -> None:
        # Changing to WAL answers "busy" at once instead of waiting, so first openers take turns here.
        with exclusive(self.path.with_suffix(".lock")):
            connection = self._connection()
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise StoreError(
                    f"the store has version {version}, this workbench reads {VERSION}",
                    where=str(self.path),
                    fix="upgrade the workbench",
                )
            if version == 0:
                connection.execute("PRAGMA journal_mode=WAL")
            steps = [SCHEMA] * (version == 0) + [UPGRADES[old] for old in range(max(version, 1), VERSION)]
            connection.executescript(f"BEGIN; {' '.join(steps)} PRAGMA user_version={VERSION}; COMMIT;")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
                raise NotWritable(
                    f"the store's database cannot be opened for writing ({error})",
                    where=str(self.path),
                    fix="set MLOPS_HOME to a folder of yours, or mend who may write there (ls -l)",
                ) from error
            if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
                raise StorageFull(
                    f"the store's database cannot be written ({error}); nothing was changed",
                    where=str(self.path),
                    fix="free some space (%mlops gc removes what nothing refers to) and run it again",
                ) from error
            raise StoreError(f"the store's database says: {error}", where=str(self.path)) from error
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"the store's database cannot be read: {error}",
                where=str(self.path),
                fix="restore the file from a backup, or move it away: artifacts/ holds every artifact",
            ) from error


def _undo(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # SQLite has already rolled back after a full disk
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file alone; the kernel frees it when the holder dies."""
    with _locked(path, fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold a lock file together with other sharers."""
    with _locked(path, fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)
