"""``reproduce``: make an artifact again and compare."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="any name or digest")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.reproduce`."""
    from ... import api

    return api.reproduce(args.artifact, on_event=context.on_event)


COMMAND = Command(
    "reproduce",
    "make an artifact again from what is recorded of it, and compare",
    add,
    call,
    examples=("minilm:int8", "minilm:int8@sha256:ab12"),
)
