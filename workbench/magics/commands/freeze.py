"""``freeze``: stop one replica where it stands, or let it go on."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("deployment", takes=("deployment",), help="its name")
    parser.argument("replica", help="the replica's id, as status shows it")
    parser.argument("--off", action="store_true", help="let it go on, and give it requests again")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.freeze`."""
    from ... import api

    return api.freeze(args.deployment, args.replica, off=args.off)


COMMAND = Command(
    "freeze",
    "stop one of several replicas where it stands",
    add,
    call,
    examples=("minilm 2-1", "minilm 2-1 --off"),
    subject="deployment",
)
