"""Values and calls in Relax, as the converters of :mod:`.linked` and :mod:`.rows` write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy


def const(array: Any) -> Any:
    """Return an array as a constant."""
    from tvm import relax

    return relax.const(numpy.ascontiguousarray(array), str(array.dtype))


def integers(values: Sequence[int]) -> Any:
    """Return integers as a constant the kernels read their settings from."""
    return const(numpy.array([int(v) for v in values], "int64"))


def given(value: Any) -> list[Any]:
    """Return an optional argument as a list of one or none."""
    return [] if value is None else [value]


def shape(value: Any) -> list[Any]:
    """Return the sizes of a value; dynamic ones are expressions."""
    return list(value.ty.shape)


def rank(value: Any) -> int:
    """Return the number of axes."""
    return len(value.ty.shape)


def sizes(node: Any, image: Any) -> list[Any] | None:
    """Return the sizes of a convolution's result: its batch is the image's, the rest must be known."""
    rest = list(node.meta["val"].shape)[1:]
    return [shape(image)[0], *rest] if all(isinstance(size, int) for size in rest) else None


def call(importer: Any, name: str, arguments: Sequence[Any], shape: Sequence[Any]) -> Any:
    """Call a kernel of ``c/external.c``, which writes a float32 result of this shape."""
    from tvm import relax

    result = relax.TensorType(relax.ShapeExpr(list(shape)), "float32")
    return importer.block_builder.emit(relax.op.call_dps_packed(name, list(arguments), result))
