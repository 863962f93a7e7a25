"""torch on an NVIDIA GPU: inductor compiles the program to Triton, ternary layers run in our Triton kernels.

What is stored is the program; it is compiled for the GPU it meets when it is first called.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CompileError, MissingDependency, WorkbenchError, missing_dependency
from ...program import PROGRAM_FILE, read_program, read_signature, runner, to_arrays
from ..base import ForThisMachine, Progress
from ..config import CompileConfig
from ..options import read_options
from ..source import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...session import Runner

    Array = NDArray[Any]

_OPERATOR = "workbench::linear_ternary"
_OPTIONS_FILE = "eager-on-gpu"


@dataclass(frozen=True)
class TritonOptions:
    """Options of the backend ``triton``.

    Parameters
    ----------
    inductor
        Compile the program with inductor; without it torch runs operator by operator, ternary layers still in Triton.
    """

    inductor: bool = True


class Triton(ForThisMachine):
    """Moves the program to the GPU."""

    name = "triton"
    about = "torch on an NVIDIA GPU: inductor, ternary layers in our Triton kernels"
    reference = False
    options = TritonOptions
    targets = ("cuda",)

    def available(self) -> WorkbenchError | None:
        """Need torch and triton; and a GPU, which :meth:`refuses` asks for too."""
        for package in ("torch", "triton"):
            if importlib.util.find_spec(package) is None:
                return missing_dependency(package, package)
        return self.refuses("cuda")

    def refuses(self, target: str) -> WorkbenchError | None:
        """Need a GPU that torch can use."""
        if importlib.util.find_spec("torch") is None:
            return missing_dependency("torch", "torch")
        import torch

        if torch.cuda.is_available():
            return None
        why = "this torch is built without CUDA" if torch.version.cuda is None else "no NVIDIA GPU is found"
        return MissingDependency(
            f"it needs a GPU: {why}",
            where="cuda",
            fix="run it on a machine with an NVIDIA GPU and a CUDA build of torch, or leave out --target cuda",
        )

    def compile(
        self, source: Source, out: Path, config: CompileConfig, progress: Progress
    ) -> Mapping[str, str]:
        """Copy the program's file.

        Raises
        ------
        CompileError
            If it is an ONNX file.
        """
        import torch

        if source.is_onnx:
            raise CompileError(
                "the backend triton compiles torch programs, this one is an ONNX file",
                where=str(source.file),
                fix="use the backend onnxruntime",
            )
        shutil.copyfile(source.file, out / PROGRAM_FILE)
        if not read_options(TritonOptions, config.options, self.name).inductor:
            (out / _OPTIONS_FILE).touch()
        return {"torch": str(torch.__version__), "target": "cuda", "gpu": torch.cuda.get_device_name()}

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return a runner on the GPU."""
        return _GpuRunner(compiled)


class _GpuRunner:
    """Runs ``program.pt2`` on the first GPU; arrays go there and back at each call."""

    def __init__(self, compiled: Path) -> None:
        import torch
        from torch.export.passes import move_to_device_pass

        program = read_program(compiled)
        _register()
        run = runner(move_to_device_pass(program, "cuda"), read_signature(compiled))
        self._run = run if (compiled / _OPTIONS_FILE).exists() else torch.compile(run)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, np.ndarray[Any, Any]]:
        import torch

        return to_arrays(self._run({k: torch.tensor(v, device="cuda") for k, v in feeds.items()}))


def _register() -> None:
    """Let our Triton kernels serve the ternary layer on a GPU, where it has one scale a row."""
    from torch._library.custom_ops import OPDEFS

    definition: Any = OPDEFS.get(_OPERATOR)
    if definition is None or "cuda" in definition._backend_fns:
        return
    from ..cuda.ternary import linear_ternary

    def on_gpu(x: Any, w_codes: Any, w_scale: Any, bias: Any, in_features: int) -> Any:
        if w_scale.shape[-1] == 1:
            return linear_ternary(x, w_codes, w_scale, bias, in_features)
        return definition._init_fn(x, w_codes, w_scale, bias, in_features)

    definition.register_kernel("cuda")(on_gpu)


BACKEND = Triton()
