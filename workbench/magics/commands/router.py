"""``router``: the process that changes routes in the kernel for every user of a machine."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("action", choices=("install", "start", "status", "remove"), help="what to do")
    parser.argument(
        "--socket",
        metavar="PATH",
        default="",
        help="where it listens (default: /run/workbench/router.sock)",
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.router`."""
    from ... import api

    return api.router(args.action, socket=args.socket)


COMMAND = Command(
    "router",
    "start, show or remove the machine's routing process",
    add,
    call,
    examples=("status", "start", "install"),
    subject="action",
)
