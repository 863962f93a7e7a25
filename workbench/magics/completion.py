"""The Tab key in ``%mlops`` lines: commands, options, choices, names of the store, variables, files.

Works wherever a line holds ``%mlops`` (also ``x = %mlops qu`` and ``%%mlops pro``), from the same parser that
reads the line. Names come from the store when there is one; pressing Tab never makes a store.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
)

from ..trace.probes import PROBES
from .parser import Parser
from .run import parsers

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_LINE = re.compile(r"%%?mlops\s+(?P<typed>.*)$")
_VARIABLE = re.compile(r"(\$|\{)(\w*)$")


def complete(shell: InteractiveShell, context: CompletionContext) -> SimpleMatcherResult:
    """Return what fits at the cursor of a line that holds ``%mlops``."""
    found = list(_LINE.finditer(context.text_until_cursor))
    if not found:
        return {"completions": []}
    fragment, words = fitting(found[-1]["typed"], variables(shell))
    return {
        "completions": [SimpleCompletion(word, type="mlops") for word in words],
        "matched_fragment": fragment,
        "suppress": True,  # Python names and files of the working directory do not belong here
    }


def variables(shell: InteractiveShell) -> list[str]:
    """Return the names the user defined, not those that IPython put there."""
    hidden = shell.user_ns_hidden
    return [
        name
        for name, value in shell.user_ns.items()
        if not name.startswith("_") and (name not in hidden or hidden[name] is not value)
    ]


def fitting(typed: str, known: Sequence[str]) -> tuple[str, list[str]]:
    """Return the unfinished word and what it can become.

    Parameters
    ----------
    typed
        The line from behind ``%mlops`` up to the cursor.
    known
        The notebook's variables.

    Examples
    --------
    >>> fitting("quantize minilm --mode s", ())
    ('s', ['static'])
    """
    *done, word = typed.split() if typed and not typed[-1].isspace() else [*typed.split(), ""]
    expansion = _VARIABLE.search(word)
    if expansion:
        return expansion[2], _starting(expansion[2], known)
    subparsers = parsers()[1]
    if not done:
        return word, _starting(word, subparsers)
    parser = subparsers.get(done[0])
    if parser is None:
        return word, []
    option, equals, value = word.partition("=")
    if equals and option.startswith("-"):
        action = parser._option_string_actions.get(option)
        return value, _starting(value, _values(parser, action, value, known))
    if word.startswith("-"):
        return word, _starting(word, _options(parser))
    return word, _starting(word, _values(parser, _expected(parser, done[1:]), word, known))


def _values(parser: Parser, action: argparse.Action | None, word: str, known: Sequence[str]) -> Iterable[str]:
    if action is None:
        return _options(parser)
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    sources: dict[str, Callable[[], Iterable[str]]] = {
        "artifact": _artifacts,
        "run": _runs,
        "deployment": _deployments,
        "variable": lambda: known,
        "file": lambda: _files(word),
        "probes": lambda: _lists(word, tuple(PROBES)),
    }
    return [name for kind in parser.kinds.get(action.dest, ()) for name in sources[kind]()]


def _expected(parser: Parser, done: list[str]) -> argparse.Action | None:
    """Return the argument whose value comes next: an option's, else the next positional's."""
    positionals = [action for action in parser._actions if not action.option_strings]
    pending: argparse.Action | None = None
    filled = 0
    for word in done:
        if word.startswith("-"):
            action = parser._option_string_actions.get(word)
            pending = action if action is not None and action.nargs != 0 else None
        elif pending is None:
            filled += 1
        elif pending.nargs is None:
            pending = None
    if pending is not None:
        return pending
    return positionals[filled] if filled < len(positionals) else None


def _options(parser: Parser) -> list[str]:
    return [option for option in parser._option_string_actions if option.startswith("--")]


def _starting(word: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(word)})


def _lists(word: str, names: Sequence[str]) -> list[str]:
    """Return the comma separated lists that a list can become by one more name."""
    begun, comma, _ = word.rpartition(",")
    return [f"{begun}{comma}{name}" for name in names if name not in begun.split(",")]


def _artifacts() -> list[str]:
    return _ask_store(lambda store: [row.name for row in store.names.list()])


def _runs() -> list[str]:
    return _ask_store(lambda store: [row.id for row in store.runs.list(50)])


def _deployments() -> list[str]:
    return _ask_store(lambda store: [row.name for row in store.deployments.list()])


def _ask_store(question: Callable[[Any], list[str]]) -> list[str]:
    from ..config import home

    if not home().is_dir():
        return []
    from ..store import Store

    store = Store()
    try:
        return question(store)
    finally:
        store.close()


def _files(word: str) -> list[str]:
    """Return folders and model files that a path can become."""
    from pathlib import Path

    folder = word.rpartition("/")[0] + "/" if "/" in word else ""
    here = Path(folder or ".")
    if not here.is_dir():
        return []
    names = []
    for path in here.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            names.append(f"{folder}{path.name}/")
        elif path.suffix in (".onnx", ".safetensors", ".pt", ".py"):
            names.append(f"{folder}{path.name}")
    return names
