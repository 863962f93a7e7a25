"""``runs``: the history."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, whole


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "--limit", metavar="N", type=whole(1), default=20, help="newest runs to list (default: 20)"
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.runs`."""
    from ... import api

    return api.runs(limit=args.limit)


COMMAND = Command("runs", "list the newest runs", add, call, examples=("", "--limit 100"))
