"""The shell command ``mlops``: the same parser, the same api, text or JSON on stdout.

Exit codes: 0 done, 1 it failed (what, where, next on stderr), 2 the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from .errors import WorkbenchError
from .magics.command import CellBody
from .magics.commands import load_all
from .magics.parser import BadSyntax, HelpAsked, build
from .magics.references import resolve
from .pipeline.asked import asking
from .widgets.progress import TerminalProgress

PROG = "mlops"


class ShellContext:
    """What a shell lends a command: importable names and a line for progress."""

    cell: CellBody | None = None
    text: str | None = None

    def __init__(self, progress: TerminalProgress) -> None:
        self.on_event = progress

    def value(self, name: str, what: str) -> Any:
        """Return what ``module:attribute`` or ``file.py:attribute`` names."""
        return resolve(name, None, what)

    def optional(self, name: str | None, what: str) -> Any:
        """Return the same, or None where the option was not given."""
        return None if name is None else self.value(name, what)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv
        The words after ``mlops``; the process's own when ``None``.
    """
    try:
        args = parse(argv)
        _print(_text(_call(args, sys.argv[1:] if argv is None else argv), args))
    except HelpAsked as page:
        _print(str(page))
    except BadSyntax as error:
        return _complain(f"{PROG}: {error}", 2)
    except WorkbenchError as error:
        return _complain("\n".join(error._render_traceback_()), 1)
    except KeyboardInterrupt as stop:
        return _complain("\n".join(["interrupted", *getattr(stop, "__notes__", ())]), 130)
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line; ``--json`` goes with every command."""
    parser, subparsers = build(PROG, load_all())
    for sub in subparsers.values():
        sub.argument("--json", action="store_true", help="print the result as JSON")
    args: argparse.Namespace = parser.parse_args(argv)
    return args


def _call(args: argparse.Namespace, words: Sequence[str]) -> Any:
    progress = TerminalProgress(args.run.title(args))
    try:
        with asking(shlex.join([PROG, *words])):
            return args.run.call(args, ShellContext(progress))
    finally:
        progress.close()


def _text(result: Any, args: argparse.Namespace) -> str:
    """Return a result as text or JSON; a recipe (``--dry-run``) is JSON either way, ready for a pipe."""
    form = result.recipe if getattr(args, "dry_run", False) else result.to_json() if args.json else None
    return str(result) if form is None else json.dumps(form, indent=2, sort_keys=True)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader (head, less) has seen enough; keep the exit from flushing again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str, code: int) -> int:
    print(re.sub("%+mlops", PROG, text), file=sys.stderr)
    return code
