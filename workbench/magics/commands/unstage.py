"""``unstage``: stop a deployment's replicas and its route."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("deployment", takes=("deployment",), help="its name")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.unstage`."""
    from ... import api

    return api.unstage(args.deployment)


COMMAND = Command(
    "unstage", "stop a deployment and free its port", add, call, examples=("minilm",), subject="deployment"
)
