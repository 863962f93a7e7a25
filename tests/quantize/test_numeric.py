"""The arithmetic of int8 and what must hold for every tensor."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workbench.quantize.numeric import (
    decibel,
    dequantize_weight,
    grid_of,
    quantize_conv,
    quantize_weight,
    sqnr_db,
)
from workbench.quantize.ops.quantize_dequantize import quantize_dequantize

matrices = arrays.arrays(
    "float32", st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=st.floats(-1e3, 1e3, width=32)
)
bounds = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=60, deadline=None)
@given(matrices, st.sampled_from([0, 1]), st.booleans())
def test_a_weight_returns_within_half_a_step(array, axis, reduce_range):
    w = torch.from_numpy(array)
    q, scale = quantize_weight(w, axis, reduce_range=reduce_range)
    shape = [1, 1]
    shape[axis] = -1
    error = (w - dequantize_weight(q, scale, axis)).abs()
    # float32 rounds the quotient and the product; half a step is exact only in real numbers
    assert (error <= scale.view(shape) * (0.5 + 1e-4) + 1e-37).all()
    assert q.abs().max() <= (63 if reduce_range else 127)


def test_a_channel_of_zeros_stays_zero():
    q, scale = quantize_weight(torch.tensor([[0.0, 0.0], [2.0, -1.0]]), 0)
    assert q.tolist() == [[0, 0], [127, -64]]
    assert scale[0] == 1


def test_a_subnormal_channel_does_not_divide_by_zero():
    q, scale = quantize_weight(torch.tensor([[1e-44, 0.0]]), 0)
    assert q.tolist() == [[0, 0]]
    assert scale.tolist() == [1.0]


@settings(max_examples=60, deadline=None)
@given(bounds, bounds)
def test_a_grid_holds_zero_and_covers_its_range(a, b):
    low, high = min(a, b), max(a, b)
    grid = grid_of(low, high)
    assert 0 <= grid.zero_point <= 255
    zero = quantize_dequantize(torch.zeros(1), *grid)
    assert zero.item() == 0
    for edge in (low, high):
        value = quantize_dequantize(torch.tensor([edge]), *grid).item()
        assert abs(value - edge) <= grid.scale * (1 + 1e-3) or grid.scale == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=30), st.floats(0.0078125, 2, width=32))
def test_rounding_to_a_grid_keeps_the_order_and_is_done_once(values, scale):
    x = torch.tensor(sorted(values))
    y = quantize_dequantize(x, scale, 100)
    assert (y.diff() >= 0).all()
    assert torch.equal(quantize_dequantize(y, scale, 100), y)


def test_a_tiny_channel_with_a_large_bias_keeps_its_bias():
    w, bias = torch.tensor([[[1e-9]], [[0.0]], [[1.0]]]), torch.tensor([5.0, -3.0, 0.25])
    q, _, bias_q, bias_scale = quantize_conv(w, bias, 0.01)
    assert q.flatten().tolist() == [0, 0, 127]
    torch.testing.assert_close(bias_q * bias_scale, bias, rtol=1e-3, atol=1e-4)


def test_each_bit_is_worth_six_decibels():
    x = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    full = sqnr_db(x, dequantize_weight(*quantize_weight(x[None], 0), 0)[0])
    half = sqnr_db(x, dequantize_weight(*quantize_weight(x[None], 0, reduce_range=True), 0)[0])
    assert full - half == pytest.approx(6.02, abs=0.3)


def test_decibels_stay_within_what_json_holds():
    assert decibel(1, 0) == 200
    assert decibel(0, 1) == -200
    assert decibel(0, 0) == 200
    assert math.isclose(decibel(100, 1), 20)
