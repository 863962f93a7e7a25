"""How large each dynamic size may be: what the program was captured for, kept beside the compiled model.

A compiled graph often takes sizes that its program does not, and answers nonsense or reads foreign memory; so a session
checks them, whatever the backend.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic import write_bytes
from ..errors import CorruptArtifact
from ..input_sizes import Bounds

if TYPE_CHECKING:
    from .source import Source

LIMITS_FILE = "limits.json"
_ENDLESS = 1 << 31
_OWN_LEAST = 2
"""The exporter's own lower bound of a dynamic size; the graph takes less as well."""


def limits_of(source: Source) -> Bounds:
    """Return the bounds of a program's dynamic sizes; an ONNX file states none."""
    if source.is_onnx:
        return {}
    from .emit.fold import parameters

    program: Any = source.program
    held = {node for node, _ in parameters(program)}
    inputs = [node for node in program.graph.nodes if node.op == "placeholder" and node not in held]
    ranges = {str(symbol): bounds for symbol, bounds in program.range_constraints.items()}
    found: dict[str, tuple[int, int | None]] = {}
    for spec, node in zip(source.signature.inputs, inputs, strict=False):
        for dim, size in zip(spec.shape, getattr(node.meta.get("val"), "shape", ()), strict=False):
            bounds = ranges.get(str(size))
            if not isinstance(dim, str) or bounds is None:
                continue
            most = int(bounds.upper) if bounds.upper < _ENDLESS else None
            least = int(bounds.lower) if bounds.lower > _OWN_LEAST else 0
            if least or most is not None:
                found[dim] = (least, most)
    return found


def write_limits(folder: Path, limits: Bounds) -> None:
    """Write the bounds of a compiled folder."""
    write_bytes(folder / LIMITS_FILE, json.dumps(dict(limits), sort_keys=True).encode())


def read_limits(folder: Path) -> Bounds:
    """Return the bounds of a compiled folder.

    Raises
    ------
    CorruptArtifact
        If the file is missing or damaged.
    """
    path = folder / LIMITS_FILE
    try:
        found: Mapping[str, Any] = json.loads(path.read_bytes())
        return {
            str(name): (int(least), None if most is None else int(most))
            for name, (least, most) in found.items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CorruptArtifact(
            f"the limits cannot be read: {error}", where=str(path), fix="compile it again"
        ) from error
