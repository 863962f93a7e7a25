"""What is done with a process that serves a whole machine: what ``collector`` and ``router`` both take."""

from __future__ import annotations

from ..parser import Parser


def add(parser: Parser, name: str) -> None:
    """Declare the action and ``--socket``."""
    parser.argument("action", choices=("install", "start", "status", "remove"), help="what to do")
    parser.argument(
        "--socket",
        metavar="PATH",
        default="",
        help=f"where it listens (default: /run/workbench/{name}.sock)",
    )
