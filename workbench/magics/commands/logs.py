"""``logs``: what a run's steps wrote."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("run_id", takes=("run",), help="a run's id")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.logs`."""
    from ... import api

    return api.logs(args.run_id)


COMMAND = Command("logs", "show what a run wrote", add, call, examples=("RUN",), subject="run_id")
