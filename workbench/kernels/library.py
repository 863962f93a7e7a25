"""The compiled kernels as Python functions: ctypes signatures, and error codes turned into errors."""

from __future__ import annotations

import ctypes as c
import functools
from pathlib import Path
from typing import Any

from ..errors import BadTensor, CompileError, CorruptArtifact, WorkbenchError
from .build import build
from .targets import missing_features, target_named

ABI = 1
ACTIVATIONS = {"none": 0, "relu": 1, "gelu": 2, "silu": 3}


class Matrix(c.Structure):
    """``tern_matrix``."""

    _fields_ = (
        ("data", c.c_void_p),
        ("n", c.c_int64),
        ("k", c.c_int64),
        ("groups", c.c_int32),
        ("layout", c.c_int32),
        ("count", c.c_int64),
    )


class ConvShape(c.Structure):
    """``tern_conv_shape``."""

    _fields_ = (
        *((name, c.c_int64) for name in ("batch", "channels", "height", "width", "outputs", "groups")),
        *((name, c.c_int64 * 2) for name in ("kernel", "stride", "padding", "dilation")),
    )


_MATRIX, _CONV, _P, _I, _L = c.POINTER(Matrix), c.POINTER(ConvShape), c.c_void_p, c.c_int, c.c_int64
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "tern_isa": (c.c_char_p, []),
    "tern_abi": (_I, []),
    "tern_packed_bytes": (c.c_size_t, [_MATRIX]),
    "tern_pack": (_I, [_MATRIX, _P, _P]),
    "tern_unpack": (_I, [_MATRIX, _P]),
    "tern_conv_matrix": (_I, [_CONV, _MATRIX]),
    "tern_pack_conv": (_I, [_CONV, _P, _P]),
    "tern_accumulate": (_I, [_MATRIX, _P, _P, _L, _I]),
    "tern_linear": (_I, [_MATRIX, _P, _P, _P, _P, _L, _I, _I]),
    "tern_conv": (_I, [_MATRIX, _CONV, _P, _P, _P, _P, _I, _I]),
    "tern_conv_output": (_I, [_CONV, _L * 2]),
    "tern_quantize_row": (c.c_float, [_P, _L, _P]),
}
_FAILURES: dict[int, tuple[type[WorkbenchError], str]] = {
    1: (BadTensor, "a size is negative, zero or does not divide"),
    2: (CorruptArtifact, "the codes hold a 3, which is no ternary weight"),
    3: (BadTensor, "this packed layout does not fit the operation"),
    4: (CompileError, "out of memory"),
}


class Library:
    """One loaded shared library.

    Attributes
    ----------
    path : Path
        The file.
    isa : str
        The instruction set it says it was compiled for.
    calls : ctypes.CDLL
        Its functions, with signatures; they release the GIL.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.calls = c.CDLL(str(path))
        except OSError as error:
            raise CompileError(
                f"the compiled kernels cannot be loaded: {error}", where=str(path), fix=f"rm {path}"
            ) from error
        self.path = path
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self.calls, name)
            function.restype, function.argtypes = result, arguments
        if self.calls.tern_abi() != ABI:
            raise CompileError(
                "the compiled kernels have another interface", where=str(path), fix=f"rm {path}"
            )
        self.isa: str = self.calls.tern_isa().decode()

    def check(self, code: int, where: str) -> None:
        """Raise the error that a code stands for, if it is one."""
        if code:
            kind, what = _FAILURES.get(code, (CompileError, f"the kernel failed with code {code}"))
            raise kind(what, where=where)


@functools.cache
def library(target: str = "host") -> Library:
    """Return the kernels for a target, compiled on first use and loaded once a process.

    Parameters
    ----------
    target
        A name of :data:`workbench.kernels.targets.TARGETS`, or ``"host"``: the best this processor runs.

    Raises
    ------
    CompileError
        If there is no such target, it does not compile, or this processor could not run it.
    MissingDependency
        If no compiler is installed.

    Examples
    --------
    >>> library("generic").isa
    'generic'
    """
    wanted = target_named(target)
    missing = missing_features(wanted)
    if missing:
        raise CompileError(
            f"this processor cannot run {wanted.name}: it lacks {', '.join(missing)}",
            where=wanted.name,
            fix='library("host") takes the best that it runs: ' + target_named("host").name,
        )
    return Library(build(wanted))
