"""A bench to export a one-input module, quantize it in memory, and see what onnxruntime makes of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from workbench.program import runner
from workbench.quantize import QuantizeConfig
from workbench.quantize.base import Outcome, Request, scheme
from workbench.types import Signature, TensorSpec


class Bench:
    """Export, quantize and run without program folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def export(self, module: nn.Module, x: torch.Tensor) -> tuple[ExportedProgram, Signature]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's word on its own recurrent modules
            program = torch.export.export(module.eval(), (x,), dynamic_shapes=({0: Dim.AUTO},))
        count = len(program.graph_signature.user_outputs)
        return program, Signature(
            (TensorSpec("x", str(x.dtype).removeprefix("torch."), ("batch", *x.shape[1:])),),
            tuple(TensorSpec(f"y{i}", "float32", ()) for i in range(count)),
        )

    def quantize(
        self, module: nn.Module, x: torch.Tensor, calibration: Any = None, **config: Any
    ) -> tuple[Outcome, torch.Tensor, torch.Tensor]:
        """Return the outcome, and what program and variant give for `x`."""
        program, signature = self.export(module, x)
        request = Request(QuantizeConfig(**config), signature, calibration, lambda share, text: None)
        outcome = scheme("int8")(program, request)
        return outcome, *(self.run(p, signature, x) for p in (program, outcome.program))

    def run(self, program: ExportedProgram, signature: Signature, x: torch.Tensor) -> torch.Tensor:
        return runner(program, signature)({"x": x})["y0"]

    def onnx(self, program: ExportedProgram, x: torch.Tensor) -> tuple[torch.Tensor, list[str]]:
        """Return onnxruntime's output and the operators that it runs after its own rewriting."""
        import onnx
        import onnx_ir
        import onnxruntime

        from workbench.compile.onnx_lowering import lower

        path, optimized = self._folder / "model.onnx", self._folder / "optimized.onnx"
        onnx_ir.save(lower(program), path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(optimized)
        session = onnxruntime.InferenceSession(str(path), options)
        name = session.get_inputs()[0].name
        output = torch.from_numpy(np.asarray(session.run(None, {name: x.numpy()})[0]))
        return output, [n.op_type for n in onnx.load(optimized, load_external_data=False).graph.node]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    torch.manual_seed(0)
    return Bench(tmp_path)
