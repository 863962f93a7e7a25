"""A tensor of the generated code: a buffer, and how its elements lie in it.

Views cost nothing: a permuted, sliced or expanded tensor is the same buffer with other strides. Only where an
operator needs its rows in one piece is a view copied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sympy

from .sizes import Shape, product, same

Kind = Literal["input", "output", "weight", "arena"]
ZERO, ONE = sympy.Integer(0), sympy.Integer(1)

C_TYPES = {
    "float32": "float", "float64": "double", "int64": "int64_t", "int32": "int32_t", "int16": "int16_t",
    "int8": "int8_t", "uint8": "uint8_t", "bool": "uint8_t", "float16": "uint16_t",
}  # fmt: skip
"""C type by dtype; a bool is a byte that is 0 or 1, a float16 its bits: only inputs and outputs are one."""

BYTES = {
    "float32": 4, "float64": 8, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1, "float16": 2,
}  # fmt: skip


@dataclass(eq=False)
class Buffer:
    """Memory for `count` elements; two buffers are never equal, even if they look the same.

    One that turns out to be an output of the model becomes it: everyone who holds it sees its new place.
    """

    name: str
    kind: Kind
    dtype: str
    count: sympy.Expr

    @property
    def size_bytes(self) -> sympy.Expr:
        """Its size."""
        return self.count * BYTES[self.dtype]


@dataclass(frozen=True)
class Tensor:
    """A view of a buffer: element ``[i, j]`` lies at ``offset + i * strides[0] + j * strides[1]``."""

    buffer: Buffer
    shape: Shape
    strides: Shape
    offset: sympy.Expr = ZERO

    @property
    def dtype(self) -> str:
        """The dtype of its elements."""
        return self.buffer.dtype

    @property
    def is_contiguous(self) -> bool:
        """Whether its elements lie in order without gaps."""
        expected = contiguous_strides(self.shape)
        return all(
            size == 1 or same(stride, want)
            for size, stride, want in zip(self.shape, self.strides, expected, strict=True)
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is its buffer, in order, from the first element to the last."""
        return self.is_contiguous and self.offset == 0 and same(product(self.shape), self.buffer.count)

    def permute(self, order: Sequence[int]) -> Tensor:
        """Return it with its axes in another order."""
        axes = [axis % len(self.shape) for axis in order]
        return self._with(tuple(self.shape[a] for a in axes), tuple(self.strides[a] for a in axes))

    def expand(self, shape: Shape) -> Tensor:
        """Return it broadcast to a shape, as numpy does."""
        gap = len(shape) - len(self.shape)
        strides = tuple(
            ZERO if size == 1 and want != 1 else stride
            for size, stride, want in zip(self.shape, self.strides, shape[gap:], strict=True)
        )
        return self._with(shape, (ZERO,) * gap + strides)

    def slice(self, axis: int, start: sympy.Expr, size: sympy.Expr, step: sympy.Expr = ONE) -> Tensor:
        """Return `size` elements of an axis, from `start` in steps of `step`."""
        shape, strides = list(self.shape), list(self.strides)
        offset = self.offset + start * strides[axis]
        shape[axis], strides[axis] = size, strides[axis] * step
        return dataclasses.replace(self, shape=tuple(shape), strides=tuple(strides), offset=offset)

    def select(self, axis: int, index: sympy.Expr) -> Tensor:
        """Return one element of an axis, without the axis."""
        part = self.slice(axis, index, ONE)
        keep = [a for a in range(len(part.shape)) if a != axis % len(part.shape)]
        return part.permute(keep)

    def reshape(self, shape: Shape) -> Tensor | None:
        """Return it in another shape, or None if that needs a copy."""
        if self.is_contiguous:
            return self._with(shape, contiguous_strides(shape))
        old: list[tuple[sympy.Expr, sympy.Expr]] = []
        for size, stride in zip(self.shape, self.strides, strict=True):
            if size == 1:
                continue
            if old and same(old[-1][1], stride * size):  # walked in one stride: the two are one axis
                size *= old.pop()[0]
            old.append((sympy.expand(size), stride))
        strides: list[sympy.Expr] = []
        for size in reversed(shape):  # the last axes first: each must fit into one old axis
            if size == 1:
                strides.append(ZERO)
                continue
            if not old:
                return None
            whole, stride = old.pop()
            strides.append(stride)
            if same(whole, size):
                continue
            rest = sympy.cancel(whole / size)
            if rest.is_Integer or (rest.is_polynomial() and sympy.denom(rest) == 1):
                old.append((rest, stride * size))
            else:
                return None
        return None if old else self._with(shape, tuple(reversed(strides)))

    def rows(self) -> tuple[sympy.Expr, sympy.Expr] | None:
        """Return the number of rows (all axes but the last) and their stride, or None if they have none."""
        if not self.shape or not (self.shape[-1] == 1 or self.strides[-1] == 1):
            return None
        flat = self.permute(range(len(self.shape) - 1)).reshape((product(self.shape[:-1]),))
        return None if flat is None else (flat.shape[0], flat.strides[0])

    def _with(self, shape: Shape, strides: Shape) -> Tensor:
        return dataclasses.replace(self, shape=tuple(shape), strides=tuple(strides))


def contiguous_strides(shape: Shape) -> Shape:
    """Return the strides of a tensor whose elements lie in order."""
    strides = [ONE]
    for size in reversed(shape[1:]):
        strides.append(sympy.expand(strides[-1] * size))
    return tuple(reversed(strides)) if shape else ()


def whole(buffer: Buffer, shape: Shape) -> Tensor:
    """Return a buffer as a tensor."""
    return Tensor(buffer, shape, contiguous_strides(shape))
