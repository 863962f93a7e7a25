"""A pipeline and its inputs, as ``run`` and ``mirror`` take them."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..command import Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the pipeline and ``--set``."""
    parser.argument(
        "pipeline",
        takes=("variable", "file", "run"),
        help="a pipeline: variable, module:name, file.yaml (Kubeflow's IR), or the id of a run",
    )
    parser.argument(
        "--set", metavar="NAME=VALUE", nargs="+", action="extend", type=_pair, default=[], help="its inputs"
    )


def work(args: argparse.Namespace, context: Context) -> tuple[Any, dict[str, Any]]:
    """Return the pipeline and its inputs."""
    text = args.pipeline
    plain = text.endswith((".yaml", ".yml", ".json")) or (
        text[0] == "r" and len(text) == 11 and text[1:].isalnum()
    )
    return text if plain else context.value(text, "the pipeline"), dict(args.set)


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
