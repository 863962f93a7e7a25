"""``collector``: the process that traces for every user of a machine."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser
from . import _service


def add(parser: Parser) -> None:
    """Declare the arguments."""
    _service.add(parser, "collector")
    parser.argument("--enforce", action="store_true", help="it may also refuse connects (CAP_NET_ADMIN)")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.collector`."""
    from ... import api

    return api.collector(args.action, socket=args.socket, enforce=args.enforce)


COMMAND = Command(
    "collector",
    "start, show or remove the machine's tracing process",
    add,
    call,
    examples=("status", "start", "install --enforce"),
    subject="action",
)
