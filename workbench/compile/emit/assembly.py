"""The assembly of a layer's kernel: which functions a layer runs, and where they spend their time."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError, MissingInput
from ...kernels import target_named
from ...kernels.features import cpu_maker
from .disassembly import FLOAT, INTEGER, Loop, Routine, disassemble, loops
from .record import LIBRARY_FILE, RECORD_FILE, read_record
from .text import SOURCE_FILE

_OPERATOR = re.compile(
    r"/\* (?:module (?P<quote>['\"])(?P<path>[^\n]*?)(?P=quote)|the module itself): (?P<what>[^\n]*) \*/\n"
    r"OPERATOR void (?P<name>\w+)\((?P<body>.*?)\n}\n",
    re.DOTALL,
)
_A_PANEL = 4  # multiplies of the least loop that works on more than a rest
_THROUGH_TABLES = {
    "tern_linear(": ("multiply_chunk", "one_row", "micro"),
    "tern_conv(": ("pixels_chunk", "channels_chunk", "groups_chunk", "outputs_chunk", "one_output"),
}
"""What the kernels call by address, which a disassembly does not always show."""
_PERMUTES = re.compile(r"^(?:vpermb|tbl|vrgather)")


@dataclass(frozen=True)
class Layer:
    """One operator of a compiled model: the module it comes from, what it computes, its C function."""

    path: str
    what: str
    function: str
    body: str

    @property
    def layout(self) -> str:
        """``T2`` or ``T5`` if it runs a packed ternary weight, else empty."""
        found = re.search(r"TERN_(T[25])", self.body)
        return found[1] if found else ""


@dataclass(frozen=True)
class Kernel:
    """A layer's functions and its loops, the hottest first."""

    layer: Layer
    target: str
    loops: tuple[Loop, ...]


def layers(compiled: Path) -> list[Layer]:
    """Return the operators of a compiled folder, in the order in which they run.

    Raises
    ------
    InputError
        If another backend compiled it.
    """
    if not (compiled / RECORD_FILE).is_file():
        raise InputError(
            "only what the backend ternary compiled is machine code",
            where=str(compiled),
            fix="%mlops compile NAME --backend ternary",
        )
    text = (compiled / SOURCE_FILE).read_text()
    return [Layer(m["path"] or "", m["what"], m["name"], m["body"]) for m in _OPERATOR.finditer(text)]


def kernel(compiled: Path, layer: str, function: str = "") -> Kernel:
    """Return the loops of a layer's kernel.

    Parameters
    ----------
    compiled
        A folder that the backend ternary made.
    layer
        The path of a module (its last, most expensive operator counts), or the name of a C function; empty for
        the operator with the hottest loop.
    function
        Take the loops of this function only.

    Raises
    ------
    MissingInput
        If there is no such layer or function; names near ones.
    MissingDependency
        If the disassembler is not installed.
    CorruptArtifact
        If the shared object was changed.
    """
    record = read_record(compiled)
    chosen = _choose(layers(compiled), layer)
    routines = disassemble(compiled / LIBRARY_FILE, target_named(record.target))
    ranked = [(one, _ranked(one, routines)) for one in chosen]
    best, found = max(ranked, key=lambda pair: pair[1][0].multiplies if pair[1] else -1)
    if function:
        names = sorted({loop.routine.name for loop in found})
        if function not in names:
            raise _missing(f"the layer runs no function {function!r}", function, names)
        found = [loop for loop in found if loop.routine.name == function]
    return Kernel(best, record.target, tuple(found))


def _choose(known: list[Layer], wanted: str) -> list[Layer]:
    if not wanted:
        return known
    chosen = [layer for layer in known if wanted in (layer.path, layer.function)]
    if not chosen:
        names = list(dict.fromkeys(layer.path for layer in known if layer.path))
        raise _missing(f"no operator comes from a layer {wanted!r}", wanted, names)
    return chosen


def _missing(what: str, wanted: str, names: list[str]) -> MissingInput:
    near = difflib.get_close_matches(wanted, names, 3) or names[:8]
    return MissingInput(what, where=wanted, fix="one of: " + ", ".join(near))


def _ranked(layer: Layer, routines: dict[str, Routine]) -> list[Loop]:
    """Return the innermost loops a layer runs that fit its packing, the hottest first.

    For a packed layer that is the loop for one row of activations, the case people compile for: in a function of
    its own, or the shortest of those in the common one.
    """
    multiply = (INTEGER,) if layer.layout else (INTEGER, FLOAT)
    found = [
        loop
        for routine in _reach(layer, routines)
        for loop in loops(routine, multiply)
        if _fits(loop, layer.layout)
    ]
    working = [loop for loop in found if loop.multiplies] or found
    return sorted(working, key=_for_one_row if layer.layout else _most_work)


def _most_work(loop: Loop) -> tuple[int, int]:
    return -loop.multiplies, len(loop.body)


def _for_one_row(loop: Loop) -> tuple[int, bool, int]:
    name = loop.routine.name
    others = name.endswith(("_intel", "_amd")) and not name.endswith(cpu_maker())
    if name.startswith("one_row"):
        return 0, others, -loop.multiplies
    many = name.startswith("rows_")
    return (
        1 + many,
        others,
        loop.multiplies if loop.multiplies >= _A_PANEL else _A_PANEL + 1000 - loop.multiplies,
    )


def _fits(loop: Loop, layout: str) -> bool:
    """Tell whether a loop is for a packing: decoding 1.6 bits permutes bytes, 2 bits does not."""
    name = loop.routine.name
    if not layout:
        return True
    other = "T5" if layout == "T2" else "T2"
    if other in name.upper().split("_"):
        return False
    decodes = any(_PERMUTES.match(instruction.text) for instruction in loop.body)
    return not (loop.multiplies and decodes and layout == "T2")


def _reach(layer: Layer, routines: dict[str, Routine]) -> Iterator[Routine]:
    """Yield the functions a layer reaches; those that are called through a table are known by name."""
    start = next((n for n in routines if n.split(".")[0] == layer.function), "")
    waiting, seen = [start] if start else [], set[str]()
    for call, names in _THROUGH_TABLES.items():
        if call in layer.body:
            waiting += [n for n in routines if n.startswith((*names, f"rows_TERN_{layer.layout}_"))]
    while waiting:
        name = waiting.pop(0)
        if name in seen or (name.startswith("op") and name != start):
            continue
        seen.add(name)
        yield routines[name]
        waiting += sorted(routines[name].mentions - seen)
