"""What an executor is: something that takes a recipe and makes a run of it."""

from __future__ import annotations

from typing import Protocol

from ..driver import Listener
from ..recipe import Recipe
from ..run import Run


class Executor(Protocol):
    """Runs recipes. Every executor runs the same step command, so that local mirrors production."""

    name: str

    def submit(
        self, recipe: Recipe, *, title: str = "", background: bool = False, on_event: Listener | None = None
    ) -> Run:
        """Start a recipe; in the foreground, return when it is done or raise what failed it."""

    def resume(self, run_id: str, *, background: bool = False, on_event: Listener | None = None) -> Run:
        """Go on with a run that did not end well; finished steps are not redone."""

    def cancel(self, run_id: str) -> None:
        """End a run and its step."""
