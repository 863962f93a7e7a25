"""One argparse parser for every face: the magic, the shell command, completion and the docs.

It never prints and never exits: bad syntax raises :class:`BadSyntax`, ``--help`` raises :class:`HelpAsked`,
and each face decides what that means (a ``UsageError``, an exit code, a page of help).
"""

from __future__ import annotations

import argparse
import difflib
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from .command import Command

EPILOG = """\
names: minilm (program), minilm:int8 (variant), minilm:int8/onnxruntime (compiled),
       minilm@staging (alias), minilm:int8@sha256:ab12 (exact)"""


class BadSyntax(Exception):
    """Raised when a command line does not fit the parser: one line of what, one of what to type next."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}\n  next:  {fix}")


class HelpAsked(Exception):
    """Raised by ``--help``; carries the text."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises, suggests near names, and knows what its arguments take."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)
        self.kinds: dict[str, tuple[str, ...]] = {}

    def argument(self, *flags: str, takes: Sequence[str] = (), **options: Any) -> None:
        """Add an argument and note what it `takes`: ``artifact variable file run deployment``."""
        action = self.add_argument(*flags, **options)
        self.kinds[action.dest] = tuple(takes)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse a whole line; an empty one and ``help [COMMAND]`` ask for the page of help."""
        words = list(sys.argv[1:] if args is None else args)
        if words[:1] in ([], ["help"]):
            words = [*words[1:2], "--help"]
        return super().parse_args(words, namespace)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; a sub-command refuses what it does not know itself, for it knows what comes near."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and self._subparsers is None:
            options = (word.partition("=")[0] for word in unknown if word.startswith("-"))
            near = [one for word in options for one in self._near(word, self._option_string_actions)]
            hint = f": did you mean {', '.join(near)}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Raise :class:`BadSyntax` with the line that explains this sub-command."""
        raise BadSyntax(message.removeprefix("argument COMMAND: "), f"{self.prog} --help")

    def print_help(self, file: Any = None) -> NoReturn:
        """Raise :class:`HelpAsked` instead of printing: argparse calls this for ``--help``."""
        raise HelpAsked(self.format_help())

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(c) for c in action.choices]
        near = self._near(str(value), choices)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(choices)}"
        raise argparse.ArgumentError(action, f"no choice {value!r}: {hint}")

    @staticmethod
    def _near(word: str, known: Iterable[str]) -> list[str]:
        return difflib.get_close_matches(word, list(known), n=1)


def build(prog: str, commands: Iterable[Command]) -> tuple[Parser, dict[str, Parser]]:
    """Return the parser and its sub-parsers by name.

    Parameters
    ----------
    prog
        How the user calls it: ``%mlops`` or ``mlops``.
    commands
        What it offers, in the order of the help page.

    Examples
    --------
    >>> from workbench.magics.commands import load_all
    >>> parser, subs = build("%mlops", load_all())
    >>> parser.parse_args(["runs", "--limit", "5"]).limit
    5
    """
    parser = Parser(
        prog=prog,
        description="Take a model from a notebook cell to a guarded staging endpoint.",
        epilog=EPILOG,
    )
    group = parser.add_subparsers(metavar="COMMAND", dest="command", required=True, parser_class=Parser)
    subs: dict[str, Parser] = {}
    for command in commands:
        sub = group.add_parser(command.name, help=command.summary, description=_describe(command, prog))
        command.add(sub)
        sub.set_defaults(run=command)
        subs[command.name] = sub
    return parser, subs


def _describe(command: Command, prog: str) -> str:
    sigil = "%" if command.takes_cell and prog.startswith("%") else ""
    examples = "\n".join(f"  {sigil}{prog} {command.name} {line}".rstrip() for line in command.examples)
    return f"{command.summary[0].upper()}{command.summary[1:]}.\n\nexamples:\n{examples}"


def number(low: float, high: float) -> Callable[[str], float]:
    """Return an argument type: a number from `low` to `high`, both included.

    Examples
    --------
    >>> number(0, 1)("0.25")
    0.25
    """

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isnan(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number")
        if not low <= value <= high:
            limits = f"below {low:g}" if value < low else f"above {high:g}"
            raise argparse.ArgumentTypeError(f"{text} is {limits}")
        return value

    return parse


def whole(low: int, high: float = math.inf) -> Callable[[str], int]:
    """Return an argument type: a whole number from `low` to `high`, both included."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is below {low}")
        if value > high:
            raise argparse.ArgumentTypeError(f"{value} is above {high}")
        return value

    return parse


def seconds(text: str) -> float:
    """Return a time in seconds written as ``60s``, ``2m`` or ``90``.

    Examples
    --------
    >>> seconds("60s"), seconds("2m"), seconds("0.5")
    (60.0, 120.0, 0.5)
    """
    unit = 60.0 if text.endswith("m") else 1.0
    return number(1e-3, 1e6)(text.removesuffix("m").removesuffix("s")) * unit


def percent(text: str) -> float:
    """Return a share from 0 to 1 written as ``10%`` or ``0.1``.

    Examples
    --------
    >>> percent("10%"), percent("0.1")
    (0.1, 0.1)
    """
    scale = 100.0 if text.endswith("%") else 1.0
    return number(0, scale)(text.removesuffix("%")) / scale


_SIZES = {
    "": 1,
    "b": 1,
    **{f"{unit}{form}": 1024**power for power, unit in enumerate("kmg", 1) for form in ("ib", "")},
}


def size(text: str) -> int:
    """Return a number of bytes written as ``512MiB``, ``512M`` or ``536870912``.

    Examples
    --------
    >>> size("512MiB"), size("1.5G")
    (536870912, 1610612736)
    """
    digits = text.rstrip("bBiIkKmMgG")
    unit = text[len(digits) :].lower()
    if unit not in _SIZES:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 512MiB")
    return int(number(0, 2**60 / _SIZES[unit])(digits) * _SIZES[unit])


def percents(text: str) -> float | tuple[float, ...]:
    """Return one share, or several separated by commas.

    Examples
    --------
    >>> percents("10%"), percents("1%,25%,100%")
    (0.1, (0.01, 0.25, 1.0))
    """
    shares = tuple(percent(part.strip()) for part in text.split(","))
    return shares[0] if len(shares) == 1 else shares


def subset(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return an argument type: a comma separated list of known words.

    Examples
    --------
    >>> subset(("cpu", "sched", "faults"))("cpu, faults")
    ('cpu', 'faults')
    """

    def parse(text: str) -> tuple[str, ...]:
        words = tuple(word.strip() for word in text.split(",") if word.strip())
        for word in words or ("",):
            if word not in known:
                raise argparse.ArgumentTypeError(f"no choice {word!r}: choose from {', '.join(known)}")
        return words

    return parse
