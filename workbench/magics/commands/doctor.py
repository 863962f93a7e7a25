"""``doctor``: what this machine and this environment offer."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare no arguments."""


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.magics.doctor.examine`."""
    from ..doctor import examine

    return examine()


COMMAND = Command("doctor", "show versions, backends and the tracing tier of this machine", add, call)
