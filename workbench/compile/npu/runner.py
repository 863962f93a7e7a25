"""Runs what was compiled for an NPU in the TOSA reference model, which defines every bit of the result."""

from __future__ import annotations

import struct
import subprocess
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy

from ...errors import CompileError, CorruptArtifact
from ...program import read_signature
from .environment import WORKER, python
from .record import TOSA_FILE, read_npu

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class TosaRunner:
    """One forward pass at a time, in the tool environment. Exact, never fast; rows of a batch one by one.

    Raises
    ------
    CorruptArtifact
        If a file is missing or damaged.
    MissingDependency
        If the tool environment cannot be made.
    """

    def __init__(self, compiled: Path) -> None:
        record = read_npu(compiled)
        if not (compiled / TOSA_FILE).is_file():
            raise CorruptArtifact(f"{TOSA_FILE} is missing", where=str(compiled), fix="compile it again")
        self._signature = read_signature(compiled)
        self._input, self._output = record["grids"]["input"], record["grids"]["output"]
        command = [str(python()), "-I", str(WORKER), "run", str((compiled / TOSA_FILE).absolute())]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._lock = threading.Lock()
        weakref.finalize(self, _end, self._process)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Any]:
        """Return the outputs by name, from int8 by the output's grid."""
        (source,), (given,) = self._signature.outputs, self._signature.inputs
        with self._lock:
            rows = [self._one(row[None]) for row in feeds[given.name]]
        scale, zero = self._output
        whole = numpy.concatenate(rows).astype(numpy.float32)
        return {source.name: (whole - numpy.float32(zero)) * numpy.float32(scale)}

    def _one(self, x: Array) -> Array:
        scale, zero = self._input
        q = numpy.clip(numpy.rint(x / numpy.float32(scale)) + zero, -128, 127).astype(numpy.int8)
        sink, source = self._process.stdin, self._process.stdout
        assert sink is not None
        assert source is not None
        sink.write(struct.pack(f"<i{q.ndim}q", q.ndim, *q.shape) + q.tobytes())
        sink.flush()
        (rank,) = struct.unpack("<i", _read(source, 4))
        shape = struct.unpack(f"<{rank}q", _read(source, 8 * rank))
        return numpy.frombuffer(_read(source, int(numpy.prod(shape))), numpy.int8).reshape(shape)


def _read(source: IO[bytes], count: int) -> bytes:
    data = source.read(count)
    if len(data) != count:
        raise CompileError("the TOSA reference model ended", where="ethos", fix="compile it again")
    return data


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close both ends: the worker stops where its input does."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait(30)
