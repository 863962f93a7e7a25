"""A function as source text that a fresh process can run: what a step ships instead of a pickle.

An importable function travels as ``module:qualname`` with the digest of its module's source. Any other
(defined in a notebook cell) travels as text: its own source without decorators, preceded by what it uses of
its surroundings — imports, other functions and classes, plain constants. Text can be read, digests the same
everywhere, and executing it is all that a container needs.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from ...codec import digest, register
from ...errors import InputError
from ..callables import fingerprint_of, is_importable, target_of

_HEAD = "from __future__ import annotations\n"
_PLAIN = (str, int, float, bool, bytes, type(None))


@register("function_source")
@dataclass(frozen=True)
class FunctionSource:
    """A function that any process can get back.

    Parameters
    ----------
    target
        ``module:qualname``; for one that travels as text, only its name counts.
    fingerprint
        Digest of what decides its result: the text, or the source of its module.
    text
        Source to execute; empty for an importable function.
    """

    target: str
    fingerprint: str
    text: str = ""

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.target.rpartition(":")[2].rpartition(".")[2]


def source_of(function: Callable[..., Any]) -> FunctionSource:
    """Return a function as something that can be written down.

    Raises
    ------
    InputError
        If its source cannot be found, or it uses an object that has no source (a tensor, an open file).
    """
    if is_importable(function):
        return FunctionSource(target_of(function), fingerprint_of(function))
    gathered: dict[str, str] = {}
    _gather(function, target_of(function), gathered)
    text = _HEAD + "\n".join(gathered.values()) + "\n"
    return FunctionSource(target_of(function), digest({"source": text}), text)


def _gather(value: Any, where: str, gathered: dict[str, str]) -> None:
    """Add a function or class, and before it what it uses, to the texts by name."""
    name = value.__name__
    if name in gathered:
        return
    gathered[name] = ""  # a function may call itself
    text = _text(value, where)
    surroundings = _surroundings(value)
    for used in _names(text):
        if used != name and used in surroundings and used not in gathered:
            _add(used, surroundings[used], where, gathered)
    del gathered[name]
    gathered[name] = text


def _add(name: str, value: Any, where: str, gathered: dict[str, str]) -> None:
    value = getattr(value, "__wrapped__", value) if not isinstance(value, type) else value
    if isinstance(value, ModuleType):
        gathered[name] = f"import {value.__name__} as {name}"
    elif isinstance(value, FunctionType | type) and not _is_local(value):
        gathered[name] = f"from {value.__module__} import {value.__qualname__} as {name}"
    elif isinstance(value, FunctionType | type):
        _gather(value, where, gathered)
        if value.__name__ != name:
            gathered[name] = f"{name} = {value.__name__}"
    elif _is_plain(value):
        gathered[name] = f"{name} = {value!r}"
    elif callable(value) and _from_module(value):
        gathered[name] = f"from {value.__module__} import {value.__qualname__} as {name}"
    else:
        raise InputError(
            f"it uses {name!r}, a {type(value).__name__} of the notebook, which cannot travel as source",
            where=where,
            fix=f"give {name} as an argument, or make it inside the step",
        )


def _is_local(value: Any) -> bool:
    """Return whether a fresh process could not import this function or class."""
    if isinstance(value, type) and value.__module__ == "builtins":
        return False
    return not is_importable(value)


def _from_module(value: Any) -> bool:
    return bool(getattr(value, "__module__", None)) and bool(getattr(value, "__qualname__", None))


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(_is_plain(k) and _is_plain(v) for k, v in value.items())
    return isinstance(value, _PLAIN)


def _text(value: Any, where: str) -> str:
    try:
        text = textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError) as error:
        raise InputError(
            "its source cannot be found", where=where, fix="define it in a notebook cell or in a file"
        ) from error
    node = ast.parse(text).body[0]
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        raise InputError("only functions written with def can be steps", where=where, fix="write def")
    return "\n".join(text.splitlines()[node.lineno - 1 :])  # from `def` on: decorators stay behind


def _names(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(_without_annotations(text))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and not hasattr(builtins, node.id):
            yield node.id


def _without_annotations(text: str) -> str:
    """Return code whose annotations are gone: they are not evaluated, so what they name need not travel."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign) and node.value is None:
            node.annotation = ast.Constant(value=0)
    return ast.unparse(tree)


def _surroundings(value: Any) -> dict[str, Any]:
    """Return what the names of a function or class mean: its module's globals, and what it closes over."""
    if isinstance(value, type):
        methods = [one for one in vars(value).values() if isinstance(one, FunctionType)]
        return {name: item for method in methods for name, item in _surroundings(method).items()}
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    closed = {}
    for name, cell in cells:
        try:
            closed[name] = cell.cell_contents
        except ValueError:  # a cell that has not been filled yet
            continue
    return {**value.__globals__, **closed}
