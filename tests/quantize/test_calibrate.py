"""Observers on known distributions, and what a calibration run watches and refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench.errors import BadTensor, NonFinite
from workbench.quantize import QuantizeConfig
from workbench.quantize.calibrate.collect import KEPT, collect
from workbench.quantize.calibrate.feeds import batches
from workbench.quantize.calibrate.observers import (
    BINS,
    Entropy,
    Histogram,
    MinMax,
    Percentile,
    observer_for,
)
from workbench.quantize.edit import Editor
from workbench.types import Signature, TensorSpec

PAIR = Signature(
    (TensorSpec("a", "float32", ("n", 2)), TensorSpec("b", "int64", ("n",))),
    (TensorSpec("y", "float32", ()),),
)


def normal(count: int = 200_000) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(0))


def watched(observer, *tensors):
    for tensor in tensors:
        observer.watch(tensor)
    return observer.range()


def test_minmax_is_what_was_seen():
    assert watched(MinMax(), torch.tensor([1.0, -2.0]), torch.tensor([3.0])) == (-2.0, 3.0)


def test_percentile_of_a_normal_distribution():
    low, high = watched(Percentile(99.0), *normal().split(10_000))
    assert low == pytest.approx(-2.576, abs=0.03)
    assert high == pytest.approx(2.576, abs=0.03)


def test_percentile_100_is_minmax():
    x = normal(1000)
    assert watched(Percentile(100.0), x) == watched(MinMax(), x)


def test_percentile_cuts_each_end_on_its_own():
    low, high = watched(Percentile(99.9), torch.cat([torch.rand(100_000), torch.tensor([900.0])]))
    assert low == pytest.approx(0, abs=0.5)
    assert high < 2


def test_entropy_keeps_a_uniform_distribution():
    low, high = watched(Entropy(), torch.linspace(0, 1, 100_001))
    assert low == 0
    assert high > 0.99


def test_entropy_cuts_far_outliers():
    low, high = watched(Entropy(), torch.cat([normal(), torch.full((20,), 60.0)]))
    assert 3 < high < 30
    assert low == pytest.approx(-4.5, abs=1)


def test_entropy_is_not_fooled_by_the_zeros_behind_a_relu():
    _, high = watched(Entropy(), normal().relu())
    assert high > 3.5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-12, 12), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_a_histogram_does_not_depend_on_batches_or_their_order(powers, random):
    parts = [normal(500) * 2.0**power for power in powers]
    shuffled = random.sample(parts, len(parts))
    one, other = Histogram(), Histogram()
    watched(one, torch.cat(parts))
    watched(other, *shuffled)
    assert one.reach == other.reach
    assert one.counts.sum() == other.counts.sum() == sum(p.numel() for p in parts)
    # In float32 a value on a bin's edge may fall to either side, never further.
    first, second = np.cumsum(one.counts), np.cumsum(other.counts)
    assert (second[:-2] <= first[1:-1]).all()
    assert (first[1:-1] <= second[2:]).all()


def test_a_histogram_is_bounded():
    histogram = Histogram()
    for power in range(-20, 20):
        histogram.watch(normal(100) * 2.0**power)
    assert histogram.counts.shape == (BINS,)
    assert histogram.counts.sum() == 4000


@pytest.mark.parametrize("calibrator", ["minmax", "percentile", "entropy"])
def test_nothing_but_zeros(calibrator):
    assert watched(observer_for(QuantizeConfig(calibrator=calibrator)), torch.zeros(9)) == (0, 0)


A, B = torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    "batch",
    [(A, B), [A, B], {"b": B, "a": A}, (A.numpy(), B.numpy())],
    ids=["tuple", "list", "mapping", "arrays"],
)
def test_a_batch_is_what_the_model_is_called_with(batch):
    ((a, b),) = batches([batch], PAIR)
    assert a.dtype == torch.float32
    assert b.dtype == torch.int64


def test_one_mapping_is_one_batch():
    assert len(list(batches({"a": A, "b": B}, PAIR))) == 1


@pytest.mark.parametrize(
    ("batch", "error", "text"),
    [
        ((A,), BadTensor, "missing b"),
        ((A, B, B), BadTensor, "3 inputs given, the model takes 2"),
        ((A, B[:2]), BadTensor, r"shape is \[2\]"),
        ((A.double(), B), BadTensor, "dtype is float64"),
        ((A / 0, B), NonFinite, "calibration batch 1 holds NaN or infinity"),
    ],
)
def test_a_bad_batch_is_named(batch, error, text):
    with pytest.raises(error, match=text) as caught:
        list(batches([(A, B), batch], PAIR))
    assert "calibration batch 1" in str(caught.value)


def test_an_activation_that_overflows_names_batch_and_layer(bench):
    net = nn.Sequential(nn.Linear(4, 4), nn.Conv1d(3, 3, 1))
    with torch.no_grad():
        net[0].weight.fill_(3e38)
    x = torch.zeros(2, 3, 4)
    with pytest.raises(NonFinite, match="calibration batch 1 makes linear NaN or infinite") as caught:
        bench.quantize(net, x, [x, x + 3])
    assert caught.value.where == "0"


def test_the_batches_kept_are_few_and_chosen_by_the_seed(bench):
    x = torch.randn(2, 4)
    editor = Editor(bench.export(nn.Linear(4, 4), x)[0])

    def kept(seed):
        feeds = ([torch.full((2, 4), float(i))] for i in range(50))
        return [
            int(batch[0][0, 0])
            for batch in collect(
                editor, editor.user_inputs, feeds, QuantizeConfig(seed=seed), lambda n: None
            )[1]
        ]

    assert len(kept(0)) == KEPT
    assert kept(0) == kept(0)
    assert kept(0) != kept(1)


def test_an_empty_batch_is_no_harm(bench):
    x = torch.randn(2, 3, 8)
    outcome, _, _ = bench.quantize(nn.Conv1d(3, 4, 3), x, [x, x[:0]])
    assert outcome.calibration_batches == 2
