"""``status``: deployments and runs at a glance."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "deployment", nargs="?", default="", takes=("deployment",), help="one deployment (default: all)"
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.status`."""
    from ... import api

    return api.status(args.deployment)


COMMAND = Command(
    "status", "show deployments and running work", add, call, examples=("", "minilm"), subject="deployment"
)
