"""``cancel``: end a run."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("run_id", takes=("run",), help="a run's id")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.cancel`."""
    from ... import api

    return api.cancel(args.run_id)


COMMAND = Command("cancel", "end a run and its step", add, call, examples=("RUN",), subject="run_id")
