"""``capture``: a module or an ONNX file becomes a program in the store."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser
from . import _running


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "model",
        takes=("variable", "file"),
        help="a module: variable, module:factory, file.py:factory; or a path to an .onnx file",
    )
    parser.argument("--inputs", metavar="NAME", takes=("variable",), help="example inputs: one batch")
    parser.argument("--name", help="name in the store (default: the variable's or file's name)")
    parser.argument(
        "--state", metavar="FILE", takes=("file",), help="weights for a factory (.safetensors, .pt)"
    )
    parser.argument(
        "--dynamic", metavar="SPEC", default="auto", help="auto, none, or ids:0=batch,1=tokens;mask:0=batch"
    )
    parser.argument("--preprocess", metavar="FN", takes=("variable",), help="turns raw data into inputs")
    _running.add(parser)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.capture`."""
    from ... import api

    is_file = args.model.endswith(".onnx")
    return api.capture(
        args.model if is_file else context.value(args.model, "the model"),
        context.optional(args.inputs, "the example inputs"),
        name=args.name or _default_name(args.model),
        state=args.state,
        dynamic=args.dynamic,
        preprocess=context.optional(args.preprocess, "the preprocessing"),
        **_running.options(args, context),
    )


def _default_name(model: str) -> str:
    """Return ``encoder`` for ``encoder``, ``shop.models:encoder`` and ``out/encoder.onnx``."""
    return model.removesuffix(".onnx").replace(":", "/").replace(".", "/").rpartition("/")[2]


COMMAND = Command(
    "capture",
    "capture a torch module or an ONNX file as a program",
    add,
    call,
    examples=("encoder --inputs batch --name minilm", "models/encoder.onnx"),
    subject="model",
)
