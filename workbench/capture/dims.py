"""Dynamic dimensions: which ones to ask torch.export for, and what to call those it found.

Three ways to ask:

``auto``
    Every dimension of every input may change; torch.export fixes those the model needs fixed.
``none``
    Every size is fixed.
``ids:0=batch,1=tokens;mask:0=batch,1=tokens``
    These, by input and position; two that share a name always have equal sizes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..types import Dim, TensorSpec

if TYPE_CHECKING:
    from torch import Tensor

Wanted = dict[str, dict[int, str | None]]
"""Dynamic dimensions by input and position; the name is None where torch.export is to find out."""

_ITEM = re.compile(r"\s*(\d+)\s*=\s*([A-Za-z_]\w*)\s*")
_SYNTAX = 'auto, none, or like "ids:0=batch,1=tokens;mask:0=batch,1=tokens"'


def parse(text: str, tensors: Mapping[str, Tensor]) -> Wanted:
    """Return the dynamic dimensions that `text` asks for.

    Raises
    ------
    InputError
        If the text is malformed or names an input or a position that is not there.
    """
    if text == "none":
        return {}
    if text == "auto":
        return {name: dict.fromkeys(range(t.ndim)) for name, t in tensors.items()}
    wanted: Wanted = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, colon, items = part.partition(":")
        if not colon or name not in tensors:
            raise InputError(
                f"dynamic: {part!r} names no input",
                where="dynamic",
                fix=f"inputs: {', '.join(tensors)}; {_SYNTAX}",
            )
        wanted[name] = dict(_position(item, name, tensors[name].ndim) for item in items.split(","))
    return wanted


def _position(item: str, name: str, rank: int) -> tuple[int, str]:
    found = _ITEM.fullmatch(item)
    if not found:
        raise InputError(f"dynamic: {item!r} is not POSITION=NAME", where="dynamic", fix=_SYNTAX)
    if int(found[1]) >= rank:
        raise InputError(f"dynamic: {name!r} has {rank} dimensions, there is no {found[1]}", where="dynamic")
    return int(found[1]), found[2]


def widen(tensors: Mapping[str, Tensor], wanted: Wanted) -> dict[str, Tensor]:
    """Return the examples with size-1 dynamic dimensions doubled.

    torch.export takes a size of 1 for a constant, so a batch of one would give a program for batches of
    one. Unnamed dimensions are doubled only where all inputs agree that the first is a batch of one.
    """
    shaped = [t for t in tensors.values() if t.ndim]
    one = bool(shaped) and all(t.shape[0] == 1 for t in shaped)
    wide = dict(tensors)
    for name, positions in wanted.items():
        for position, label in positions.items():
            if tensors[name].shape[position] == 1 and (label is not None or (one and position == 0)):
                wide[name] = wide[name].repeat_interleave(2, position)
    return wide


class Names:
    """Readable, stable names for the symbolic sizes of one program.

    Parameters
    ----------
    inputs
        Symbolic shape of every input, by name.
    wanted
        Names the caller chose.
    """

    def __init__(self, inputs: Mapping[str, Any], wanted: Wanted) -> None:
        self._names: dict[str, str] = {}
        places: dict[str, list[tuple[str, int]]] = {}
        for name, shape in inputs.items():
            for position, size in enumerate(shape):
                if symbol := _symbol(size):
                    places.setdefault(symbol, []).append((name, position))
        for symbol, found in places.items():
            given = [label for n, p in found if (label := wanted.get(n, {}).get(p))]
            self._names[symbol] = self._free(given[0] if given else _default(found, len(inputs), self._names))

    def _free(self, name: str) -> str:
        taken = set(self._names.values())
        return (
            name if name not in taken else next(n for i in range(2, 999) if (n := f"{name}_{i}") not in taken)
        )

    def spec(self, name: str, dtype: str, shape: Any) -> TensorSpec:
        """Return the signature entry of a tensor with this symbolic shape."""
        return TensorSpec(name, dtype, tuple(self._size(name, i, s) for i, s in enumerate(shape)))

    def _size(self, name: str, position: int, size: Any) -> Dim:
        """Return the size, its name, or an expression of names such as ``2*batch``."""
        expression = str(size if isinstance(size, int) else size.node.expr)
        if expression.isdigit():
            return int(expression)
        symbols = set(re.findall(r"\b[su]\d+\b", expression))
        if not symbols <= set(self._names):
            return f"{name}_{position}"  # depends on the data: torch gave it a symbol of its own
        return re.sub(r"\b[su]\d+\b", lambda m: self._names[m[0]], expression)


def _symbol(size: Any) -> str | None:
    """Return the symbol of a size that is one symbol, else None."""
    if isinstance(size, int):
        return None
    text = str(size.node.expr)
    return text if re.fullmatch(r"[su]\d+", text) else None


def _default(places: list[tuple[str, int]], inputs: int, taken: Mapping[str, str]) -> str:
    name, position = places[0]
    if position == 0 and "batch" not in taken.values():
        return "batch"
    return f"dim_{position}" if inputs == 1 or len(places) > 1 else f"{name}_{position}"
