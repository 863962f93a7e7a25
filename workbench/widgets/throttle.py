"""Call something at most so often, and never lose the last call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Throttle:
    """Calls `action` at most once every `period_s`; a call inside the period is made at its end.

    Safe to call from any thread. `action` is never run twice at once.

    Parameters
    ----------
    action
        What to do; takes nothing and shows the state of that moment.
    period_s
        Seconds between two calls.
    """

    def __init__(self, action: Callable[[], None], period_s: float) -> None:
        self._action = action
        self._period_s = period_s
        self._lock = threading.Lock()
        self._last_s = float("-inf")
        self._timer: threading.Timer | None = None

    def __call__(self) -> None:
        """Act now, or at the end of the period."""
        with self._lock:
            wait_s = self._last_s + self._period_s - time.monotonic()
            if wait_s <= 0:
                self._act()
            elif self._timer is None:
                self._timer = threading.Timer(wait_s, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Act now, whatever the period."""
        with self._lock:
            self._act()

    def _act(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._last_s = time.monotonic()
        self._action()
