"""The reference backend: runs the program itself, in torch (or an ONNX file as written)."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...program import ONNX_FILE, read_program, read_signature, runner, to_arrays
from ..base import Progress
from ..config import CompileConfig
from ..source import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...session import Runner

    Array = NDArray[Any]


class EagerBackend:
    """Copies the program and runs it operator by operator."""

    name = "eager"
    reference = True

    def available(self) -> str | None:
        """Return None if torch is installed, else the install command."""
        return None if importlib.util.find_spec("torch") else "pip install 'mlops-workbench[torch]'"

    def compile(
        self, source: Source, out: Path, config: CompileConfig, progress: Progress
    ) -> Mapping[str, str]:
        """Copy the program; there is nothing to lower."""
        shutil.copyfile(source.file, out / source.file.name)
        if source.is_onnx:
            import onnxruntime

            return {"onnxruntime": onnxruntime.__version__}
        import torch

        return {"torch": torch.__version__}

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return the program as it runs in torch; torch's thread count belongs to the whole process."""
        if (compiled / ONNX_FILE).exists():
            from ...onnx_session import OnnxRunner

            return OnnxRunner(compiled / ONNX_FILE, threads, optimize=False)
        return _EagerRunner(compiled)


class _EagerRunner:
    def __init__(self, compiled: Path) -> None:
        self._run = runner(read_program(compiled), read_signature(compiled))

    def run(self, feeds: Mapping[str, Array]) -> dict[str, np.ndarray[Any, Any]]:
        import torch

        # A copy: torch may not share memory that numpy marks read-only.
        return to_arrays(self._run({k: torch.from_numpy(v.copy()) for k, v in feeds.items()}))


BACKEND = EagerBackend()
