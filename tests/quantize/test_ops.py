"""Each operator: its eager meaning, its shape under export, and the same numbers from onnxruntime."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.quantize import ops
from workbench.quantize.numeric import dequantize_weight, quantize_weight

wb = torch.ops.workbench


class Holder(nn.Module):
    """A module of one operator over int8 weights."""

    def __init__(self, op, rows=32, width=48, bias=True):
        super().__init__()
        q, scale = quantize_weight(torch.randn(rows, width), 0)
        self.register_buffer("q", q)
        self.register_buffer("scale", scale)
        self.bias = nn.Parameter(torch.randn(rows)) if bias else None
        self.op = op

    def forward(self, x):
        return self.op(self, x)


OPERATORS = {
    "linear_dynamic": (lambda m, x: wb.linear_dynamic(x, m.q, m.scale, m.bias), True),
    "linear_static": (lambda m, x: wb.linear_static(x, 0.03, 128, m.q, m.scale, m.bias), True),
    "without bias": (lambda m, x: wb.linear_dynamic(x, m.q, m.scale, None), True),
    "rounded": (lambda m, x: wb.quantize_dequantize(x, 0.03, 128), False),
    "weight only": (lambda m, x: x @ wb.dequantize(m.q, m.scale, 0, False).t(), False),
    "fused weight": (lambda m, x: x @ wb.dequantize(m.q, m.scale, 0, True).t(), False),
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("shape", [(5, 48), (2, 3, 48)], ids=["rows", "tokens"])
def test_onnxruntime_gives_what_eager_gives(bench, name, shape):
    operator, integer = OPERATORS[name]
    module, x = Holder(operator), torch.randn(shape)
    program, signature = bench.export(module, x)
    expected = bench.run(program, signature, x)
    output, nodes = bench.onnx(program, x)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)
    assert ("MatMulIntegerToFloat" in nodes) is integer


def test_embedding_in_onnxruntime(bench):
    module = Holder(lambda m, x: wb.embedding_int8(x, m.q, m.scale))
    ids = torch.tensor([[0, 31], [7, 7]])
    program, signature = bench.export(module, ids)
    output, _ = bench.onnx(program, ids)
    torch.testing.assert_close(output, bench.run(program, signature, ids))


def test_a_row_does_not_depend_on_its_batch():
    q, scale = quantize_weight(torch.randn(8, 16), 0)
    x = torch.randn(4, 16)
    x[2] *= 1e4
    together = wb.linear_dynamic(x, q, scale, None)
    assert torch.equal(together[:1], wb.linear_dynamic(x[:1], q, scale, None))


@pytest.mark.parametrize("x", [torch.zeros(2, 16), torch.full((2, 16), 3.0), torch.full((2, 16), -3.0)])
def test_flat_rows_are_exact_up_to_the_weight(x):
    q, scale = quantize_weight(torch.randn(8, 16), 0)
    exact = x @ dequantize_weight(q, scale, 0).t()
    torch.testing.assert_close(wb.linear_dynamic(x, q, scale, None), exact, rtol=1e-4, atol=1e-4)


def test_every_operator_passes_torch_s_own_checks():
    q, scale = quantize_weight(torch.randn(8, 16), 0)
    x, bias = torch.randn(3, 16), torch.randn(8)
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(wb.linear_dynamic.default, (x, q, scale, bias), test_utils=checks)
    torch.library.opcheck(wb.linear_static.default, (x, 0.1, 3, q, scale, None), test_utils=checks)
    torch.library.opcheck(wb.dequantize.default, (q, scale, 0, True), test_utils=checks)
    torch.library.opcheck(wb.quantize_dequantize.default, (x, 0.1, 3), test_utils=checks)
    torch.library.opcheck(wb.embedding_int8.default, (torch.tensor([1, 2]), q, scale), test_utils=checks)


def test_every_operator_has_an_onnx_form():
    names = {str(op).split(".")[1] for op in ops.onnx_translations()}
    int8 = {"linear_dynamic", "linear_static", "dequantize", "quantize_dequantize", "embedding_int8"}
    assert names == int8 | {"linear_ternary", "conv_ternary", "embedding_ternary", "unpack_ternary"} | {
        "linear_int4",
        "unpack_int4",
    }
