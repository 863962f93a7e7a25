"""What a sub-command is, and what a face lends it while it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .parser import Parser

CellBody = Callable[[Mapping[str, Any]], None]
"""Runs the body of a cell with these names added to its namespace."""


class Context(Protocol):
    """What the notebook or the shell lends a command.

    ``cell`` runs the body of a ``%%mlops`` cell, ``text`` is the body; ``None`` on a line and in a shell.
    """

    cell: CellBody | None
    text: str | None

    def value(self, name: str, what: str) -> Any:
        """Return the object a name stands for; `what` names its role in an error."""

    def optional(self, name: str | None, what: str) -> Any:
        """Return the same, or None where the option was not given."""

    def on_event(self, event: Any) -> None:
        """Show one event of a run."""


@dataclass(frozen=True)
class Command:
    """One sub-command.

    Parameters
    ----------
    name, summary
        Its word and one line of help.
    add
        Declares its arguments.
    call
        Maps parsed arguments to one api call and returns its result.
    examples
        Argument lines for the help page.
    takes_cell
        Whether ``%%mlops`` makes sense for it.
    subject
        The argument that says what it works on.
    """

    name: str
    summary: str
    add: Callable[[Parser], None]
    call: Callable[[argparse.Namespace, Context], Any]
    examples: tuple[str, ...] = ("",)
    takes_cell: bool = False
    subject: str = "artifact"

    def title(self, args: argparse.Namespace) -> str:
        """Return the command in two words, as progress shows it: ``quantize minilm``."""
        return f"{self.name} {getattr(args, self.subject, None) or ''}".rstrip()
