"""One tensor of the Open Inference Protocol: numpy on one side, JSON values or raw bytes on the other.

JSON carries finite numbers only (the JSON standard has no NaN); raw bytes carry every IEEE value, NaN and
infinity included, because they are values a model may be meant to see. Bytes are little-endian and row-major.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadRequest, ServeError

Array = NDArray[Any]

DATATYPES = {
    "BOOL": "bool",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
"""Protocol name -> numpy name."""

_NAMES = {numpy_name: name for name, numpy_name in DATATYPES.items()}
_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}  # dtype kind -> kinds of JSON values it takes
_BIG = (">",) if sys.byteorder == "little" else (">", "=")
_MAX_RANK = 32  # numpy holds 64; no model comes near, and a bound keeps hostile shapes cheap


def datatype_of(dtype: str) -> str:
    """Return the protocol's name of a numpy dtype.

    Raises
    ------
    ServeError
        If the protocol has no name for it.

    Examples
    --------
    >>> datatype_of("float32")
    'FP32'
    """
    if dtype not in _NAMES:
        raise ServeError(
            f"dtype {dtype} has no Open Inference Protocol name", fix="one of " + ", ".join(_NAMES)
        )
    return _NAMES[dtype]


def dtype_of(datatype: object, *, where: str) -> np.dtype[Any]:
    """Return the numpy dtype (little-endian) of a protocol datatype.

    Raises
    ------
    BadRequest
        If `datatype` is not one of :data:`DATATYPES`.
    """
    name = DATATYPES.get(datatype) if isinstance(datatype, str) else None
    if name is None:
        raise BadRequest(
            f"datatype {datatype!r} is not supported", where=where, fix="one of " + ", ".join(DATATYPES)
        )
    return _little(name)


@lru_cache
def _little(name: str) -> np.dtype[Any]:
    return np.dtype(name).newbyteorder("<")


def check_shape(shape: object, *, where: str) -> tuple[int, ...]:
    """Return a request's shape as a tuple of sizes, each zero or more."""
    sizes = shape if isinstance(shape, list) else None
    if sizes is None or len(sizes) > _MAX_RANK or not all(type(size) is int and size >= 0 for size in sizes):
        raise BadRequest(
            "shape must be a list of whole numbers that are not negative", where=where, fix="e.g. [1, 384]"
        )
    return tuple(sizes)


def from_json(data: object, dtype: np.dtype[Any], shape: tuple[int, ...], *, where: str) -> Array:
    """Return the array written as a flat or nested list.

    Raises
    ------
    BadRequest
        If the list is ragged, has the wrong number or kind of values, or a value does not fit `dtype`.
    """
    if not isinstance(data, list):
        raise BadRequest("data must be a list", where=where, fix="flat in row-major order, or nested")
    loose = _numbers(data, dtype, where=where)
    if loose.ndim != 1 and loose.shape != shape:
        raise BadRequest(f"data has shape {list(loose.shape)}", where=where, fix=_needs(shape))
    if loose.size != math.prod(shape):
        raise BadRequest(f"data has {loose.size} values", where=where, fix=_needs(shape))
    return _reshape(_cast(loose, dtype, where=where), shape, where=where)


def from_bytes(data: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...], *, where: str) -> Array:
    """Return the array that lies in `data`, without a copy when its start is aligned.

    Raises
    ------
    BadRequest
        If the number of bytes is not that of `dtype` and `shape`, or a BOOL byte is neither 0 nor 1.
    """
    expected = math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise BadRequest(
            f"{len(data)} bytes of binary data", where=where, fix=f"{_needs(shape)}: {expected} bytes"
        )
    raw: Array = np.frombuffer(data, np.uint8)
    if dtype.kind == "b" and raw.size and int(raw.max()) > 1:
        raise BadRequest("a BOOL byte is neither 0 nor 1", where=where)
    array: Array = raw.view(dtype)
    if (
        not array.flags.aligned
    ):  # the protocol aligns nothing, and a kernel may fault or crawl at an odd address
        array = array.copy()
    return _reshape(array, shape, where=where)


def to_json(array: Array, *, where: str) -> list[Any]:
    """Return the array's values as a flat list.

    Raises
    ------
    ServeError
        If it holds NaN or infinity, which JSON cannot carry.
    """
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        raise ServeError(
            "the values hold NaN or infinity, which JSON cannot carry",
            where=where,
            fix='ask for them as bytes: "parameters": {"binary_data": true}',
        )
    return array.reshape(-1).tolist()


def to_bytes(array: Array) -> memoryview:
    """Return the values as little-endian bytes, row-major, without a copy when they lie so already."""
    little = array if array.flags.c_contiguous else np.ascontiguousarray(array)
    if little.dtype.byteorder in _BIG:
        little = little.astype(little.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _numbers(data: list[Any], dtype: np.dtype[Any], *, where: str) -> Array:
    """Return the list as an array of a kind that `dtype` can hold without a change of meaning."""
    try:
        loose = np.asarray(data)
        if loose.size == 0 or loose.dtype.kind in _KINDS[dtype.kind]:
            return loose
        # numpy rounds whole numbers beyond 2**63 to floats; as Python's own they stay exact.
        exact = np.asarray(data, object)
    except (ValueError, OverflowError) as error:
        raise BadRequest("data is ragged or nested too deep", where=where) from error
    if dtype.kind in "iu" and all(type(value) is int for value in exact.flat):
        return exact
    raise BadRequest(f"data holds values that are not {datatype_of(dtype.name)}", where=where)


def _cast(loose: Array, dtype: np.dtype[Any], *, where: str) -> Array:
    """Cast numbers to the asked dtype, refusing those that do not fit."""
    if dtype.kind in "iu" and loose.size:
        limits = np.iinfo(dtype)
        fits = limits.min <= int(loose.min()) and int(loose.max()) <= limits.max
    elif dtype.kind == "f":
        with np.errstate(over="ignore"):
            fits = bool(np.isfinite(loose.astype(dtype)).all())
    else:
        fits = True
    if not fits:
        raise BadRequest(f"data holds a value outside the range of {datatype_of(dtype.name)}", where=where)
    return loose.astype(dtype, copy=False)


def _reshape(array: Array, shape: tuple[int, ...], *, where: str) -> Array:
    try:
        return array.reshape(shape)
    except (ValueError, OverflowError) as error:  # a zero size beside one that no memory could hold
        raise BadRequest(f"shape {list(shape)} cannot be held", where=where) from error


def _needs(shape: Sequence[int]) -> str:
    return f"shape {list(shape)} needs {math.prod(shape)} values"
