"""Run an ONNX model in onnxruntime on the CPU, quietly and without torch.

Capture runs an ONNX file once for its reference outputs, the onnxruntime backend runs what it compiled.
Importing this module imports onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime

from .errors import CompileError, CorruptArtifact

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

_FATAL = 4  # log severity: what matters comes back as an exception


class OnnxRunner:
    """One forward pass of an ONNX model over named arrays.

    Parameters
    ----------
    path
        The ``.onnx`` file.
    threads
        Threads inside one operator. They sleep between operators: a spinning pool starves its
        neighbours, and a replica shares its machine.
    optimize
        False runs the graph as written.
    profile
        Beginning of the path of a trace that ``session.end_profiling()`` writes, and of the graph as it is run,
        ``.onnx``; None for neither.

    Raises
    ------
    CorruptArtifact
        If onnxruntime cannot load the file.
    """

    def __init__(
        self, path: Path, threads: int = 1, *, optimize: bool = True, profile: Path | None = None
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
            options.optimized_model_filepath = f"{profile}.onnx"
        if not optimize:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise CorruptArtifact(
                f"onnxruntime cannot load the model: {_first_line(error)}",
                where=str(path),
                fix="compile or capture it again",
            ) from error
        self.outputs = [value.name for value in self.session.get_outputs()]
        # Past the session's own check of the names, a tenth of a small network's time; the kernel library checks again.
        self._call = getattr(self.session, "_sess", self.session).run

    def run(self, feeds: Mapping[str, Array]) -> dict[str, np.ndarray[Any, Any]]:
        """Return the outputs by name.

        Raises
        ------
        CompileError
            If a kernel refuses the values (an index out of range, sizes that do not fit).
        """
        try:
            values = self._call(self.outputs, feeds if type(feeds) is dict else dict(feeds), None)
        except Exception as error:
            shapes = ", ".join(f"{k}: {v.dtype}{list(v.shape)}" for k, v in feeds.items())
            raise CompileError(
                f"onnxruntime failed: {_first_line(error)}",
                where=shapes,
                fix="check the values: sizes and indices must be within what the model was built for",
            ) from error
        return dict(zip(self.outputs, values, strict=True))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
