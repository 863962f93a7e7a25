"""``doctor``: what this machine and this environment offer."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare no arguments."""


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.doctor.examine`."""
    from ...doctor import examine

    return examine()


COMMAND = Command(
    "doctor", "check versions, backends, kernel and compilers, and print what to mend", add, call
)
