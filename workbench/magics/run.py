"""Run one ``%mlops`` line or ``%%mlops`` cell: read the line, ask the api, hand back what it returned.

Bad syntax is a ``UsageError`` (one red line); whatever fails afterwards is raised as it is, so that
``nbconvert --execute`` and a CI job see it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from ..pipeline.asked import asking
from ..widgets.progress import NotebookProgress, Progress, TerminalProgress
from . import cell as cells
from .command import CellBody, Command
from .commands import load_all
from .parser import BadSyntax, HelpAsked, Parser, build
from .references import resolve


class NotebookContext:
    """What the notebook lends a command: its variables, the cell's body, an output for progress."""

    def __init__(self, shell: InteractiveShell, body: str | None, progress: Progress) -> None:
        self._shell = shell
        self._body = body
        self.cell: CellBody | None = None if body is None else self._run
        self.text = body
        self.on_event = progress

    def value(self, name: str, what: str) -> Any:
        """Return the variable (or reference) of this name."""
        return resolve(name, self._shell.user_ns, what)

    def optional(self, name: str | None, what: str) -> Any:
        """Return the same, or None where the option was not given."""
        return None if name is None else self.value(name, what)

    def _run(self, names: Mapping[str, Any]) -> None:
        self._code = cells.run(self._shell, self._body or "", names)  # kept for the profile's symbols


@cache
def parsers() -> tuple[Parser, dict[str, Parser]]:
    """Return the notebook's parser and its sub-parsers by name."""
    return build("%mlops", load_all())


def run(shell: InteractiveShell, line: str, cell: str | None) -> Any:
    """Run a command and return what the api returned.

    Raises
    ------
    UsageError
        If the line does not fit the parser; nothing was run.
    WorkbenchError
        Whatever the command raises.
    """
    __tracebackhide__ = True  # IPython leaves such a frame out of tracebacks
    try:
        args = parsers()[0].parse_args(words(line))
        check_cell(args.run, cell)
    except BadSyntax as error:
        raise UsageError(str(error)) from None
    except HelpAsked as page:
        print(page)
        return None
    progress = _progress(shell, args.run.title(args))
    if getattr(args, "bg", False):
        progress.open()  # a background run's first event may come when another cell runs
    try:
        with asking(f"%{'%' if cell is not None else ''}mlops {line}".rstrip(), _cell_id(shell)):
            return args.run.call(args, NotebookContext(shell, cell, progress))
    except Exception as error:
        error.__traceback__ = cells.users_part(error.__traceback__) or error.__traceback__
        raise
    except KeyboardInterrupt as stop:
        stop.__traceback__ = cells.users_part(stop.__traceback__)
        if (
            stop.__traceback__ is None
        ):  # none of ours either, and IPython would show the last: the user knows why
            lines = ["KeyboardInterrupt", *getattr(stop, "__notes__", ())]
            vars(stop)["_render_traceback_"] = lambda: lines
        raise
    finally:
        progress.close()


def _progress(shell: InteractiveShell, title: str) -> Progress:
    in_kernel = hasattr(shell, "kernel")  # a terminal's IPython cannot update an output in place
    return NotebookProgress(title) if in_kernel else TerminalProgress(title)


def _cell_id(shell: InteractiveShell) -> str:
    """Return the id of the cell that runs, as the frontend sent it; empty where it sent none."""
    kernel = getattr(shell, "kernel", None)
    message = kernel.get_parent("shell") if kernel is not None else {}
    return str((message.get("metadata") or {}).get("cellId", ""))


def words(line: str) -> list[str]:
    """Return the words of a line, without a trailing comment.

    Examples
    --------
    >>> words("show 'a b'  # the one of today")
    ['show', 'a b']
    """
    try:
        found = shlex.split(line)
    except ValueError as error:
        raise BadSyntax(f"{error}: {line}", "close the quote, or put a \\ before it") from None
    comment = next((i for i, word in enumerate(found) if word.startswith("#")), len(found))
    return found[:comment]


def check_cell(command: Command, cell: str | None) -> None:
    """Refuse a body below a command that runs none."""
    if cell is not None and not command.takes_cell:
        raise BadSyntax(
            f"{command.name} runs no cell", f"%mlops {command.name} ... (one %), on a line of its own"
        )
