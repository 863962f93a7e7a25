"""``compare``: artifacts side by side."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifacts", nargs="+", takes=("artifact",), help="two or more names")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.compare`."""
    from ... import api

    return api.compare(*args.artifacts)


COMMAND = Command(
    "compare",
    "put artifacts side by side: score, latency, size",
    add,
    call,
    examples=("minilm minilm:int8",),
)
