"""The three ways to -1, 0 and 1: their formulas, their errors, and weights nobody expects."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import InputError
from workbench.quantize.config import TernaryConfig
from workbench.quantize.ternarize import ternarize

METHODS = ("absmean", "twn", "optimal")
matrices = st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(0, 999))


def weights(rows, columns, seed):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def error(w, config):
    trits, scale = ternarize(w, config)
    groups = trits.view(len(w), scale.shape[1], -1) * scale.unsqueeze(-1)
    return (w - groups.view_as(w)).square().sum(1)


@settings(deadline=None)
@given(matrices)
def test_absmean_is_bitnet_s_formula(shape):
    w = weights(*shape)
    trits, scale = ternarize(w, TernaryConfig("absmean", "tensor"))
    mean = w.abs().mean()
    torch.testing.assert_close(scale, mean.expand(len(w), 1))
    assert torch.equal(trits.float(), (w / mean).round().clamp(-1, 1))


@settings(deadline=None)
@given(matrices)
def test_twn_keeps_what_lies_above_its_threshold(shape):
    w = weights(*shape)
    trits, scale = ternarize(w, TernaryConfig("twn", "row"))
    for row, t, s in zip(w, trits, scale, strict=True):
        kept = row.abs() > 0.7 * row.abs().mean()
        assert torch.equal(t != 0, kept)
        torch.testing.assert_close(s[0], row.abs()[kept].mean())


@settings(deadline=None)
@given(matrices)
def test_optimal_is_never_worse_than_where_it_starts(shape):
    w = weights(*shape)
    found = error(w, TernaryConfig("optimal", "row"))
    assert (found <= error(w, TernaryConfig("twn", "row")) * (1 + 1e-5) + 1e-6).all()


def test_optimal_is_near_the_true_optimum():
    w = weights(64, 256, 0)
    # With the k largest weights of a row kept, the least error is |w|^2 - (their sum)^2 / k.
    tops = w.abs().sort(descending=True).values.cumsum(1)
    best = w.square().sum(1) - (tops.square() / torch.arange(1, 257)).amax(1)
    assert error(w, TernaryConfig("optimal", "row")).sum() < 1.005 * best.sum()


def test_finer_scales_lose_less():
    w = weights(16, 256, 0) * torch.logspace(-1, 1, 256)
    losses = [error(w, TernaryConfig("optimal", g, 64)).sum() for g in ("tensor", "row", "group")]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("granularity", ["tensor", "row", "group"])
def test_zero_rows_and_subnormal_ones(method, granularity):
    w = torch.tensor([[0.0] * 8, [1.0, -1.0] * 4, [1e-42] * 8])
    trits, scale = ternarize(w, TernaryConfig(method, granularity, 4))
    assert not trits[0].any()
    assert trits[1].tolist() == [1, -1] * 4
    assert torch.isfinite(scale).all()
    assert (scale > 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_and_memory_orders(dtype):
    w = weights(12, 8, 0).to(dtype)
    for config in (TernaryConfig(), TernaryConfig("absmean", "group", 4)):
        expected = ternarize(w.float(), config)
        for found, want in zip(ternarize(w.t().contiguous().t(), config), expected, strict=True):
            assert torch.equal(found, want)


def test_a_row_that_is_no_multiple_of_a_group_has_one_scale():
    assert ternarize(weights(3, 10, 0), TernaryConfig(granularity="group", group_size=4))[1].shape == (3, 1)


@pytest.mark.parametrize(
    "change", [{"method": "best"}, {"granularity": "column"}, {"ends": "int3"}, {"group_size": 6}]
)
def test_values_out_of_range(change):
    with pytest.raises(InputError):
        TernaryConfig(**change)
