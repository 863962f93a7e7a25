"""Which sizes a program's inputs may have, as it was captured, and whether some tensors have them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import BadTensor
from .types import Signature, TensorSpec

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram


class Size(NamedTuple):
    """One size of an input: its name (a fixed one's number), its symbol (a fixed one has none), and its bounds."""

    name: int | str
    symbol: str
    least: float
    most: float

    def __str__(self) -> str:
        bounds = (f" >= {self.least:g}" if self.least else "") + (
            f" <= {self.most:g}" if self.most < math.inf else ""
        )
        return f"{self.name}{bounds if self.symbol else ''}"


Bounds = Mapping[str, tuple[int, int | None]]
"""Least and largest value of dynamic sizes by name; None: any. Those that may have any value are left out."""


def check_bounds(bounds: Bounds, spec: TensorSpec, shape: tuple[int, ...], *, where: str) -> None:
    """Refuse a size that the program was not captured for; the shape has as many axes as the spec.

    Raises
    ------
    BadTensor
        If a dynamic size is smaller or larger; names it, its bounds and how to widen them.
    """
    for dim, size in zip(spec.shape, shape, strict=True):
        least, most = bounds.get(dim, (0, None)) if isinstance(dim, str) else (0, None)
        if size < least or (most is not None and size > most):
            takes = (
                f"{least} to {most}" if least and most else f"at most {most}" if most else f"at least {least}"
            )
            raise BadTensor(
                f"{dim} is {size}, the model takes {takes}",
                where=where,
                fix="split or pad the input, or let the module take other sizes and capture it again",
            )


def input_sizes(program: ExportedProgram, signature: Signature) -> dict[str, list[Size]] | None:
    """Return the sizes of every input by name; None if one is computed from others, which only the module checks."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    values = [
        nodes[name].meta["val"] for name in program.graph_signature.user_inputs if isinstance(name, str)
    ]
    found: dict[str, list[Size]] = {}
    for spec, value in zip(signature.inputs, values, strict=True):
        sizes = [
            _size(name, size, program.range_constraints)
            for name, size in zip(spec.shape, value.shape, strict=True)
        ]
        found[spec.name] = [size for size in sizes if size is not None]
        if len(found[spec.name]) < len(sizes):
            return None
    return found


def _size(name: int | str, size: Any, ranges: Mapping[Any, Any]) -> Size | None:
    if isinstance(size, int):
        return Size(size, "", size, size)
    symbol = size.node.expr
    if not symbol.is_Symbol or symbol not in ranges:
        return None
    least = float(ranges[symbol].lower)  # up to 2 it is the exporter's own, which takes a size of one as well
    return Size(name, str(symbol), least if least > 2 else 0, float(ranges[symbol].upper))


def check_sizes(feeds: Mapping[str, Tensor], sizes: Mapping[str, list[Size]]) -> None:
    """Refuse what the program was not captured for: its graph could take it and answer nonsense.

    Raises
    ------
    BadTensor
        If a rank or a size does not fit, or one dynamic size differs between inputs.
    """
    seen: dict[str, int] = {}
    for name, wanted in sizes.items():
        shape = feeds[name].shape
        if len(shape) != len(wanted) or not all(
            want.least <= size <= want.most
            and (not want.symbol or seen.setdefault(want.symbol, size) == size)
            for size, want in zip(shape, wanted, strict=True)
        ):
            raise BadTensor(
                f"{name} is {list(shape)}, the program takes [{', '.join(map(str, wanted))}]",
                where=name,
                fix="a name stands for one size in all inputs; for others, capture it with wider ones: --dynamic",
            )
