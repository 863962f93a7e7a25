"""The ternary operators: exact integer arithmetic, any shape and dtype, the same from onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench.quantize.config import GROUPS
from workbench.quantize.ops.int4 import quantize_int4
from workbench.quantize.ops.ternary import pack_codes, unpack_codes

wb = torch.ops.workbench
sizes = st.integers(1, 70)


def trits(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-1, 2, shape, generator=generator)


def quantized(x, axes):
    """Return integers and scales, worked out in numpy."""
    x = x.float().numpy()
    scale = np.abs(x).max(axes, keepdims=True) / np.float32(127)
    scale = np.where(scale == 0, np.float32(1), scale)
    return np.clip(np.rint(x / scale), -127, 127).astype(np.int64), scale


@given(rows=sizes, columns=sizes, seed=st.integers(0, 99))
def test_codes_come_back(rows, columns, seed):
    weights = trits(rows, columns, seed=seed)
    codes = pack_codes(weights)
    assert codes.dtype == torch.uint8
    assert codes.shape == (rows, -(-columns // 4))
    assert torch.equal(unpack_codes(codes, columns).long(), weights)


def test_padding_stands_for_zero():
    assert unpack_codes(pack_codes(trits(3, 5)), 8)[:, 5:].abs().sum() == 0


@settings(deadline=None)
@given(m=st.integers(0, 5), n=sizes, k=sizes, seed=st.integers(0, 99))
def test_linear_is_the_integer_sum_scaled(m, n, k, seed):
    weights, x = trits(n, k, seed=seed), torch.randn(m, k, generator=torch.Generator().manual_seed(seed))
    scale, bias = torch.rand(n, 1), torch.randn(n)
    y = wb.linear_ternary(x, pack_codes(weights), scale, bias, k)
    q, s = quantized(x, (-1,)) if m else (np.zeros((0, k), np.int64), np.ones((0, 1), np.float32))
    sums = (q @ weights.numpy().T).astype(np.float32)
    expected = sums * (s * scale.view(-1).numpy()) + bias.numpy()
    assert np.array_equal(y.numpy(), expected.astype(np.float32))


def test_each_group_has_its_own_sum():
    weights, scale, x = trits(6, 24), torch.rand(6, 3), torch.randn(2, 5, 24)
    y = wb.linear_ternary(x, pack_codes(weights), scale, None, 24)
    q, s = quantized(x, (-1,))
    sums = np.einsum("bmgk,ngk->bmng", q.reshape(2, 5, 3, 8), weights.view(6, 3, 8).numpy())
    np.testing.assert_allclose(y, (sums * scale.numpy()).sum(-1) * s, rtol=1e-5, atol=1e-5)


def test_a_long_sum_stays_exact():
    weights, x = torch.ones(1, 200_000, dtype=torch.int8), torch.full((1, 200_000), 127.0)
    x[0, 0] = 126
    y = wb.linear_ternary(x, pack_codes(weights), torch.ones(1, 1), None, 200_000)
    assert y.item() == np.float32(127 * 199_999 + 126)


CONVOLUTIONS = {
    "1-d": ((2, 6, 11), (4, 6, 3), [2], [1], [2], 1),
    "2-d": ((2, 6, 9, 8), (4, 6, 3, 2), [2, 1], [1, 0], [1, 2], 1),
    "grouped": ((2, 6, 9, 8), (4, 3, 3, 3), [1, 1], [1, 1], [1, 1], 2),
    "depthwise": ((2, 6, 9, 8), (6, 1, 3, 3), [1, 1], [1, 1], [1, 1], 6),
    "pointwise": ((2, 6, 5, 5), (7, 6, 1, 1), [1, 1], [0, 0], [1, 1], 1),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_is_the_integer_sum_scaled(name):
    size, shape, stride, padding, dilation, groups = CONVOLUTIONS[name]
    weights, x = trits(*shape), torch.randn(size)
    scale, bias, kernel = torch.rand(shape[0], 1), torch.randn(shape[0]), list(shape[2:])
    args = (pack_codes(weights.flatten(1)), scale, bias, kernel, stride, padding, dilation, groups)
    y = wb.conv_ternary(x, *args)
    q, s = quantized(x, tuple(range(1, x.dim())))
    convolve = torch.nn.functional.conv1d if len(kernel) == 1 else torch.nn.functional.conv2d
    sums = convolve(torch.from_numpy(q).double(), weights.double(), None, stride, padding, dilation, groups)
    across = (-1, *[1] * len(kernel))
    expected = sums.float() * (torch.from_numpy(s) * scale.view(across)) + bias.view(across)
    assert torch.equal(y, expected)


def test_a_sample_does_not_depend_on_its_batch():
    weights, x = pack_codes(trits(4, 27)), torch.randn(3, 3, 6, 6)
    x[2] *= 1e4
    args = (weights, torch.ones(4, 1), None, [3, 3], [1, 1], [1, 1], [1, 1], 1)
    assert torch.equal(wb.conv_ternary(x, *args)[:1], wb.conv_ternary(x[:1], *args))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_keep_their_type(dtype):
    x = torch.randn(3, 16, dtype=dtype)
    codes, scale = pack_codes(trits(5, 16)), torch.ones(5, 1)
    y = wb.linear_ternary(x, codes, scale, None, 16)
    assert y.dtype == dtype
    assert torch.equal(y, wb.linear_ternary(x.float(), codes, scale, None, 16).to(dtype))


def test_memory_order_does_not_matter():
    x, codes = torch.randn(16, 3), pack_codes(trits(5, 16))
    args = (codes, torch.ones(5, 1), None, 16)
    assert torch.equal(wb.linear_ternary(x.t(), *args), wb.linear_ternary(x.t().contiguous(), *args))


def test_zero_and_huge_rows():
    x = torch.stack([torch.zeros(8), torch.full((8,), 3e38), torch.full((8,), 1e-38)])
    y = wb.linear_ternary(x, pack_codes(torch.ones(1, 8)), torch.ones(1, 1), torch.ones(1), 8)
    assert y[0].item() == 1
    assert torch.isinf(y[1]).item()
    assert y[2].item() == 1


def test_table_and_float_weight():
    weights, scale = trits(9, 24), torch.rand(9, 3)
    dense = (weights.view(9, 3, 8) * scale.unsqueeze(-1)).view(9, 24)
    codes, ids = pack_codes(weights), torch.tensor([[0, 8], [3, 3]])
    assert torch.equal(wb.embedding_ternary(ids, codes, scale, 24), dense[ids])
    assert torch.equal(wb.unpack_ternary(codes, scale, [9, 4, 6]), dense.view(9, 4, 6))


def test_every_operator_passes_torch_s_own_checks():
    checks = ("test_schema", "test_faketensor")
    codes, scale, conv = pack_codes(trits(6, 27)), torch.rand(6, 1), [[3, 3], [2, 1], [1, 0], [1, 2], 2]
    bias = torch.randn(6)
    for op, args in (
        (wb.linear_ternary, (torch.randn(2, 27), codes, scale, bias, 27)),
        (wb.conv_ternary, (torch.randn(2, 6, 8, 9), codes, scale, None, *conv)),
        (wb.embedding_ternary, (torch.tensor([1, 2]), codes, scale, 27)),
        (wb.unpack_ternary, (codes, scale, [6, 3, 9])),
    ):
        torch.library.opcheck(op.default, args, test_utils=checks)


class Holder(nn.Module):
    """A module of one operator over ternary weights."""

    def __init__(self, op, rows, columns, groups=1):
        super().__init__()
        self.register_buffer("codes", pack_codes(trits(rows, columns)))
        self.register_buffer("scale", torch.rand(rows, groups))
        self.bias = nn.Parameter(torch.randn(rows))
        self.op = op

    def forward(self, x):
        return self.op(self, x)


def linear(m, x):
    return wb.linear_ternary(x, m.codes, m.scale, m.bias, x.shape[-1])


def convolution(m, x):
    return wb.conv_ternary(x, m.codes, m.scale, m.bias, [3, 3], [2, 1], [1, 0], [1, 1], 2)


torch.manual_seed(0)  # the tolerance of the activation grids is a share of the outputs' spread
ONNX = {
    "rows": (Holder(linear, 10, 300), torch.randn(5, 300), "MatMulNBits"),
    "tokens": (Holder(linear, 10, 33), torch.randn(2, 3, 33), "MatMulNBits"),
    "groups of 32": (Holder(linear, 10, 96, 3), torch.randn(5, 96), "MatMulNBits"),
    "groups of 6": (Holder(linear, 10, 24, 4), torch.randn(5, 24), "MatMul"),
    "convolution": (Holder(convolution, 8, 27), torch.randn(2, 6, 7, 9), "Conv"),
}


@pytest.mark.parametrize("name", ONNX)
def test_onnxruntime_runs_it(bench, name):
    module, x, operator = ONNX[name]
    program, signature = bench.export(module, x)
    expected = bench.run(program, signature, x)
    output, nodes = bench.onnx(program, x)
    # MatMulNBits has activation grids of its own: half a step of 127 either way.
    loose = operator == "MatMulNBits"
    torch.testing.assert_close(
        output, expected, rtol=1e-4, atol=0.03 * expected.std().item() if loose else 1e-4
    )
    assert any(node.startswith(operator) for node in nodes), nodes
    assert "BitShift" not in nodes  # unpacked once, at load


@pytest.mark.parametrize("groups", [1, 3])
def test_embedding_in_onnxruntime(bench, groups):
    module = Holder(lambda m, ids: wb.embedding_ternary(ids, m.codes, m.scale, 24), 40, 24, groups)
    ids = torch.tensor([[0, 31], [7, 7]])
    program, signature = bench.export(module, ids)
    torch.testing.assert_close(bench.onnx(program, ids)[0], bench.run(program, signature, ids))


def test_float_weight_in_onnxruntime(bench):
    module = Holder(lambda m, x: x @ wb.unpack_ternary(m.codes, m.scale, [10, 24]).t(), 10, 24)
    x = torch.randn(3, 24)
    program, signature = bench.export(module, x)
    torch.testing.assert_close(bench.onnx(program, x)[0], bench.run(program, signature, x))


@given(rows=sizes, columns=sizes, seed=st.integers(0, 99), block=st.sampled_from(GROUPS))
def test_four_bits_round_to_the_nearest_of_fifteen_steps(rows, columns, seed, block):
    w = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    codes, scale = quantize_int4(w, block)
    assert codes.shape == (rows, -(-columns // block) * block // 2)
    back = wb.unpack_int4(codes, scale, [rows, columns])
    steps = scale.repeat_interleave(block, 1)[:, :columns]
    assert ((back - w).abs() <= steps / 2 * 1.0001).all()
    x = torch.ones(2, columns)
    torch.testing.assert_close(wb.linear_int4(x, codes, scale, None, columns), x @ back.t())


def test_four_bits_of_zeros():
    codes, scale = quantize_int4(torch.zeros(2, 40))
    assert not wb.unpack_int4(codes, scale, [2, 40]).any()
