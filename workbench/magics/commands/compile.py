"""``compile``: a program or variant becomes what a backend loads, checked against eager."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, whole
from . import _running


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="a program or a variant")
    parser.argument("--backend", choices=("onnxruntime", "eager"), default="onnxruntime", help="what runs it")
    parser.argument("--threads", metavar="N", type=whole(1), default=1, help="threads of one session")
    _running.add(parser)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.compile`."""
    from ... import api

    return api.compile(
        args.artifact, backend=args.backend, threads=args.threads, **_running.options(args, context)
    )


COMMAND = Command(
    "compile",
    "compile an artifact for a backend and check it against eager",
    add,
    call,
    examples=("minilm:int8 --backend onnxruntime",),
)
