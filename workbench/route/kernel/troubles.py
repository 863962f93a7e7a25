"""What goes wrong many times a second, told once a second."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

_EVERY_S = 1.0


class Troubles:
    """Writes lines to a log: the first at once, then the latest each second, with how many there were.

    Examples
    --------
    >>> troubles = Troubles(sys.stdout)
    >>> troubles.tell("no port")
    no port
    >>> troubles.tell("no port"), troubles.tell("no replica"), troubles.close()
    no replica (2 times since)
    (None, None, None)
    """

    def __init__(self, log: TextIO = sys.stderr) -> None:
        self._log, self._lock = log, threading.Lock()
        self._told_s, self._count, self._last = float("-inf"), 0, ""

    def tell(self, what: str) -> None:
        """Write one down now, or with those that come in the second after the last."""
        with self._lock:
            self._count, self._last = self._count + 1, what
            if time.monotonic() - self._told_s >= _EVERY_S:
                self._write()

    def close(self) -> None:
        """Write what is left."""
        with self._lock:
            if self._count:
                self._write()

    def _write(self) -> None:
        many = f" ({self._count} times since)" if self._count > 1 else ""
        print(f"{self._last}{many}", file=self._log, flush=True)
        self._told_s, self._count = time.monotonic(), 0
