"""``lineage``: what an artifact was made from."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="any name or digest")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.lineage`."""
    from ... import api

    return api.lineage(args.artifact)


COMMAND = Command(
    "lineage", "show what an artifact was made from, and by what", add, call, examples=("minilm:int8",)
)
