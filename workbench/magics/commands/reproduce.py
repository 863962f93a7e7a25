"""``reproduce``: make an artifact again from its recorded inputs, and compare."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser
from . import _isolating


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="any name or digest that a step made")
    parser.argument("--deep", action="store_true", help="make every ancestor again too")
    _isolating.add(parser)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.reproduce`."""
    from ... import api

    return api.reproduce(args.artifact, deep=args.deep, **_isolating.options(args), on_event=context.on_event)


COMMAND = Command(
    "reproduce",
    "make an artifact again from its recorded inputs and compare digests",
    add,
    call,
    examples=("minilm:int8", "minilm:int8/onnxruntime --deep", "minilm:int8 --isolate --sandbox buildah"),
)
