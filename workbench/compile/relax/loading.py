"""Runs ``model.so`` on TVM's small runtime: no compiler, no torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ...errors import BadTensor, CompileError
from ...input_sizes import check_bounds
from ...kernels.packed import aligned
from ...program import read_signature
from ..emit.loader import check_cpu
from ..emit.record import LIBRARY_FILE, read_record
from ..limits import read_limits
from .package import runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_CPU, _POOLED = 1, 2


class RelaxRunner:
    """One forward pass of a compiled folder. The virtual machine runs one at a time.

    Parameters
    ----------
    compiled
        A compiled folder.
    threads
        Threads of TVM's pool, which is one for the process, and of our kernels.

    Raises
    ------
    CorruptArtifact
        If a file is missing or was changed.
    CompileError
        If it was compiled for another machine, or this processor lacks an instruction set it needs.
    MissingDependency
        If the runtime is not installed.
    """

    def __init__(self, compiled: Path, threads: int = 1) -> None:
        check_cpu(read_record(compiled), compiled)
        self._ffi = runtime()
        self._signature = read_signature(compiled)
        self._inputs = [spec.name for spec in self._signature.inputs]
        self._outputs = [spec.name for spec in self._signature.outputs]
        self._limits = read_limits(compiled)
        try:
            library = self._ffi.load_module(str((compiled / LIBRARY_FILE).absolute()))
            self._machine = library["vm_load_executable"]()
        except (RuntimeError, AttributeError) as error:
            raise CompileError(f"the library cannot be loaded: {error}", where=str(compiled)) from error
        self._machine["vm_initialization"](_CPU, 0, _POOLED)
        self._main = self._machine["main"]
        self._lock = threading.Lock()
        self._places: list[_Place | None] = [None] * len(self._signature.inputs)
        self._ffi.get_global_func("runtime.config_threadpool")(1, threads)
        if library.implements_function("mlops_threads"):
            library["mlops_threads"](threads)

    def watch(self, callback: Callable[..., int]) -> None:
        """Have `callback` called around every function: with it, its name, whether before, result and arguments."""
        self._machine["set_instrument"](self._ffi.convert(callback))

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Any]:
        """Return the outputs by name.

        Raises
        ------
        BadTensor
            If a size is larger than the model takes, or sizes do not belong together.
        """
        arrays = [feeds[name] for name in self._inputs]
        if self._limits:
            for spec, array in zip(self._signature.inputs, arrays, strict=True):
                check_bounds(self._limits, spec, array.shape, where=f"input {spec.name!r}")
        try:
            with self._lock:
                given = self._main(*map(self._placed, range(len(arrays)), arrays))
                several = isinstance(given, self._ffi.Array)
                values = [given[i] for i in range(len(given))] if several else [given]
                copies = [numpy.from_dlpack(value).copy() for value in values]
        except (RuntimeError, ValueError, TypeError) as error:
            words = ", ".join(
                f"{s.name}: {list(a.shape)}" for s, a in zip(self._signature.inputs, arrays, strict=True)
            )
            raise BadTensor(
                f"the model refused its inputs: {str(error).strip().splitlines()[-1]}", where=words
            ) from error
        return dict(zip(self._outputs, copies, strict=True))

    def _placed(self, number: int, array: Array) -> Any:
        """Return an input as TVM takes it, at its place: the one of the call before, where the sizes are the same."""
        source = numpy.asarray(array)
        place = self._places[number]
        if place is None or place.array.shape != source.shape or place.array.dtype != source.dtype:
            place = self._places[number] = _Place.like(source, self._ffi)
        place.array[...] = source
        return place.tensor


@dataclass
class _Place:
    """Memory for one input at a multiple of 64, as generated code loads whole vectors; and TVM's view of it."""

    array: Array
    tensor: Any

    @classmethod
    def like(cls, source: Array, ffi: Any) -> _Place:
        """Return a place for arrays like this one."""
        array = aligned(max(source.nbytes, 1))[: source.nbytes].view(source.dtype).reshape(source.shape)
        return cls(array, ffi.from_dlpack(array))
