"""Whether this replica should be left: by its own signal, or because the route says so.

The route's state file is text: ``draining`` asks clients to go elsewhere, anything else (or no file) means
serving. It is looked at on every answer (one ``stat``), so that no controller has to be alive to drain.
"""

from __future__ import annotations

from pathlib import Path

DRAINING = b"draining"


class Drain:
    """The drain state of one replica.

    Parameters
    ----------
    state_file
        The route's word for this replica; ``None`` when there is no route.
    """

    def __init__(self, state_file: Path | None = None) -> None:
        self._file = state_file
        self._seen: tuple[int, int, int] | None = None
        self._told = False
        self._stopping = False

    def begin(self) -> None:
        """Start to drain for good: the process was asked to stop."""
        self._stopping = True

    @property
    def active(self) -> bool:
        """Whether every answer should tell its client to connect anew."""
        return self._stopping or self._told_by_route()

    def _told_by_route(self) -> bool:
        if self._file is None:
            return False
        try:
            stat = self._file.stat()
            mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if mark != self._seen:
                self._told = self._file.read_bytes().strip() == DRAINING
                self._seen = mark
        except FileNotFoundError:
            self._seen, self._told = None, False
        except OSError:
            pass  # no word that can be read: what was last known holds, and the answer goes out
        return self._told
