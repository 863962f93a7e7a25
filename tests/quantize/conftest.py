"""Small networks with every kind of layer, and a way to take them through the verb in memory."""

from __future__ import annotations

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


class Lab:
    """Export a one-input module and quantize it, without files."""

    def export(self, module: nn.Module, x: torch.Tensor) -> tuple[ExportedProgram, Signature]:
        program = torch.export.export(module.eval(), (x,), dynamic_shapes=({0: Dim.AUTO},))
        dtype = str(x.dtype).removeprefix("torch.")
        outputs = tuple(
            TensorSpec(f"y{i}", "float32", ())
            for i in range(len(program.graph_signature.user_outputs))
        )
        return program, Signature((TensorSpec("x", dtype, ("batch", *x.shape[1:])),), outputs)

    def quantize(
        self, module: nn.Module, x: torch.Tensor, *, calibration: Any = None, **config: Any
    ) -> tuple[Outcome, torch.Tensor, torch.Tensor]:
        """Return the outcome, the float output and the quantized output for `x`."""
        program, signature = self.export(module, x)
        request = Request(QuantizeConfig(**config), signature, calibration, lambda share, text: None)
        outcome = scheme("int8")(program, request)
        return outcome, self.run(program, signature, x), self.run(outcome.program, signature, x)

    def run(self, program: ExportedProgram, signature: Signature, x: torch.Tensor) -> torch.Tensor:
        return runner(program, signature)({"x": x})["y0"]

    def onnx(self, program: ExportedProgram, x: torch.Tensor, folder: Any) -> tuple[np.ndarray, list[str]]:
        """Return onnxruntime's output and the operators it really runs."""
        import onnx
        import onnxruntime

        from workbench.compile.onnx_lowering import lower

        raise NotImplementedError((onnx, onnxruntime, lower, folder))


@pytest.fixture
def lab() -> Lab:
    torch.manual_seed(0)
    return Lab()
