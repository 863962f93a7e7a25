"""``verify``: read every byte and compare it with its digest."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "artifact", nargs="?", default="", takes=("artifact",), help="any name or digest (default: all)"
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.verify`."""
    from ... import api

    return api.verify(args.artifact)


COMMAND = Command(
    "verify", "read every byte and compare it with its digest", add, call, examples=("minilm:int8", "")
)
