"""Runs a compiled model through ctypes: numpy in, numpy out, no torch."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ...errors import BadTensor, CompileError
from ...kernels.targets import missing_features, target_named
from ...program import read_signature
from ...types import Signature
from .record import LIBRARY_FILE, CompiledTarget, read_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_LOOK = "check the sizes and the values of the inputs"
_ELSEWHERE = "compile it again with --target host, or run it on such a machine"
_STATUS = {
    1: (BadTensor, "a size is larger than the model takes", _LOOK),
    2: (BadTensor, "an input names a row that a table of the model does not have", _LOOK),
    3: (CompileError, "this processor lacks what the model was compiled for", _ELSEWHERE),
    4: (CompileError, "a kernel could not get its workspace", "free memory, or give it smaller inputs"),
}
_ALIGNMENT = 64


class NativeRunner:
    """One forward pass of a compiled folder. Threads may call it at the same time: each has its own arena.

    Parameters
    ----------
    compiled
        A compiled folder.
    threads
        Threads of the kernels that have a pool.

    Raises
    ------
    CorruptArtifact
        If a file is missing or was changed.
    CompileError
        If it was compiled for another machine, or this processor lacks an instruction set it needs.
    """

    def __init__(self, compiled: Path, threads: int = 1) -> None:
        record = read_record(compiled)
        check_cpu(record, compiled)
        self.signature = read_signature(compiled)
        self.library = _open(compiled / LIBRARY_FILE)
        self.library.mlops_model_set_threads(threads)
        self._shapes = Shapes(self.signature, record.sizes)
        self._local = threading.local()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Any]:
        """Return the outputs by name.

        Raises
        ------
        BadTensor
            If sizes do not belong together, or an index is out of range.
        """
        inputs = [numpy.asarray(feeds[spec.name], order="C") for spec in self.signature.inputs]
        sizes = self._shapes.sizes(inputs)
        shapes = self._shapes.all(self.library, sizes, inputs)
        outputs = [
            numpy.empty(shape, spec.dtype)
            for spec, shape in zip(self.signature.outputs, shapes[len(inputs) :], strict=True)
        ]
        status = self.library.mlops_model_run(
            _pointers(inputs),
            _pointers(outputs),
            sizes,
            self._arena(self.library.mlops_model_arena_bytes(sizes)),
        )
        if status:
            kind, what, fix = _STATUS[status]
            words = ", ".join(
                f"{s.name}: {list(a.shape)}" for s, a in zip(self.signature.inputs, inputs, strict=True)
            )
            raise kind(what, where=words, fix=fix)
        return {spec.name: array for spec, array in zip(self.signature.outputs, outputs, strict=True)}

    def _arena(self, size_bytes: int) -> int:
        """Return the address of this thread's memory, enlarged if it must be."""
        arena = getattr(self._local, "arena", None)
        if arena is None or arena.size < size_bytes + _ALIGNMENT:
            arena = self._local.arena = numpy.empty(size_bytes + _ALIGNMENT, numpy.uint8)
        address = int(arena.ctypes.data)
        return address + -address % _ALIGNMENT


class Shapes:
    """From arrays to dynamic sizes, and back to the shape of every input and output."""

    def __init__(self, signature: Signature, names: tuple[str, ...]) -> None:
        self._signature = signature
        self._names = names
        self._ranks = [len(spec.shape) for spec in (*signature.inputs, *signature.outputs)]

    def sizes(self, inputs: list[Array]) -> ctypes.Array[ctypes.c_int64]:
        """Return the dynamic sizes in the order of the code."""
        found = {
            dim: size
            for spec, array in zip(self._signature.inputs, inputs, strict=True)
            for dim, size in zip(spec.shape, array.shape, strict=True)
            if isinstance(dim, str)
        }
        return (ctypes.c_int64 * max(len(self._names), 1))(*(found[name] for name in self._names))

    def all(self, library: Any, sizes: Any, inputs: list[Array]) -> list[tuple[int, ...]]:
        """Return all shapes, after comparing those of the inputs with what the code will read."""
        flat = (ctypes.c_int64 * max(sum(self._ranks), 1))()
        library.mlops_model_shapes(sizes, flat)
        values, shapes = iter(flat), []
        for rank in self._ranks:
            shapes.append(tuple(next(values) for _ in range(rank)))
        for spec, array, shape in zip(self._signature.inputs, inputs, shapes, strict=False):
            if array.shape != shape:
                raise BadTensor(
                    f"shape is {list(array.shape)}, expected {list(shape)}", where=f"input {spec.name!r}"
                )
        return shapes


def check_cpu(record: CompiledTarget, compiled: Path) -> None:
    """Raise :class:`CompileError` if this processor cannot run what was compiled."""
    missing = missing_features(target_named(record.target))
    if missing:
        raise CompileError(
            f"the model was compiled for {record.target}; this processor has no {', '.join(missing)}",
            where=str(compiled),
            fix=_ELSEWHERE,
            missing=missing,
        )


def _open(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise CompileError(f"the shared object cannot be opened: {error}", where=str(path)) from error
    library.mlops_model_arena_bytes.restype = ctypes.c_size_t
    library.mlops_model_shapes.restype = None
    library.mlops_model_set_threads.restype = None
    library.mlops_model_run.argtypes = [ctypes.c_void_p] * 4
    return library


def _pointers(arrays: list[Array]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * max(len(arrays), 1))(*(array.ctypes.data for array in arrays))
