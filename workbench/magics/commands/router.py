"""``router``: the process that changes routes in the kernel for every user of a machine."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser
from . import _service


def add(parser: Parser) -> None:
    """Declare the arguments."""
    _service.add(parser, "router")


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
