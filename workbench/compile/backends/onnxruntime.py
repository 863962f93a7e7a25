"""onnxruntime on the CPU: ``model.onnx`` with its weights in ``weights.bin``.

Weights lie outside the graph because onnxruntime maps such a file instead of copying it (replicas share the
pages), and because writing one protobuf of the whole model takes several times the memory.
Loading needs onnxruntime and numpy, not torch and not onnx.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import CompileError, CorruptArtifact, WorkbenchError, missing_dependency
from ..base import ForThisMachine, Progress
from ..config import CompileConfig
from ..onnx_model import SCHEMES, write_onnx
from ..source import Source

if TYPE_CHECKING:
    from ...session import Runner

MODEL_FILE = "model.onnx"


class OnnxRuntime(ForThisMachine):
    """Lowers the program to ONNX; onnxruntime fuses when it loads."""

    name = "onnxruntime"
    about = "ONNX in onnxruntime; small to deploy"
    reference = False
    schemes = SCHEMES

    def available(self) -> WorkbenchError | None:
        """Need onnxruntime."""
        found = importlib.util.find_spec("onnxruntime")
        return None if found else missing_dependency("onnxruntime", "onnx")

    def compile(
        self, source: Source, out: Path, config: CompileConfig, progress: Progress
    ) -> Mapping[str, str]:
        """Write ``model.onnx`` and ``weights.bin``.

        Raises
        ------
        MissingDependency
            If a package that only compiling needs is not installed.
        CompileError
            If an operator has no ONNX form, or computes in bfloat16.
        """
        import onnxruntime

        from ..onnx_lowering import model_of
        from ..tolerance import half_weights

        if "bfloat16" in half_weights(source):
            raise CompileError(
                "onnxruntime does not compute in bfloat16 on a CPU",
                where=f"backend {self.name}",
                fix="--backend ternary or eager; or capture module.float()",
                dtype="bfloat16",
            )

        model = model_of(source)
        versions = {"onnxruntime": str(onnxruntime.__version__)}
        if not source.is_onnx:
            import torch

            versions["torch"] = str(torch.__version__)
        progress(0.6, "writing the model")
        write_onnx(model, out / MODEL_FILE, source.signature)
        return versions

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return a runner of ``model.onnx``."""
        from ...onnx_session import OnnxRunner

        path = compiled / MODEL_FILE
        if not path.is_file():
            raise CorruptArtifact(f"{MODEL_FILE} is missing", where=str(path), fix="compile it again")
        return OnnxRunner(path, threads)


BACKEND = OnnxRuntime()
