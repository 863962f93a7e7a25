"""``%mlops`` and ``%%mlops``: read the line, ask the api, hand back what it returned.

Bad syntax is a ``UsageError`` (one red line); whatever fails afterwards is raised as it is, so that
``nbconvert --execute`` and a CI job see it.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from typing import Any, cast

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class

from ..widgets.progress import NotebookProgress, Progress, TerminalProgress
from . import cell as cells
from .command import CellBody, Command
from .commands import load_all
from .parser import BadSyntax, HelpAsked, build
from .references import resolve


class NotebookContext:
    """What the notebook lends a command: its variables, the cell's body, an output for progress."""

    def __init__(self, shell: InteractiveShell, body: str | None, progress: Progress) -> None:
        self._shell = shell
        self._body = body
        self.cell: CellBody | None = None if body is None else self._run
        self.on_event = progress

    def value(self, name: str, what: str) -> Any:
        """Return the variable (or reference) of this name."""
        return resolve(name, self._shell.user_ns, what)

    def _run(self, names: Mapping[str, Any]) -> None:
        cells.run(self._shell, self._body or "", names)


@magics_class
class MlopsMagics(Magics):
    """The magic of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.parser, self.subparsers = build("%mlops", load_all())

    @line_cell_magic
    def mlops(self, line: str, cell: str | None = None) -> Any:
        """Run one workbench command; ``%mlops --help`` lists them."""
        try:
            args = self.parser.parse_args(words(line))
            check_cell(args.run, cell)
        except BadSyntax as error:
            raise UsageError(str(error)) from None
        except HelpAsked as help_page:
            print(help_page)
            return None
        progress = self._progress(args)
        if getattr(args, "bg", False):
            progress.open()
        try:
            return args.run.call(args, NotebookContext(self._shell, cell, progress))
        finally:
            progress.close()

    @property
    def _shell(self) -> InteractiveShell:
        return cast(InteractiveShell, self.shell)

    def _progress(self, args: argparse.Namespace) -> Progress:
        title = args.run.title(args)
        in_kernel = hasattr(self._shell, "kernel")  # a terminal IPython cannot update an output in place
        return NotebookProgress(title) if in_kernel else TerminalProgress(title)


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
        raise BadSyntax(f"{error}: {line}", "usage: %mlops COMMAND ...") from None
    comment = next((i for i, word in enumerate(found) if word.startswith("#")), len(found))
    return found[:comment]


def check_cell(command: Command, cell: str | None) -> None:
    """Refuse a body below a command that runs none."""
    if cell is not None and not command.takes_cell:
        raise BadSyntax(f"{command.name} runs no cell", f"usage: %mlops {command.name} ... (one %)")
