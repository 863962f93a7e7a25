"""``diff``: what changed between two profiles or two models."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("before", takes=("artifact",), help="a profile or a model: its name or digest")
    parser.argument("after", takes=("artifact",), help="what to compare with it")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.diff`."""
    from ... import api

    return api.diff(args.before, args.after)


COMMAND = Command(
    "diff",
    "compare two profiles, line by line, or two models, cause by cause",
    add,
    call,
    examples=("minilm@profile minilm:int8@profile", "minilm:int8 minilm:int4"),
    subject="before",
)
