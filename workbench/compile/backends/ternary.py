"""C for the whole model, compiled for a target: ``model.so`` with its weights inside, and a header.

Loading needs numpy and nothing else: no torch, no compiler. Any program compiles, whether or not its layers are
ternary; those that are run in the kernels of :mod:`workbench.kernels`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import CompileError, MissingDependency, WorkbenchError
from ..base import Progress
from ..config import CompileConfig
from ..options import NoOptions
from ..source import Source

if TYPE_CHECKING:
    from ...session import Runner


class Ternary:
    """Writes C and calls the target's compiler."""

    name = "ternary"
    about = "C for the whole model, for a target; needs no runtime"
    reference = False
    options = NoOptions
    schemes = ("none", "int8-dynamic")

    @property
    def targets(self) -> tuple[str, ...]:
        """The instruction sets it compiles for."""
        from ...kernels.targets import TARGETS

        return ("host", *TARGETS)

    def available(self) -> WorkbenchError | None:
        """Need nothing to load; :meth:`refuses` says which compiler is lacking."""
        return None

    def refuses(self, target: str) -> WorkbenchError | None:
        """Need a compiler for the target."""
        from ...kernels import compile_command, target_named

        try:
            compile_command(target_named(target))
        except MissingDependency as missing:
            return missing
        return None

    def compile(
        self, source: Source, out: Path, config: CompileConfig, progress: Progress
    ) -> Mapping[str, str]:
        """Write ``model.so``, ``mlops_model.h`` and ``mlops_model.c``.

        Raises
        ------
        MissingDependency
            If no compiler for the target is installed.
        CompileError
            If an operator has no C; names it, its module and the backends that take it.
        """
        from ...kernels import compile_command, target_named
        from ..emit.build import build_library, write_sources
        from ..emit.record import HEADER_FILE, LIBRARY_FILE, write_record
        from ..emit.text import SOURCE_FILE
        from ..emit.whole import emit

        if source.is_onnx:
            raise CompileError(
                "the backend ternary compiles torch programs, this one is an ONNX file",
                where=str(source.file),
                fix="use the backend onnxruntime",
            )
        target = target_named(config.target or "host")
        compile_command(target)  # a missing compiler shows before the work begins
        emitter, plan = emit(source, target.name)
        progress(0.5, f"compiling C for {target.name}")
        with tempfile.TemporaryDirectory(dir=out, prefix=".build-") as folder:
            write_sources(emitter, plan, Path(folder))
            build_library(Path(folder), target)
            for name in (LIBRARY_FILE, HEADER_FILE, SOURCE_FILE):
                shutil.move(Path(folder) / name, out / name)
        write_record(out, target.name, tuple(name.removeprefix("n_") for name in emitter.sizes.names))
        import torch

        return {"torch": str(torch.__version__), "target": target.name}

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return a runner of ``model.so``."""
        from ..emit.loader import NativeRunner

        return NativeRunner(compiled, threads)

    def rehearse(self, compiled: Path, threads: int) -> Runner:
        """Return what runs it for the check: itself, or an emulator if it was made for another machine."""
        from ...kernels.targets import runs_here, target_named
        from ..emit.record import read_record

        if runs_here(target_named(read_record(compiled).target)):
            return self.load(compiled, threads)
        from ..emit.emulated import EmulatedRunner

        return EmulatedRunner(compiled)


BACKEND = Ternary()
