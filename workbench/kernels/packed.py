"""A packed ternary weight: the bytes kernels read, and the file they are kept in.

The file (little endian) is one header of 128 bytes and the packed bytes, which so begin at a multiple of 64:

====== ====== ==========================================================================
offset bytes  meaning
====== ====== ==========================================================================
0      8      magic ``TERNPACK``
8      4      version of this format: 1
12     4      layout: 2 (2 bits a weight), 5 (1.6 bits), 8 (a byte; direct convolution)
16     8      K, weights of a row
24     8      N, rows of one matrix
32     8      G, scales of a row
40     8      count, matrices one after the other: 1, or a convolution's groups
48     8      kernel height and width (4 bytes each) of a convolution, else 0: its rows are ordered [tap][channel]
56     8      bytes that follow the header
64     32     SHA-256 of the header up to here and the packed bytes
96     32     zero
====== ====== ==========================================================================

How bytes map to weights is written in ``c/layout.h``; it is the same on every instruction set.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from ..errors import BadTensor, CorruptArtifact
from .library import Library, Matrix, library

LAYOUTS = {"t2": 2, "t5": 5, "s8": 8}
MAGIC, VERSION, ALIGNMENT = b"TERNPACK", 1, 64
_HEADER = struct.Struct("<8sIIqqqqIIQ")
_HEADER_BYTES, _DIGEST = 128, slice(64, 96)

Bytes = npt.NDArray[np.uint8]


def aligned(size: int) -> Bytes:
    """Return `size` zero bytes that begin at a multiple of 64."""
    room = np.zeros(size + ALIGNMENT, np.uint8)
    return room[-room.ctypes.data % ALIGNMENT :][:size]


@dataclass(frozen=True, eq=False)
class PackedTernary:
    """Rows of ternary weights in a layout that kernels read.

    Attributes
    ----------
    data : numpy.ndarray
        uint8, the packed bytes, aligned to 64.
    n, k : int
        Rows of one matrix, weights of a row.
    groups : int
        Scales of a row; `k` divides by it.
    layout : str
        ``"t2"``, ``"t5"``, or ``"s8"``.
    count : int
        Matrices: 1, or the groups of a convolution.
    kernel : tuple of int
        Height and width of a convolution's kernel, else ``(0, 0)``.
    """

    data: Bytes = field(repr=False)
    n: int
    k: int
    groups: int = 1
    layout: str = "t2"
    count: int = 1
    kernel: tuple[int, int] = (0, 0)

    @property
    def nbytes(self) -> int:
        """Packed bytes."""
        return self.data.nbytes

    @cached_property
    def matrix(self) -> Matrix:
        """The ``tern_matrix`` that points at the bytes; as long-lived as this object."""
        return Matrix(self.data.ctypes.data, self.n, self.k, self.groups, LAYOUTS[self.layout], self.count)

    def unpack(self) -> npt.NDArray[np.int8]:
        """Return the weights, int8 ``[count * n, k]`` of -1, 0, 1, in the order they are packed in."""
        out = np.empty((self.count * self.n, self.k), np.int8)
        calls = library()
        calls.check(calls.calls.tern_unpack(ctypes.byref(self.matrix), out.ctypes.data), "unpack")
        return out

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        header = bytearray(_HEADER_BYTES)
        layout = LAYOUTS[self.layout]
        sizes = (self.k, self.n, self.groups, self.count, *self.kernel, self.nbytes)
        _HEADER.pack_into(header, 0, MAGIC, VERSION, layout, *sizes)
        header[_DIGEST] = _digest(header, self.data)
        return bytes(header) + self.data.tobytes()

    @classmethod
    def from_bytes(cls, content: bytes | memoryview | Bytes, where: str = "packed weight") -> Self:
        """Read a file's content (bytes, or a memory map, which is not copied if aligned) and verify it.

        Raises
        ------
        CorruptArtifact
            If it is not such a file, of a newer version, cut short, or its checksum does not match.
        """
        raw = np.frombuffer(content, np.uint8)
        if raw.nbytes < _HEADER_BYTES or bytes(raw[:8]) != MAGIC:
            raise CorruptArtifact(
                "this is no packed ternary weight", where=where, fix="compile the model again"
            )
        header = bytes(raw[:_HEADER_BYTES])
        _, version, layout, k, n, groups, count, high, wide, size = _HEADER.unpack_from(header)
        if version != VERSION:
            raise CorruptArtifact(
                f"packed weights of version {version}; this workbench reads {VERSION}",
                where=where,
                fix="compile the model again",
            )
        data = raw[_HEADER_BYTES:]
        names = {number: name for name, number in LAYOUTS.items()}
        shape = Matrix(None, n, k, min(groups, 2**31 - 1), layout, count)
        expected = library().calls.tern_packed_bytes(ctypes.byref(shape)) if layout in names else 0
        if (
            not expected
            or expected != size
            or data.nbytes != size
            or header[_DIGEST] != _digest(header, data)
        ):
            raise CorruptArtifact(
                "the packed weights do not match their checksum", where=where, fix="compile the model again"
            )
        return cls(_align(data), n, k, groups, names[layout], count, (high, wide))


def _digest(header: bytes | bytearray, data: Bytes) -> bytes:
    digest = hashlib.sha256(header[: _DIGEST.start])
    digest.update(data.data)
    return digest.digest()


def _align(data: Bytes) -> Bytes:
    if data.ctypes.data % ALIGNMENT == 0:
        return data
    copy = aligned(data.nbytes)
    copy[:] = data
    return copy


def pack(
    codes: npt.ArrayLike, k: int, *, groups: int = 1, layout: str = "t2", target: str = "host"
) -> PackedTernary:
    """Pack canonical codes for the kernels.

    Parameters
    ----------
    codes
        uint8 ``[N, ceil(K/4)]``: four codes ``t + 1`` a byte, little end first along K.
    k
        Weights of a row.
    groups
        Scales of a row; `k` divides by it.
    layout
        ``"t2"`` (2 bits a weight) or ``"t5"`` (1.6 bits).
    target
        Whose library packs; the bytes are the same for all.

    Raises
    ------
    BadTensor
        If shapes do not fit one another.
    CorruptArtifact
        If a code is 3.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[0b10_01_00_10], [0b00_00_10_01]], np.uint8)
    >>> pack(codes, 3).unpack().tolist()
    [[1, -1, 0], [0, 1, -1]]
    """
    codes = np.ascontiguousarray(codes)
    if codes.dtype != np.uint8 or codes.ndim != 2 or k < 1 or codes.shape[1] != -(-k // 4):
        raise BadTensor(
            f"codes are uint8 [N, {-(-k // 4)}] for K = {k}, not {codes.dtype} {list(codes.shape)}",
            where="pack",
        )
    if layout not in LAYOUTS:
        raise BadTensor(f"no layout is called {layout!r}", where="pack", fix="t2 or t5")
    kernels = library(target)
    shape = Matrix(None, len(codes), k, groups, LAYOUTS[layout], 1)
    data = packed_by(kernels, kernels.calls.tern_pack, shape, shape, codes)
    return PackedTernary(data, len(codes), k, groups, layout)


def packed_by(
    kernels: Library, function: ctypes._FuncPointer, matrix: Matrix, shape: ctypes.Structure, codes: Bytes
) -> Bytes:
    """Return fresh bytes for `matrix`, filled by ``function(shape, codes, bytes)``."""
    size = kernels.calls.tern_packed_bytes(ctypes.byref(matrix))
    if not size:
        raise BadTensor(
            f"no such matrix: N = {matrix.n}, K = {matrix.k}, {matrix.groups} groups", where="pack"
        )
    data = aligned(size)
    kernels.check(function(ctypes.byref(shape), codes.ctypes.data, data.ctypes.data), "pack")
    return data
