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
    artifact: str,
    *,
    layer: str = "",
    function: str = "",
    full: bool = False,
    ir: bool = False,
    store: Store | None = None,
) -> Result:
    """Show the assembly of a layer's kernel, its hot loop marked.

    Parameters
    ----------
    artifact
        What the backend ternary or tvm compiled, or a program or variant that one of them compiled last.
    layer
        The path of a module, such as ``blocks.0.linear1``; empty for the one that multiplies most. TVM fuses
        layers, so its modules have functions only.
    function
        Another of the functions that the layer runs, or a function of a TVM module; the table names them.
    full
        Show the whole function instead of the loop and a few instructions around it.
    ir
        Of a TVM module: show what TVM generated the code from, in its own notation.

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
    from ..compile.relax.listing import is_relax

    store = store or Store()
    digest = compiled_of(store, artifact)
    folder = store.artifacts.path(digest)
    if is_relax(folder):
        return _of_tvm(store, artifact, digest, function or layer, full, ir)
    if ir:
        raise InputError(
            "only what the backend tvm compiled has an intermediate form",
            where=artifact,
            fix="leave out --ir",
        )
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


def _of_tvm(store: Store, artifact: str, digest: str, name: str, full: bool, ir: bool) -> Result:
    from ..compile.relax.listing import function_named, functions

    folder = store.artifacts.path(digest)
    found = function_named(folder, name)
    rows = tuple(
        (
            one.name,
            sum(len(each.instructions) for each in one.routines),
            one.loops[0].multiplies if one.loops else 0,
        )
        for one in functions(folder)
    )
    columns = ("function", "instructions", "multiply-adds of its hot loop")
    note = "--function NAME shows one, --ir what it was made from"
    hot = found.loops[0] if found.loops else None
    if ir:
        listing = Listing(f"{found.name}: TVM's tensor program", list(found.ir))
    elif hot is not None:
        listing = _listing(hot, full)
    else:
        code = found.routines[0].instructions
        listing = Listing(f"{found.name}: no loop", [f"{each.address:>8x}  {each.text}" for each in code])
    return Result(
        f"assembly of {artifact}, {found.name}, {found.target}",
        (Table(columns, rows, note=note),),
        digest,
        artifact,
        {"functions": len(rows), "multiplies": hot.multiplies if hot else 0},
        {"function": found.name, "target": found.target, "ir": "\n".join(found.ir)},
        (listing,),
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
