"""What a name in a command stands for.

::

    encoder             a variable of the notebook
    data.train.texts    an attribute of one
    shop.models:encoder an attribute of an importable module
    ./train.py:encoder  an attribute of a Python file

A shell has no variables, so there only the last two exist. Nothing is evaluated: a name is looked up.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import InputError, MissingInput


def resolve(name: str, namespace: Mapping[str, Any] | None, what: str) -> Any:
    """Return the object a name stands for.

    Parameters
    ----------
    name
        What the user typed.
    namespace
        The notebook's variables; ``None`` in a shell.
    what
        Its role, for the message: ``"the model"``.

    Raises
    ------
    MissingInput
        If there is no such variable, module, file or attribute; names the near ones.
    InputError
        If the module or file it lives in fails to import.

    Examples
    --------
    >>> resolve("math:pi", None, "a number")
    3.141592653589793
    >>> resolve("data.real", {"data": 2}, "a number")
    2
    """
    source, colon, attribute = name.rpartition(":")
    if colon and source and attribute:
        module = _from_file(Path(source)) if source.endswith(".py") else _from_name(source)
        return _attributes(module, attribute.split("."), source, what)
    head, *rest = name.split(".")
    if not all(part.isidentifier() for part in (head, *rest)) and namespace is not None:
        raise MissingInput(
            f"{name!r} is not a name ({what})",
            where=name,
            fix=f"give it one in a line above: x = {name}"
            if _is_expression(name)
            else "write a variable's name",
        )
    if namespace is not None and head in namespace:
        return _attributes(namespace[head], rest, head, what)
    if namespace is None:
        raise MissingInput(
            f"{name!r} does not say where {what} is",
            where=name,
            fix="write module:attribute or file.py:attribute",
        )
    raise MissingInput(
        f"the notebook has no variable {head!r} ({what})",
        where=name,
        fix=_near(head, [n for n in namespace if not n.startswith("_")])
        or f"run the cell that defines {head}",
    )


def _attributes(value: Any, path: list[str], owner: str, what: str) -> Any:
    for name in path:
        try:
            value = getattr(value, name)
        except AttributeError:
            near = _near(name, [n for n in dir(value) if not n.startswith("_")])
            raise MissingInput(
                f"{owner} has no attribute {name!r} ({what})",
                where=owner,
                fix=near or f"define {name} in {owner}",
            ) from None
        owner = f"{owner}.{name}"
    return value


def _from_name(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:  # a console script, unlike python -m, does not look in the working directory
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _broken(name, error) from error
        raise MissingInput(f"no module {name!r}", where=name, fix="check the name and PYTHONPATH") from None
    except Exception as error:
        raise _broken(name, error) from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise MissingInput(f"no file {str(path)!r}", where=str(path), fix="check the path")
    name, known = path.stem, sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path.absolute()):
        return known
    if known is not None:  # never shadow a module that others import by this name
        name = f"{name}_{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None or spec.loader is None:
        raise MissingInput(f"{str(path)!r} is not a Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _broken(str(path), error) from error
    return module


def _broken(where: str, error: Exception) -> InputError:
    return InputError(
        f"{where} fails to import: {type(error).__name__}: {error}", where=where, fix="repair it"
    )


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return not text.startswith("{")  # what the notebook could not fill in


def _near(name: str, known: list[str]) -> str:
    found = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {', '.join(found)}?" if found else ""
