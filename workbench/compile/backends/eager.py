"""The reference backend: runs the program itself, in torch (an ONNX file: in onnxruntime, graph as written)."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import WorkbenchError, missing_dependency
from ...program import ONNX_FILE, read_program, read_signature, runner, to_arrays
from ..base import ForThisMachine, Progress
from ..config import CompileConfig
from ..source import Source
from ..torch_threads import torch_threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...session import Runner

    Array = NDArray[Any]


class Eager(ForThisMachine):
    """Copies the program; runs it operator by operator."""

    name = "eager"
    about = "the reference: torch, operator by operator"
    reference = True
    schemes = ("none",)

    def available(self) -> WorkbenchError | None:
        """Need torch."""
        return None if importlib.util.find_spec("torch") else missing_dependency("torch", "torch")

    def compile(
        self, source: Source, out: Path, config: CompileConfig, progress: Progress
    ) -> Mapping[str, str]:
        """Copy the program's file."""
        shutil.copyfile(source.file, out / source.file.name)
        if source.is_onnx:
            import onnxruntime

            return {"onnxruntime": onnxruntime.__version__}
        import torch

        return {"torch": str(torch.__version__)}

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return a runner of ``program.onnx`` or ``program.pt2``."""
        if (compiled / ONNX_FILE).exists():
            from ...onnx_session import OnnxRunner

            return OnnxRunner(compiled / ONNX_FILE, threads, optimize=False)
        return _TorchRunner(compiled, threads)


class _TorchRunner:
    """Runs ``program.pt2`` in torch."""

    def __init__(self, compiled: Path, threads: int) -> None:
        self._run = runner(read_program(compiled), read_signature(compiled))
        self._threads = threads

    def run(self, feeds: Mapping[str, Array]) -> dict[str, np.ndarray[Any, Any]]:
        import torch

        with torch_threads(self._threads):
            return to_arrays(self._run({k: torch.tensor(v) for k, v in feeds.items()}))


BACKEND = Eager()
