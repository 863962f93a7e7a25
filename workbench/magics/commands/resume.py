"""``resume``: go on with a run that was interrupted; finished steps are not redone."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("run_id", takes=("run",), help="a run's id")
    parser.argument("--bg", action="store_true", help="return at once; the run goes on by itself")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.resume`."""
    from ... import api

    return api.resume(args.run_id, background=args.bg, on_event=context.on_event)


COMMAND = Command("resume", "go on with an interrupted run", add, call, examples=("RUN",), subject="run_id")
