"""The functions of a TVM module: their machine code, its loops, and what TVM wrote them from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import MissingInput
from ...kernels import target_named
from ..emit.disassembly import FLOAT, INTEGER, Loop, Routine, disassemble, loops
from ..emit.record import LIBRARY_FILE, read_record
from .lowering import IR_FILE

_ENTRY = "__tvm_ffi_"
_NOT_OPERATORS = ("_library_bin", "mlops_threads", "main")
_BY_ADDRESS = ("multiply_chunk", "one_row", "micro", "pixels_chunk", "outputs_chunk")
"""What our ternary kernels call through a table, which a disassembly does not show."""


@dataclass(frozen=True)
class Function:
    """One function of the module: its innermost loops, the hottest first, and its text in TVM's notation."""

    name: str
    target: str
    loops: tuple[Loop, ...]
    routines: tuple[Routine, ...]
    ir: tuple[str, ...]


def is_relax(compiled: Path) -> bool:
    """Tell whether the backend tvm compiled a folder."""
    return (compiled / IR_FILE).is_file()


def functions(compiled: Path) -> list[Function]:
    """Return all functions, the one whose hottest loop multiplies most first.

    Raises
    ------
    CorruptArtifact
        If the shared object was changed.
    MissingDependency
        If the disassembler is not installed.
    """
    target = read_record(compiled).target
    routines = disassemble(compiled / LIBRARY_FILE, target_named(target))
    texts = _texts((compiled / IR_FILE).read_text())
    used = "\n".join(texts.get("main", ()))
    found = [
        _function(name, target, routines, texts)
        for name in (each.removeprefix(_ENTRY) for each in routines if each.startswith(_ENTRY))
        if name not in _NOT_OPERATORS and (not name.startswith("mlops_") or f'"{name}"' in used)
    ]
    return sorted(found, key=lambda one: -one.loops[0].multiplies if one.loops else 1)


def function_named(compiled: Path, name: str) -> Function:
    """Return one function; the hottest for an empty name.

    Raises
    ------
    MissingInput
        If there is none of this name; names near ones.
    """
    known = functions(compiled)
    chosen = [one for one in known if not name or one.name == name]
    if not chosen:
        names = [one.name for one in known]
        near = difflib.get_close_matches(name, names, 3) or names[:8]
        raise MissingInput(
            f"the module has no function {name!r}", where=name, fix="one of: " + ", ".join(near)
        )
    return chosen[0]


def _function(
    name: str, target: str, routines: dict[str, Routine], texts: dict[str, tuple[str, ...]]
) -> Function:
    reached = tuple(_reach(name, routines))
    inner = [loop for routine in reached for loop in loops(routine, (INTEGER, FLOAT))]
    ranked = tuple(sorted(inner, key=lambda loop: (-loop.multiplies, len(loop.body))))
    return Function(name, target, ranked, reached, texts.get(name, ()))


def _reach(name: str, routines: dict[str, Routine]) -> Iterator[Routine]:
    """Yield the code of a function and of what it calls, but no other function of the module."""
    waiting, seen = [_ENTRY + name], set[str]()
    ternary = name.startswith("mlops_") and "ternary" in name
    if ternary:
        waiting += [each for each in routines if each.startswith(_BY_ADDRESS)]
    while waiting:
        each = waiting.pop(0)
        pool = each.startswith("tern_") and not ternary  # it runs whatever it is given, our other kernels too
        if pool or each in seen or (each.startswith(_ENTRY) and each != _ENTRY + name):
            continue
        seen.add(each)
        yield routines[each]
        waiting += sorted(routines[each].mentions - seen)


def _texts(script: str) -> dict[str, tuple[str, ...]]:
    """Return the text of every function of a module in TVM's notation."""
    found: dict[str, list[str]] = {}
    name, head = "", ""
    for line in script.splitlines():
        if line.startswith("    @"):
            name, head = "", line
        elif not name and (start := re.match(r"    def (\w+)\(", line)):
            name = start[1]
            found[name] = [head, line]
        elif name:
            found[name].append(line)
    return {key: tuple(line.removeprefix("    ") for line in lines) for key, lines in found.items()}
