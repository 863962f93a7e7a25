"""``probe``: BPF C of the user's own, in a cell or a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError, MissingInput
from ..command import Command, Context
from ..parser import Parser, seconds, whole

if TYPE_CHECKING:
    from ...render.table import Table


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "file", nargs="?", default="", takes=("file",), help="a file with the program (default: the cell)"
    )
    parser.argument(
        "--seconds", metavar="S", type=seconds, default=5.0, help="how long it stays attached (default: 5)"
    )
    parser.argument(
        "--hz", type=whole(1), default=99, help="calls of on_sample a second (default: %(default)s)"
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.probe`."""
    from ... import api

    live = _live(context)
    try:
        return api.probe(_text(args, context), seconds=args.seconds, hz=args.hz, on_tables=live)
    finally:
        if live is not None:
            live(())  # the result shows them from now on


def _text(args: argparse.Namespace, context: Context) -> str:
    if bool(args.file) == (context.text is not None):
        raise InputError(
            "there is no program, or two" if args.file else "there is no program",
            where="probe",
            fix="write BPF C below %%mlops probe, or name a file",
        )
    if context.text is not None:
        return context.text
    try:
        return Path(args.file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise MissingInput(f"the program cannot be read: {error}", where=args.file) from error


def _live(context: Context) -> Callable[[tuple[Table, ...]], None] | None:
    """Return what shows the maps while they fill: one output, renewed; None in a shell."""
    if context.text is None:
        return None
    from IPython import display

    html: Any = display.HTML  # IPython's own hints end here
    handle: Any = display.DisplayHandle()  # type: ignore[no-untyped-call]
    handle.display(html(""))

    def show(tables: tuple[Table, ...]) -> None:
        handle.update(html("".join(table.html() for table in tables)))

    return show


COMMAND = Command(
    "probe",
    "compile a BPF C program with bcc, attach it, show its maps",
    add,
    call,
    examples=("--seconds 10", "runqueue.c --seconds 10"),
    takes_cell=True,
    subject="file",
)
