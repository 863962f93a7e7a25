"""``show``: one artifact: files, signature, figures."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "artifact", nargs="?", default="", takes=("artifact",), help="any name or digest (default: list them)"
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.show`."""
    from ... import api

    return api.show(args.artifact)


COMMAND = Command(
    "show", "show an artifact: signature, files, figures", add, call, examples=("minilm:int8", "")
)
