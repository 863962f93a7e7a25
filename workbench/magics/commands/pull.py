"""``pull``: a package from a registry."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser
from . import _running


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("reference", metavar="URL", help="http://host:port/repository[:tag][@sha256:...]")
    parser.argument("--name", default="", help="what to call it (default: repository:tag/package)")
    parser.argument(
        "--out", metavar="DIR", default="", takes=("file",), help="unpack it there, without a store"
    )
    parser.argument(
        "--trust",
        metavar="KEY",
        nargs="+",
        action="extend",
        default=[],
        help="with --out: public keys that count",
    )
    _running.add(parser)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.pull`."""
    from ... import api

    names = {"name": args.name, "out": args.out, "trust": args.trust}
    return api.pull(args.reference, **names, **_running.options(args, context))


COMMAND = Command(
    "pull",
    "fetch a package from a registry, checked byte by byte",
    add,
    call,
    examples=("http://127.0.0.1:5000/minilm:int8",),
    subject="reference",
)
