"""``promote``: the canary becomes stable."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("deployment", takes=("deployment",), help="its name")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.promote`."""
    from ... import api

    return api.promote(args.deployment)


COMMAND = Command("promote", "make the canary stable", add, call, examples=("minilm",), subject="deployment")
