"""A function as source text that a fresh process can run: what a step ships instead of a pickle.

An importable function travels as ``module:qualname`` with the digest of its module's source. Any other
(defined in a notebook cell) travels as text: its own source without ``wb.step``, preceded by what it uses of
its surroundings — imports, other functions and classes, plain constants. Text can be read, digests the same
everywhere, and executing it is all that a container needs. What it imports must be there for a fresh process.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from ..codec import digest, register
from ..errors import InputError
from .callables import fingerprint_of, is_importable, target_of

_HEAD = "from __future__ import annotations\n"
TEXT_BYTES = 1 << 20
"""The most that source may take: it goes through databases and messages, data does not belong there."""
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
        If its source cannot be found, it uses an object that has no source (a tensor, an open file), or it
        imports what a fresh process has not.
    """
    if is_importable(function):
        return FunctionSource(target_of(function), fingerprint_of(function))
    where = target_of(function)
    gathered: dict[str, str] = {}
    _gather(function, where, gathered)
    text = _HEAD + "\n".join(gathered.values()) + "\n"
    if len(text) > TEXT_BYTES:
        raise InputError(
            f"its source with the constants it uses takes {len(text)} bytes; {TEXT_BYTES} are the most",
            where=where,
            fix="give the data as an argument, or read it inside the function",
        )
    _check_imports(text, where)
    return FunctionSource(where, digest({"source": text}), text)


def execute(name: str, text: str) -> Callable[..., Any]:
    """Return the function of this name in a source text, which is run to get it."""
    file = f"<step {name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"__name__": "workbench_step"}
    exec(compile(text, file, "exec", dont_inherit=True), namespace)  # noqa: S102 - running the user's code is the purpose
    return namespace[name]  # type: ignore[no-any-return]


def _gather(value: Any, where: str, gathered: dict[str, str]) -> None:
    """Add a function or class, and before it what it uses, to the texts by name."""
    value = inspect.unwrap(value)
    name = value.__name__
    if name in gathered:
        return
    gathered[name] = ""  # a function may call itself
    surroundings = _surroundings(value)
    text = _text(value, where, surroundings)
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


def _text(value: Any, where: str, surroundings: Mapping[str, Any]) -> str:
    try:
        text = textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError) as error:
        raise InputError(
            "its source cannot be found", where=where, fix="define it in a notebook cell or in a file"
        ) from error
    node = ast.parse(text).body[0]
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        raise InputError("only functions written with def can be steps", where=where, fix="write def")
    kept = [f"@{ast.unparse(one)}" for one in node.decorator_list if not _is_step(one, surroundings)]
    return "\n".join([*kept, *text.splitlines()[node.lineno - 1 :]])


def _is_step(decorator: ast.expr, surroundings: Mapping[str, Any]) -> bool:
    """Return whether a decorator is ``wb.step``, which stays behind."""
    from .dsl.step import step

    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.value
    value = surroundings.get(node.id) if isinstance(node, ast.Name) else None
    for name in path:
        value = getattr(value, name, None)
    return value is step


def _check_imports(text: str, where: str) -> None:
    """Refuse modules that a fresh process could not import; what is tried (``try: import x``) may be absent."""
    tree = ast.parse(text)
    tried = {id(node) for one in ast.walk(tree) if isinstance(one, ast.Try) for node in ast.walk(one)}
    for node in ast.walk(tree):
        if id(node) in tried or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or "."]
        for top in (name.partition(".")[0] for name in names):
            if not top or not any(finder.find_spec(top, None) for finder in sys.meta_path):
                raise InputError(
                    f"it imports {top or 'relatively'}, which a fresh process cannot find",
                    where=where,
                    fix="install it, or put it on PYTHONPATH",
                )


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
