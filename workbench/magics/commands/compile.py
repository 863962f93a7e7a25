"""``compile``: a program or variant becomes what a backend loads, checked against eager."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, whole
from . import _isolating, _running
from ._families import members


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="a program or a variant")
    parser.argument(
        "--backend", choices=members("compile/backends"), default="onnxruntime", help="what runs it"
    )
    parser.argument(
        "--target",
        metavar="MACHINE",
        default="",
        help="machine to compile for, for a backend that has targets: "
        "host, x86-64-avx512-vnni, x86-64-avx2, aarch64-neon, aarch64-i8mm, aarch64-sve, riscv64-rvv, generic",
    )
    parser.argument(
        "--option",
        metavar="NAME=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="the backend's own options; %%mlops backends lists them",
    )
    parser.argument("--threads", metavar="N", type=whole(1), default=1, help="threads of one session")
    parser.argument("--name", default="", help="name of the result (default: artifact/backend)")
    _isolating.add(parser)
    _running.add(parser)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.compile`."""
    from ... import api
    from ...compile import parse_pairs

    return api.compile(
        args.artifact,
        backend=args.backend,
        threads=args.threads,
        target=args.target,
        options=parse_pairs(args.option),
        name=args.name,
        **_isolating.options(args),
        **_running.options(args, context),
    )


COMMAND = Command(
    "compile",
    "compile an artifact for a backend and check it against eager",
    add,
    call,
    examples=(
        "minilm:int8 --backend onnxruntime",
        "minilm:ternary --backend ternary",
        "minilm:ternary --backend ternary --target aarch64-neon",
    ),
)
