"""Runs a bundle for another machine: a C driver, under the target's emulator. Exact, never fast."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ...errors import CompileError, MissingDependency
from ...kernels import Target, target_named
from ...program import read_signature
from .build import build_driver
from .loader import Shapes
from .record import read_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_TIMEOUT_S = 300


class EmulatedRunner:
    """One forward pass under the emulator.

    Parameters
    ----------
    compiled
        A compiled folder for another machine.

    Raises
    ------
    MissingDependency
        If the emulator or the target's compiler is not installed.
    """

    def __init__(self, compiled: Path) -> None:
        record = read_record(compiled)
        self._target = target_named(record.target)
        self._command = emulator(self._target)
        self._signature = read_signature(compiled)
        self._names = record.sizes
        self._shapes = Shapes(self._signature, record.sizes)
        self._folder = Path(tempfile.mkdtemp(prefix="mlops-emulated-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._driver = build_driver(compiled, self._folder, self._target)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Any]:
        """Return the outputs by name.

        Raises
        ------
        CompileError
            If the program fails.
        """
        folder = self._folder
        inputs = [numpy.asarray(feeds[spec.name], order="C") for spec in self._signature.inputs]
        sizes = bytes(self._shapes.sizes(inputs))[: 8 * len(self._names)]
        (folder / "in").write_bytes(sizes + b"".join(array.tobytes() for array in inputs))
        command = [*self._command, str(self._driver), str(folder / "in"), str(folder / "out")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
        if done.returncode:
            raise CompileError(
                f"the model failed under {command[0]} with status {done.returncode}: {done.stderr.strip()[-500:]}",
                where=self._target.name,
            )
        return self._outputs((folder / "out").read_bytes(), inputs)

    def _outputs(self, data: bytes, inputs: list[Array]) -> dict[str, Any]:
        """Cut the driver's file into arrays; sizes that are not inputs' follow from what is left."""
        known = {
            dim: size
            for spec, array in zip(self._signature.inputs, inputs, strict=True)
            for dim, size in zip(spec.shape, array.shape, strict=True)
        }
        outputs, start = {}, 0
        for spec in self._signature.outputs:
            shape = [known.get(dim, dim) for dim in spec.shape]
            if any(isinstance(size, str) for size in shape):
                raise CompileError(
                    f"the size of {spec.name!r} is not one of an input's", where=self._target.name
                )
            count = int(numpy.prod(shape, dtype=numpy.int64))
            outputs[spec.name] = numpy.frombuffer(data, spec.dtype, count, start).reshape(shape)
            start += outputs[spec.name].nbytes
        return outputs


def emulator(target: Target) -> list[str]:
    """Return the command that runs a target's programs.

    Raises
    ------
    MissingDependency
        If it is not installed.
    """
    if not target.emulator or shutil.which(target.emulator[0]) is None:
        raise MissingDependency(
            f"nothing here runs a program for {target.name}, so it cannot be checked",
            where=target.name,
            fix="apt-get install qemu-user",
        )
    return [*target.emulator, *root_of(target)]


def root_of(target: Target) -> list[str]:
    """Return how an emulator is told where the target's libraries lie."""
    if target.machine in ("", platform.machine()):
        return []
    return ["-L", f"/usr/{target.machine}-linux-gnu"]
