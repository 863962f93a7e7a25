"""Conditions of tasks: the part of CEL that Kubeflow's compiler writes.

``inputs.parameter_values['n'] > 2 && !(int(inputs.parameter_values['k']) == 3)``. The text is turned into
Python's operators outside quotes, parsed, and walked; nothing of it is executed.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import InputError

_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|&&|\|\||!=|!")
_WORDS = {"&&": " and ", "||": " or ", "!": " not "}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_CASTS: dict[str, Callable[[Any], Any]] = {"int": int, "double": float, "string": str, "bool": bool}


def parse(text: str, where: str) -> ast.expr:
    """Return the tree of a condition.

    Raises
    ------
    InputError
        If it is no expression of the part that is understood.

    Examples
    --------
    >>> tree = parse("inputs.parameter_values['n'] > 2 && true", "task")
    >>> evaluate(tree, {"n": 3})
    True
    """
    try:
        tree = ast.parse(_TOKEN.sub(_python, text).strip(), mode="eval").body
        for node in ast.walk(tree):
            _check(node)
    except (SyntaxError, ValueError) as error:
        raise InputError(
            f"the condition {text!r} is not understood: {error}",
            where=where,
            fix="compare parameters with ==, !=, <, <=, >, >= and join them with &&, || and !",
        ) from error
    return tree


def evaluate(tree: ast.expr, parameters: Mapping[str, Any]) -> bool:
    """Return whether a condition holds for a task's parameters."""
    return bool(_value(tree, parameters))


def _python(match: re.Match[str]) -> str:
    return _WORDS.get(match.group(), match.group())


def _check(node: ast.AST) -> None:
    known = (
        ast.BoolOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Subscript, ast.Attribute, ast.Name, ast.Constant,
        ast.And, ast.Or, ast.Not, ast.USub, ast.Load, *_COMPARE,
    )  # fmt: skip
    if not isinstance(node, known):
        raise ValueError(f"{type(node).__name__} is not supported")  # noqa: TRY004 - one kind for parse()
    if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in _CASTS):
        raise ValueError("only int(), double(), string() and bool() can be called")
    if isinstance(node, ast.Name) and node.id not in ("inputs", "true", "false", "null", *_CASTS):
        raise ValueError(f"{node.id} is not known")
    if isinstance(node, ast.Attribute) and ast.unparse(node) != "inputs.parameter_values":
        raise ValueError(f"{ast.unparse(node)} is not known")


def _value(node: ast.expr, parameters: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return {"true": True, "false": False}.get(node.id)
    if isinstance(node, ast.Subscript):
        return parameters[str(_value(node.slice, parameters))]
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name), "parse() saw to it"
        return _CASTS[node.func.id](_value(node.args[0], parameters))
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, parameters)
        return not value if isinstance(node.op, ast.Not) else -value
    if isinstance(node, ast.BoolOp):
        values = (_value(one, parameters) for one in node.values)
        return all(values) if isinstance(node.op, ast.And) else any(values)
    assert isinstance(node, ast.Compare), "parse() saw to it"
    left = _value(node.left, parameters)
    return _COMPARE[type(node.ops[0])](left, _value(node.comparators[0], parameters))
