"""``compare``: artifacts side by side."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, number


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifacts", nargs="+", takes=("artifact",), help="two or more names")
    parser.argument(
        "--layers", action="store_true", help="layer by layer: time, error, size, where models part"
    )
    parser.argument(
        "--operators", action="store_true", help="by what operators do: time, kernels, why one takes longer"
    )
    parser.argument(
        "--tolerance",
        metavar="X",
        type=number(0, 1e9),
        help="by layer: what may differ, as a share of the peak",
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.compare`."""
    from ... import api

    return api.compare(
        *args.artifacts, layers=args.layers, operators=args.operators, tolerance=args.tolerance
    )


COMMAND = Command(
    "compare",
    "put artifacts side by side: score, latency, size, or layer by layer",
    add,
    call,
    examples=(
        "minilm minilm:int8",
        "minilm/onnxruntime minilm:int8/openvino --layers",
        "minilm/onnxruntime minilm/tvm --operators",
    ),
)
