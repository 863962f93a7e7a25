"""``asm``: the assembly of a layer's kernel, its hot loop marked."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="what the backend ternary or tvm compiled")
    parser.argument("--layer", metavar="PATH", default="", help="a module's path (default: the busiest)")
    parser.argument(
        "--function", metavar="NAME", default="", help="another function the layer runs, or one of TVM's"
    )
    parser.argument("--full", action="store_true", help="the whole function, not only the loop")
    parser.argument("--ir", action="store_true", help="what TVM generated the code from")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.asm`."""
    from ... import api

    return api.asm(args.artifact, layer=args.layer, function=args.function, full=args.full, ir=args.ir)


COMMAND = Command(
    "asm",
    "show the assembly of a layer's kernel, its hot loop marked",
    add,
    call,
    examples=(
        "minilm:ternary",
        "minilm:ternary --layer encoder.layers.0.linear1",
        "minilm/tvm --function layer_norm --ir",
    ),
)
