"""A ternary convolution on numpy arrays, over one or two dimensions, grouped and depthwise too."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import BadTensor
from .library import ConvShape, Matrix, library
from .linear import Floats, activation_number
from .packed import LAYOUTS, PackedTernary, packed_by

Sizes = tuple[int, ...]
_NAMES = {number: name for name, number in LAYOUTS.items()}


@dataclass(frozen=True)
class ConvGeometry:
    """How a kernel moves; each size has one number for each dimension, 1 or 2 of them.

    Attributes
    ----------
    kernel, stride, padding, dilation : tuple of int
        As torch's convolutions name them.
    groups : int
        Input channels and outputs are split into so many parts.
    """

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    groups: int = 1

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - a value, like its arguments
    def shape(self, batch: int, channels: int, size: Sizes, outputs: int) -> ConvShape:
        """Return the C structure; one dimension becomes a height of 1.

        Raises
        ------
        BadTensor
            If a size does not have one number for each dimension.
        """
        rank = len(size)
        fields = (self.kernel, self.stride, self.padding, self.dilation)
        if rank not in (1, 2) or any(len(values) != rank for values in fields):
            raise BadTensor(f"a convolution over {rank} dimensions does not fit {self}", where="conv")
        high, wide = (1, *size) if rank == 1 else size
        pairs = [
            (ctypes.c_int64 * 2)(*((filler, *values) if rank == 1 else values))
            for values, filler in zip(fields, (1, 1, 0, 1), strict=True)
        ]
        return ConvShape(batch, channels, high, wide, outputs, self.groups, *pairs)


def pack_conv(codes: npt.ArrayLike, channels: int, geometry: ConvGeometry) -> PackedTernary:
    """Pack the codes of a convolution's weight.

    Parameters
    ----------
    codes
        uint8 ``[O, ceil(K/4)]`` with ``K = channels / groups * prod(kernel)``, rows ordered as torch's weight.
    channels
        Input channels.
    geometry
        How the kernel moves.

    Raises
    ------
    BadTensor
        If shapes do not fit one another.
    CorruptArtifact
        If a code is 3.

    Examples
    --------
    >>> import numpy as np
    >>> geometry = ConvGeometry((3,), (1,), (0,), (1,))
    >>> packed = pack_conv(np.array([[0b10_01_00_10]], np.uint8), 1, geometry)
    >>> conv(packed, np.array([[[127.0, 1, 2, 3]]]), [1.0], geometry=geometry).tolist()
    [[[126.0, -1.0]]]
    """
    codes = np.ascontiguousarray(codes)
    k = channels // geometry.groups * int(np.prod(geometry.kernel)) if geometry.groups > 0 else 0
    if codes.dtype != np.uint8 or codes.ndim != 2 or k < 1 or codes.shape[1] != -(-k // 4):
        raise BadTensor(
            f"codes are uint8 [O, {-(-k // 4)}], not {codes.dtype} {list(codes.shape)}", where="conv"
        )
    # The size of the input does not matter for packing: one that the kernel just covers.
    reach = tuple(d * (size - 1) + 1 for d, size in zip(geometry.dilation, geometry.kernel, strict=True))
    shape = geometry.shape(1, channels, reach, len(codes))
    matrix, kernels = Matrix(), library()
    kernels.check(kernels.calls.tern_conv_matrix(ctypes.byref(shape), ctypes.byref(matrix)), "conv")
    data = packed_by(kernels, kernels.calls.tern_pack_conv, matrix, shape, codes)
    return PackedTernary(
        data, matrix.n, matrix.k, matrix.groups, _NAMES[matrix.layout], matrix.count, tuple(shape.kernel)
    )


def conv(
    packed: PackedTernary,
    x: npt.ArrayLike,
    w_scale: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    geometry: ConvGeometry,
    activation: str = "none",
    threads: int = 1,
    target: str = "host",
) -> Floats:
    """Return the convolution, scaled and activated, with int8 activations that have one scale a sample.

    Parameters
    ----------
    packed
        What :func:`pack_conv` returned for this geometry.
    x
        ``[batch, channels, length]`` or ``[batch, channels, height, width]``, any float type and strides.
    w_scale, bias
        ``[O]`` (or ``[O, 1]``); ``[O]`` or None.
    geometry
        How the kernel moves.
    activation, threads, target
        As for :func:`workbench.kernels.linear.linear`.

    Returns
    -------
    numpy.ndarray
        float32 ``[batch, O, ...]``.

    Raises
    ------
    BadTensor
        If shapes do not fit one another.
    """
    array = np.ascontiguousarray(x, np.float32)
    outputs = packed.n * packed.count
    if array.ndim < 3:
        raise BadTensor(f"x is [batch, channels, ...], not {list(array.shape)}", where="conv")
    shape = geometry.shape(array.shape[0], array.shape[1], array.shape[2:], outputs)
    if tuple(shape.kernel) != packed.kernel:
        raise BadTensor(f"packed for a kernel {packed.kernel}, not {tuple(shape.kernel)}", where="conv")
    kernels, size = library(target), (ctypes.c_int64 * 2)()
    kernels.check(kernels.calls.tern_conv_output(ctypes.byref(shape), size), "conv")
    out = np.empty((len(array), outputs, *size[2 - (array.ndim - 2) :]), np.float32)
    scales, offsets = _per_output(w_scale, outputs), None if bias is None else _per_output(bias, outputs)
    code = kernels.calls.tern_conv(
        ctypes.byref(packed.matrix),
        ctypes.byref(shape),
        scales.ctypes.data,
        None if offsets is None else offsets.ctypes.data,
        array.ctypes.data,
        out.ctypes.data,
        activation_number(activation),
        threads,
    )
    kernels.check(code, "conv")
    return out


def _per_output(values: npt.ArrayLike, outputs: int) -> Floats:
    array = np.ascontiguousarray(values, np.float32)
    if array.size != outputs:
        raise BadTensor(f"{array.size} scales or offsets for {outputs} outputs", where="conv")
    return array
