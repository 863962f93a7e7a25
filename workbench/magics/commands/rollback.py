"""``rollback``: the canary goes, or the last stable comes back."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("deployment", takes=("deployment",), help="its name")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.rollback`."""
    from ... import api

    return api.rollback(args.deployment)


COMMAND = Command(
    "rollback",
    "drop the canary, or go back to the previous stable",
    add,
    call,
    examples=("minilm",),
    subject="deployment",
)
