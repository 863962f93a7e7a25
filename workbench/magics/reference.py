"""The page of all commands as Markdown, from the parser that reads them.

``python -m workbench.magics.reference > docs/commands.md`` writes it; a test keeps the two in step.
"""

from __future__ import annotations

import argparse

from .command import Command
from .commands import load_all
from .parser import EPILOG, Parser, build

_HEAD = """\
# Commands

Every command works on a `%mlops` line, in a shell as `mlops ...`, and (all but `doctor`) as a function of
`workbench`. A shell has no variables: there a value is written `module:attribute` or `file.py:attribute`. In a
shell every command also takes `--json`. This page is written by `python -m workbench.magics.reference`.
"""


def page() -> str:
    """Return the page."""
    commands = load_all()
    _, subparsers = build("%mlops", commands)
    sections = [_section(command, subparsers[command.name]) for command in commands]
    return "\n".join([_HEAD, f"```text\n{EPILOG}\n```\n", *sections]).rstrip() + "\n"


def _section(command: Command, parser: Parser) -> str:
    sigil = "%%" if command.takes_cell else "%"
    examples = "\n".join(f"{sigil}mlops {command.name} {line}".rstrip() for line in command.examples)
    rows = [_row(action) for action in parser._actions if action.dest != "help"]
    table = "\n".join(["| argument | meaning |", "|---|---|", *rows, ""]) if rows else ""
    summary = f"{command.summary[0].upper()}{command.summary[1:]}."
    return f"## {command.name}\n\n{summary}\n\n```text\n{examples}\n```\n\n{table}"


def _row(action: argparse.Action) -> str:
    name = ", ".join(action.option_strings) or action.dest
    value = "" if action.nargs == 0 or not action.option_strings else f" {action.metavar or _choices(action)}"
    meaning = (str(action.help) % {"default": action.default}).replace("[", "\\[")  # no link
    return f"| `{name}{value}` | {meaning} |"


def _choices(action: argparse.Action) -> str:
    return "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()


if __name__ == "__main__":
    print(page(), end="")
