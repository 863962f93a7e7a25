"""The constants of a model: one file that the assembler puts into the shared object, and the forms they take.

A matrix that is multiplied with is stored as the kernel reads it: panels of 16 columns, each row of a panel
in one piece, so that the inner loop walks memory in order.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy
import sympy

from .tensors import Buffer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[Any]

ALIGNMENT = 64
PANEL = 16  # columns; runtime/gemm.h has the same number


class Weights:
    """Constants by content: equal ones are stored once."""

    def __init__(self) -> None:
        self._buffers: dict[str, Buffer] = {}
        self.offsets: dict[Buffer, int] = {}
        self.blob = bytearray()

    def add(self, array: Array) -> Buffer:
        """Store an array and return its buffer."""
        data, dtype = array.tobytes(), str(array.dtype)
        key = f"{dtype} {hashlib.sha256(data).hexdigest()}"
        if key not in self._buffers:
            buffer = Buffer(f"w{len(self._buffers)}", "weight", dtype, sympy.Integer(array.size))
            self._buffers[key] = buffer
            self.offsets[buffer] = len(self.blob)
            self.blob += data + bytes(-len(data) % ALIGNMENT)
        return self._buffers[key]


def to_array(tensor: Tensor) -> Array:
    """Return a constant as a contiguous array."""
    array = tensor.detach().cpu().contiguous().numpy()
    return numpy.ascontiguousarray(array).reshape(tuple(tensor.shape))


def panels(matrix: Array) -> Array:
    """Return a matrix [rows, columns] as panels [columns / 16, rows, 16], the last filled up with zeros.

    Examples
    --------
    >>> panels(numpy.ones((2, 17), numpy.float32)).shape
    (2, 2, 16)
    """
    rows, columns = matrix.shape
    filled = numpy.zeros((rows, -(-columns // PANEL) * PANEL), matrix.dtype)
    filled[:, :columns] = matrix
    return numpy.ascontiguousarray(filled.reshape(rows, -1, PANEL).transpose(1, 0, 2))
