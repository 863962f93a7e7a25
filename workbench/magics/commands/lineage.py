"""``lineage``: what an artifact was made from, or what was made from it."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="any name or digest")
    parser.argument("--downstream", action="store_true", help="show only what was made from it")
    parser.argument(
        "--statement",
        metavar="FILE",
        default="",
        help="write its provenance as an in-toto statement (SLSA v1)",
    )
    parser.argument("--sign", metavar="KEY", default="", help="sign the statement with a secret key (DSSE)")
    parser.argument(
        "--code", metavar="DIR", default="", help="write the working tree it was made from into a new folder"
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.lineage`."""
    from ... import api

    return api.lineage(
        args.artifact,
        downstream=args.downstream,
        statement=args.statement,
        sign=args.sign,
        code=args.code,
    )


COMMAND = Command(
    "lineage",
    "show model, data, code, environment, hardware, parameters, who and when of an artifact",
    add,
    call,
    examples=("minilm:int8", "minilm --downstream", "minilm:int8 --statement provenance.json"),
)
