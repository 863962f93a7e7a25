"""Refuse a program text that could run code while it is loaded.

``torch.export.load`` trusts its file. Reading torch 2.13's loader shows five ways in which the JSON of a
program reaches the interpreter, besides pickled records (which :mod:`workbench.archive` refuses outright):

1. a node's ``target`` is walked with ``getattr`` from ``torch``, ``operator`` or ``math``;
2. a symbolic size's ``expr_str`` goes through ``sympy.sympify``, which is ``eval``;
3. ``guards_code`` becomes the body of a generated function;
4. a tree spec may name a module to import (enums, default factories);
5. names of values are pasted into the generated ``forward``.

:func:`vet` walks the JSON and lets through only what a captured tensor program needs. It is a list of what is
allowed, so that a way in that we do not know is closed too.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from .errors import CorruptArtifact
from .operators import LIBRARIES

_NAME = re.compile(r"[A-Za-z_]\w*")
_WORD_OR_NUMBER = re.compile(r"(?!\w*__)[\w.+-]+")
# Of the names with two underscores only the operators: __dict__ and __init__ are attributes of the namespace.
_TORCH_OP = re.compile(
    r"torch\.ops\.([a-z]\w*)\.((?!__|name\b)[A-Za-z_]\w*|__i?(?:and|or|xor|[lr]shift)__)(?:\.([A-Za-z]\w*))?"
)
_TORCH_NAMESPACES = {"aten", "prims", "higher_order", *LIBRARIES}
_PYTHON_OPS = {
    "_operator": {
        "getitem", "add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "pow", "pos",
        "eq", "ne", "lt", "le", "gt", "ge", "and_", "or_",
    },
    "math": {"ceil", "floor", "trunc", "sqrt"},
    "torch": {
        "sym_int", "sym_float", "sym_max", "sym_min", "sym_not", "sym_ite", "sym_sum", "sym_sqrt",
        "_sym_sqrt",
    },
}  # fmt: skip
# Sizes are written by sympy.srepr: Mul(Integer(5), Symbol('s77', positive=True, integer=True)).
_FUNCTIONS = {
    "Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Equality", "Unequality", "LessThan",
    "StrictLessThan", "GreaterThan", "StrictGreaterThan", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Max", "Min",
    "And", "Or", "Not", "Abs", "floor", "ceiling",
    "Mod", "PythonMod", "FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing", "Where", "CeilToInt",
    "FloorToInt", "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv",
    "TruncToFloat",     "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity",
}  # fmt: skip
_ARITHMETIC = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call,
    ast.keyword, ast.operator, ast.unaryop, ast.cmpop, ast.BoolOp, ast.boolop,
)  # fmt: skip
_CONTAINERS = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}


def vet(program: Any, where: str) -> set[str]:
    """Check the JSON of a serialized program and return the operator namespaces that it uses.

    Raises
    ------
    CorruptArtifact
        If anything in it could run code at load time.
    """
    if not isinstance(program, dict) or program.get("guards_code") != []:
        raise refused("guard code in the program", where)
    if program["graph_module"].get("treespec_namedtuple_fields"):
        raise refused("a named tuple in the program", where)
    namespaces: set[str] = set()
    for key, value in _pairs(program):
        if key in ("target", "as_operator"):
            namespaces.add(_namespace(value, where))
        elif key in ("name", "as_name", "forward_arg_names"):
            _check_names(value, where)
        elif key == "expr_str":
            _check_expression(value, where)
        elif key in ("in_spec", "out_spec"):
            _check_tree(value, where)
        elif key == "as_custom_obj":
            raise refused("a pickled object", where)
    return namespaces


def _pairs(data: Any, *, signature: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield every key and value, deep. A ``target`` in a signature is a parameter's path, not an operator."""
    if isinstance(data, list):
        for value in data:
            yield from _pairs(value, signature=signature)
    elif isinstance(data, dict):
        for key, value in data.items():
            if not (signature and key == "target"):
                yield key, value
            # Graphs carry operators wherever they hide, so their nodes end the exception above.
            yield from _pairs(value, signature=key == "signature" or (signature and key != "nodes"))


def _namespace(target: Any, where: str) -> str:
    """Return the namespace of an operator that is allowed in a program."""
    found = _TORCH_OP.fullmatch(str(target))
    if found and found[1] in _TORCH_NAMESPACES:
        return found[1]
    module, _, name = str(target).rpartition(".")
    if name in _PYTHON_OPS.get(module, ()):
        return module
    raise refused(f"the operator {target!r}", where)


def _check_names(value: Any, where: str) -> None:
    for name in value if isinstance(value, list) else [value]:
        if name not in (None, "") and not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise refused(f"the value name {name!r}", where)


def _check_expression(text: Any, where: str) -> None:
    """Let through arithmetic over names and numbers, and calls of the size functions torch writes."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, TypeError, ValueError, RecursionError):
        raise refused(f"the size expression {text!r}", where) from None
    if not all(_is_plain(node) for node in ast.walk(tree)):
        raise refused(f"the size expression {text!r}", where)


def _is_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):  # strings: a symbol's name, a float's digits
        return isinstance(node.value, int | float) or _WORD_OR_NUMBER.fullmatch(str(node.value)) is not None
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if isinstance(node, ast.Name):
        return "__" not in node.id
    return isinstance(node, _ARITHMETIC)


def _check_tree(text: Any, where: str) -> None:
    if not text:
        return
    if "__enum__" in text or "default_factory" in text:
        raise refused("an importing tree spec", where)
    _check_node(json.loads(text)[1], where)


def _check_node(node: dict[str, Any], where: str) -> None:
    if node["type"] not in _CONTAINERS:
        raise refused(f"the container {node['type']!r}", where)
    for child in node["children_spec"]:
        _check_node(child, where)


def refused(what: str, where: str) -> CorruptArtifact:
    """Return the error for something a program file must not hold."""
    return CorruptArtifact(
        f"refused to load {what}: a program file may hold only tensors and tensor operators",
        where=where,
        fix="capture the model again from a source you trust",
    )
