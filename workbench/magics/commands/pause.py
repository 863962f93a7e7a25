"""``pause``: hold a rollout at its share, or let it go on."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("deployment", takes=("deployment",), help="its name")
    parser.argument("--off", action="store_true", help="let it go on")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.pause`."""
    from ... import api

    return api.pause(args.deployment, off=args.off)


COMMAND = Command(
    "pause",
    "hold a rollout at its share of the traffic",
    add,
    call,
    examples=("minilm", "minilm --off"),
    subject="deployment",
)
