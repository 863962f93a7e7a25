"""A ternary linear layer on numpy arrays: exact sums, or quantize, multiply, scale, add, activate in one call."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from ..errors import BadTensor
from .library import ACTIVATIONS, library
from .packed import PackedTernary

Floats = npt.NDArray[np.float32]


def linear(
    packed: PackedTernary,
    x: npt.ArrayLike,
    w_scale: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    activation: str = "none",
    threads: int = 1,
    target: str = "host",
) -> Floats:
    """Return ``act(x W^T + bias)`` with int8 activations found per row (BitNet b1.58, arXiv:2402.17764).

    Parameters
    ----------
    packed
        The weight, N rows of K.
    x
        ``[..., K]``, any float type and strides. A row with NaN or Inf gives a row of NaN.
    w_scale
        ``[N, G]`` (or ``[N]``): the scale of each row, or of each group of a row.
    bias
        ``[N]`` or None.
    activation
        ``"none"``, ``"relu"``, ``"gelu"`` (with erf) or ``"silu"``.
    threads
        How many may take part; the caller is one of them.
    target
        Which kernels; see :func:`workbench.kernels.library.library`.

    Returns
    -------
    numpy.ndarray
        float32 ``[..., N]``.

    Raises
    ------
    BadTensor
        If shapes do not fit one another, or there is no such activation.

    Examples
    --------
    >>> import numpy as np
    >>> from workbench.kernels.packed import pack
    >>> packed = pack(np.array([[0b10_01_00_10], [0b00_00_10_01]], np.uint8), 3)
    >>> linear(packed, np.array([[127.0, 1, -3]]), [0.5, 1.0]).tolist()
    [[63.0, 4.0]]
    """
    array = np.ascontiguousarray(x, np.float32)
    if array.ndim == 0 or array.shape[-1] != packed.k:
        raise BadTensor(f"the last dimension of x is {packed.k}, not {list(array.shape)}", where="linear")
    scales = _floats(w_scale, packed.n * packed.groups, "w_scale")
    offsets = None if bias is None else _floats(bias, packed.n, "bias")
    out = np.empty((*array.shape[:-1], packed.n), np.float32)
    kernels = library(target)
    code = kernels.calls.tern_linear(
        ctypes.byref(packed.matrix),
        scales.ctypes.data,
        None if offsets is None else offsets.ctypes.data,
        array.ctypes.data,
        out.ctypes.data,
        array.size // packed.k,
        activation_number(activation),
        threads,
    )
    kernels.check(code, "linear")
    return out


def accumulate(
    packed: PackedTernary, q: npt.ArrayLike, *, threads: int = 1, target: str = "host"
) -> npt.NDArray[np.int32]:
    """Return the exact sums ``q W^T``, int32 ``[M, N]``, the same on every instruction set.

    Parameters
    ----------
    packed
        The weight, N rows of K.
    q
        int8 ``[M, K]``.
    threads, target
        As for :func:`linear`.

    Raises
    ------
    BadTensor
        If `q` is no int8 ``[M, K]``.

    Examples
    --------
    >>> import numpy as np
    >>> from workbench.kernels.packed import pack
    >>> packed = pack(np.array([[0b10_01_00_10]], np.uint8), 3)
    >>> accumulate(packed, np.array([[100, 7, -3]], np.int8)).tolist()
    [[93]]
    """
    q = np.ascontiguousarray(q)
    if q.dtype != np.int8 or q.ndim != 2 or q.shape[1] != packed.k:
        raise BadTensor(f"q is int8 [M, {packed.k}], not {q.dtype} {list(q.shape)}", where="accumulate")
    out = np.empty((len(q), packed.n), np.int32)
    kernels = library(target)
    code = kernels.calls.tern_accumulate(
        ctypes.byref(packed.matrix), q.ctypes.data, out.ctypes.data, len(q), threads
    )
    kernels.check(code, "accumulate")
    return out


def activation_number(name: str) -> int:
    """Return the C constant of an activation.

    Raises
    ------
    BadTensor
        If there is none of this name.
    """
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise BadTensor(
            f"no activation is called {name!r}", where="activation", fix=", ".join(ACTIVATIONS)
        ) from None


def _floats(values: npt.ArrayLike, size: int, name: str) -> Floats:
    array = np.ascontiguousarray(values, np.float32)
    if array.size != size:
        raise BadTensor(f"{name} has {array.size} values, not {size}", where=name)
    return array
