"""Look at the machine code of a compiled layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError
from ..pipeline.naming import compiled_of
from ..pipeline.result import Result
from ..render.listing import Listing
from ..render.table import Table
from ..store import Store

if TYPE_CHECKING:
    from ..compile.emit.assembly import Kernel
    from ..compile.emit.disassembly import Loop

_SHOWN = 12  # loops in the table
_CONTEXT = 6  # instructions around the hot loop


def asm(
    artifact: str, *, layer: str = "", function: str = "", full: bool = False, store: Store | None = None
) -> Result:
    """Show the assembly of a layer's kernel, its hot loop marked.

    Parameters
    ----------
    artifact
        What the backend ternary compiled, or a program or variant that it compiled last.
    layer
        The path of a module, such as ``blocks.0.linear1``; empty for the one that multiplies most.
    function
        Another of the functions that the layer runs; the table names them.
    full
        Show the whole function instead of the loop and a few instructions around it.

    Returns
    -------
    Result
        A table of the loops, the hottest first, and the listing.

    Raises
    ------
    UnknownArtifact
        If the artifact is not there, or was never compiled.
    InputError
        If another backend compiled it.
    MissingInput
        If there is no such layer or function; names near ones.
    MissingDependency
        If the disassembler is not installed.
    """
    from ..compile.emit.assembly import kernel, layers

    store = store or Store()
    digest = compiled_of(store, artifact)
    folder = store.artifacts.path(digest)
    known = layers(folder)
    found = kernel(folder, layer, function)
    if not found.loops:
        raise InputError(
            f"the layer {layer!r} has no loop: {found.layer.what}",
            where=found.layer.function,
            fix="layers: " + ", ".join(dict.fromkeys(one.path for one in known if one.path)),
        )
    hot = found.loops[0]
    details = {"function": hot.routine.name, "target": found.target, "layer": found.layer.path}
    return Result(
        f"assembly of {artifact}, {found.layer.path or found.layer.function}, {found.target}",
        (_table(found),),
        digest,
        artifact,
        {"instructions": len(hot.body), "multiplies": hot.multiplies},
        details,
        (_listing(hot, full),),
        store,
    )


def _table(found: Kernel) -> Table:
    rows = tuple(
        (loop.routine.name, f"{loop.body[0].address:x}", len(loop.body), loop.multiplies)
        for loop in found.loops[:_SHOWN]
    )
    left = len(found.loops) - len(rows)
    note = f"{found.layer.what}; the first loop is the hot one" + (f"; {left} more loops" if left else "")
    return Table(("function", "loop at", "instructions", "multiply-adds"), rows, note=note)


def _listing(hot: Loop, full: bool) -> Listing:
    lines = [f"{each.address:>8x}  {each.text}" for each in hot.routine.instructions]
    marked = range(hot.first, hot.last + 1)
    title = f"{hot.routine.name}: hot loop of {len(hot.body)} instructions, {hot.multiplies} of them multiply-adds"
    return Listing(title, lines, marked, None if full else _CONTEXT)
