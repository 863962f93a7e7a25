"""Every kernel this processor runs, against plain integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import reference
from workbench import kernels
from workbench.errors import BadTensor, CorruptArtifact
from workbench.kernels.targets import TARGETS, runs_here

HERE = [name for name, target in TARGETS.items() if runs_here(target)]
LAYOUTS = ["t2", "t5"]
ROWS = [0, 1, 2, 3, 5, 12, 13, 25, 31]


@pytest.fixture(scope="module", params=HERE)
def target(request):
    return kernels.library(request.param) and request.param


@pytest.mark.parametrize("layout", LAYOUTS)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 600),
    n=st.integers(1, 200),
    m=st.sampled_from(ROWS),
    threads=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_sums_equal_integers(target, layout, seed, k, n, m, threads):
    t, q = reference.random_case(seed, k, n, m)
    packed = kernels.pack(reference.codes_of(t), k, layout=layout, target=target)
    found = kernels.accumulate(packed, q, threads=threads, target=target)
    assert np.array_equal(found, q.astype(np.int64) @ t.astype(np.int64).T)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("k", "n", "m"), [(2560, 128, 1), (6912, 64, 9), (140_001, 17, 1), (140_001, 3, 2)])
def test_long_rows_of_extremes(target, layout, k, n, m):
    """Sums near the largest an activation can reach; the last row of weights is longer than one pass."""
    t, q = np.ones((n, k), np.int8), np.full((m, k), -128, np.int8)
    packed = kernels.pack(reference.codes_of(t), k, layout=layout)
    assert np.array_equal(kernels.accumulate(packed, q, target=target), np.full((m, n), -128 * k))
    packed = kernels.pack(reference.codes_of(-t), k, layout=layout)
    assert np.array_equal(kernels.accumulate(packed, q, target=target), np.full((m, n), 128 * k))


@pytest.mark.parametrize("layout", LAYOUTS)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 90),
    groups=st.integers(1, 5),
    n=st.integers(1, 150),
    m=st.sampled_from(ROWS),
    exponent=st.integers(-30, 30),
    biased=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_a_layer_equals_numpy_bit_by_bit(target, layout, seed, length, groups, n, m, exponent, biased):
    rng = np.random.default_rng(seed)
    k = length * groups
    t = rng.integers(-1, 2, (n, k), dtype=np.int8)
    x = (rng.standard_normal((m, k)) * 10.0**exponent).astype(np.float32)
    if m > 2:
        x[1] = 0
    w_scale = rng.random((n, groups), np.float32)
    bias = rng.standard_normal(n).astype(np.float32) if biased else None
    packed = kernels.pack(reference.codes_of(t), k, groups=groups, layout=layout)
    found = kernels.linear(packed, x, w_scale, bias, target=target)
    assert np.array_equal(found, reference.linear(t, x, w_scale, bias))


@pytest.mark.parametrize("name", ["relu", "gelu", "silu"])
def test_activations(target, name):
    torch = pytest.importorskip("torch")
    k = 16
    packed = kernels.pack(reference.codes_of(np.eye(k, dtype=np.int8)), k)
    x = np.linspace(-12, 12, 64 * k, dtype=np.float32).reshape(-1, k)
    plain = kernels.linear(packed, x, np.ones(k), target=target)
    found = kernels.linear(packed, x, np.ones(k), activation=name, target=target)
    wanted = getattr(torch.nn.functional, name)(torch.from_numpy(plain)).numpy()
    assert np.abs(found - wanted).max() < 3e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_gives_nan_and_spoils_no_other(target, bad):
    t = np.ones((20, 40), np.int8)
    x = np.ones((3, 40), np.float32)
    x[1, 7] = bad
    found = kernels.linear(kernels.pack(reference.codes_of(t), 40), x, np.ones(20), target=target)
    assert np.isnan(found[1]).all()
    assert (found[[0, 2]] == np.float32(40 * 127) * (np.float32(1) / np.float32(127))).all()


def test_huge_tiny_and_denormal_activations(target):
    packed = kernels.pack(reference.codes_of(np.ones((2, 3), np.int8)), 3)
    for size in (3e38, 1e-30, 1e-44, 1.4e-45):
        x = np.full((1, 3), size, np.float32)
        found = kernels.linear(packed, x, np.ones(2) / 3, target=target)
        # below 127 steps of the smallest number there is no scale left: such a row counts as zeros
        assert np.allclose(found, size if size > 1e-40 else 0, rtol=1e-5)


def test_strides_and_other_float_types_are_taken(target):
    rng = np.random.default_rng(1)
    t = rng.integers(-1, 2, (70, 33), dtype=np.int8)
    packed, w_scale = kernels.pack(reference.codes_of(t), 33), rng.random((70, 1), np.float32)
    wide = rng.standard_normal((4, 66)).astype(np.float16)
    for x in (
        wide[:, ::2],
        np.asfortranarray(wide[:, :33]),
        wide[::-1, 33:],
        wide[:, :33].astype(np.float64),
    ):
        wanted = reference.linear(t, x.astype(np.float32), w_scale)
        assert np.array_equal(kernels.linear(packed, x, w_scale, target=target), wanted)


def test_leading_dimensions_are_kept_and_an_empty_batch_stays_empty(target):
    packed = kernels.pack(reference.codes_of(np.ones((5, 8), np.int8)), 8)
    assert kernels.linear(packed, np.ones((2, 3, 8)), np.ones(5), target=target).shape == (2, 3, 5)
    assert kernels.linear(packed, np.ones(8), np.ones(5), target=target).shape == (5,)
    assert kernels.linear(packed, np.ones((0, 8)), np.ones(5), target=target).shape == (0, 5)
    assert kernels.accumulate(packed, np.ones((0, 8), np.int8), target=target).shape == (0, 5)


def test_wrong_shapes_are_refused():
    codes = reference.codes_of(np.ones((5, 8), np.int8))
    packed = kernels.pack(codes, 8)
    with pytest.raises(BadTensor, match="the last dimension of x is 8"):
        kernels.linear(packed, np.ones((1, 9)), np.ones(5))
    with pytest.raises(BadTensor, match="w_scale has 4 values, not 5"):
        kernels.linear(packed, np.ones((1, 8)), np.ones(4))
    with pytest.raises(BadTensor, match="bias has 6 values"):
        kernels.linear(packed, np.ones((1, 8)), np.ones(5), np.ones(6))
    with pytest.raises(BadTensor, match="no activation is called 'tanh'"):
        kernels.linear(packed, np.ones((1, 8)), np.ones(5), activation="tanh")
    with pytest.raises(BadTensor, match="q is int8"):
        kernels.accumulate(packed, np.ones((1, 8), np.int16))
    with pytest.raises(BadTensor, match="codes are uint8"):
        kernels.pack(codes, 9)
    with pytest.raises(BadTensor, match="no such matrix"):
        kernels.pack(codes, 8, groups=3)
    with pytest.raises(BadTensor, match="no layout is called"):
        kernels.pack(codes, 8, layout="t3")


@pytest.mark.parametrize("layout", ["t2", "t5", "s8"])
def test_a_code_that_is_no_weight_is_refused(layout):
    codes = reference.codes_of(np.zeros((3, 50), np.int8))
    codes[2, 12] |= 0b1100
    with pytest.raises(CorruptArtifact, match="hold a 3"):
        kernels.pack(codes, 50, layout=layout)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 150),
    length=st.integers(1, 90),
    groups=st.integers(1, 4),
    layout=st.sampled_from(["t2", "t5", "s8"]),
)
@settings(max_examples=60, deadline=None)
def test_unpack_is_the_way_back(seed, n, length, groups, layout):
    t = np.random.default_rng(seed).integers(-1, 2, (n, length * groups), dtype=np.int8)
    packed = kernels.pack(reference.codes_of(t), length * groups, groups=groups, layout=layout)
    assert np.array_equal(packed.unpack(), t)
