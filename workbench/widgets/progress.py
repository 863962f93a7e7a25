"""Show a run while it goes: in a notebook under its own cell, in a terminal on one line.

A progress takes the events of a run (``progress(event)``) from any thread and shows at most five states a
second. Its last state is one static line, which is what a saved notebook keeps.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol, TextIO

from .progress_state import ProgressState, RunEvent
from .throttle import Throttle

PERIOD_S = 0.2


class Progress(Protocol):
    """What a face shows a run with."""

    def __call__(self, event: RunEvent) -> None:
        """Take one event in."""

    def open(self) -> None:
        """Take its place on the screen before the first event."""

    def close(self) -> None:
        """Show the last state now."""


class NotebookProgress:
    """One output of the cell that made it, updated in place.

    Updates go by display id, so they land under that cell whichever thread sends them and whichever cell runs
    by then.
    """

    def __init__(self, title: str) -> None:
        from IPython.display import DisplayHandle

        self.state = ProgressState(title)
        self._handle: Any = DisplayHandle()  # type: ignore[no-untyped-call]
        self._shown = False
        self._throttle = Throttle(self._show, PERIOD_S)

    def __call__(self, event: RunEvent) -> None:
        """Take one event in and show it, now or within a fifth of a second."""
        self.state.fold(event)
        if self.state.ended:
            self._throttle.flush()
        else:
            self._throttle()

    def open(self) -> None:
        """Make the output now: a background run's first event may come when another cell runs."""
        self._throttle.flush()

    def close(self) -> None:
        """Show the last state, if anything was shown."""
        if self._shown:
            self._throttle.flush()

    def _show(self) -> None:
        show = self._handle.update if self._shown else self._handle.display
        self._shown = True
        show(self.state.mimebundle(), raw=True)


class TerminalProgress:
    """One line on stderr, rewritten in place; only the last state when stderr is no terminal."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self.state = ProgressState(title)
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._throttle = Throttle(self._show, PERIOD_S)

    def __call__(self, event: RunEvent) -> None:
        """Take one event in and show it."""
        self.state.fold(event)
        if self.state.ended:
            self._throttle.flush()
        elif self._live:
            self._throttle()

    def open(self) -> None:
        """Show that it started, when somebody watches."""
        if self._live:
            self._throttle.flush()

    def close(self) -> None:
        """Leave the line of a run that has not ended."""
        if self._live and not self.state.ended:
            self._throttle.flush()
            self._stream.write("\n")

    def _show(self) -> None:
        start, end = ("\r\x1b[K" if self._live else ""), ("\n" if self.state.ended else "")
        self._stream.write(f"{start}{self.state.text()}{end}")
        self._stream.flush()
