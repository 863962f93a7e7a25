"""``environment``: the packages an artifact was made with; written down, or built again."""

from __future__ import annotations

import argparse
from typing import Any

from ...errors import InputError
from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("action", choices=("show", "export", "build"), help="what to do")
    parser.argument(
        "artifact",
        nargs="?",
        default="",
        takes=("artifact",),
        help="any name or digest (default: this process)",
    )
    parser.argument("--to", metavar="DIR", default="", help="the folder to write")
    parser.argument(
        "--image", action="store_true", help="build: an OCI image layout, not a virtual environment"
    )
    parser.argument(
        "--packages", metavar="NAME", nargs="+", default=[], help="build: only these and what they need"
    )
    parser.argument("--base", metavar="IMAGE", default="", help="export: image the Containerfile starts from")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.environment`, ``export_environment`` or ``build_environment``."""
    from ... import api

    if args.action == "show":
        return api.environment(args.artifact)
    if not args.to:
        raise InputError(
            f"environment {args.action} needs a folder",
            where="--to",
            fix=f"environment {args.action} --to DIR",
        )
    if args.action == "export":
        return api.export_environment(args.artifact, to=args.to, base=args.base)
    return api.build_environment(args.artifact, to=args.to, image=args.image, packages=args.packages)


COMMAND = Command(
    "environment",
    "show, export or rebuild the environment an artifact was made in",
    add,
    call,
    examples=("show minilm:int8", "export minilm:int8 --to container", "build minilm:int8 --to env --image"),
    subject="action",
)
