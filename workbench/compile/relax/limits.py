"""How large each dynamic size may be: what the program was captured for, kept beside the library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atomic import write_bytes
from ...errors import BadTensor, CorruptArtifact
from ...types import TensorSpec

if TYPE_CHECKING:
    from ..source import Source

LIMITS_FILE = "limits.json"
_ENDLESS = 1 << 31


@dataclass(frozen=True)
class Limits:
    """The largest value of each dynamic size, by its name in the signature; endless ones are left out."""

    largest: Mapping[str, int]

    def check(self, spec: TensorSpec, shape: tuple[int, ...]) -> None:
        """Raise :class:`BadTensor` if a size is larger than the program was captured for."""
        for dim, size in zip(spec.shape, shape, strict=True):
            if isinstance(dim, str) and size > self.largest.get(dim, size):
                raise BadTensor(
                    f"{dim} is {size}, the model takes at most {self.largest[dim]}",
                    where=f"input {spec.name!r}",
                    fix="split the input, or capture the model with a wider range",
                )


def limits_of(source: Source) -> Limits:
    """Return the limits of a program; an ONNX file states none."""
    if source.is_onnx:
        return Limits({})
    from ..emit.fold import parameters

    program: Any = source.program
    held = {node for node, _ in parameters(program)}
    inputs = [node for node in program.graph.nodes if node.op == "placeholder" and node not in held]
    ranges = {str(symbol): bounds for symbol, bounds in program.range_constraints.items()}
    found: dict[str, int] = {}
    for spec, node in zip(source.signature.inputs, inputs, strict=False):
        for dim, size in zip(spec.shape, getattr(node.meta.get("val"), "shape", ()), strict=False):
            bounds = ranges.get(str(size))
            if isinstance(dim, str) and bounds is not None and bounds.upper < _ENDLESS:
                found[dim] = int(bounds.upper)
    return Limits(found)


def write_limits(folder: Path, limits: Limits) -> None:
    """Write the limits of a compiled folder."""
    write_bytes(folder / LIMITS_FILE, json.dumps(dict(limits.largest), sort_keys=True).encode())


def read_limits(folder: Path) -> Limits:
    """Return the limits of a compiled folder.

    Raises
    ------
    CorruptArtifact
        If the file is missing or damaged.
    """
    path = folder / LIMITS_FILE
    try:
        largest = json.loads(path.read_bytes())
        return Limits({str(name): int(size) for name, size in largest.items()})
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CorruptArtifact(
            f"the limits cannot be read: {error}", where=str(path), fix="compile it again"
        ) from error
