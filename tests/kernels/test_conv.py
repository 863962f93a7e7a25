"""Convolutions of every kind, on every kernel this processor runs, against plain integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import reference
from workbench import kernels
from workbench.errors import BadTensor
from workbench.kernels import ConvGeometry
from workbench.kernels.targets import TARGETS, runs_here

HERE = [name for name, target in TARGETS.items() if runs_here(target)]


def check(t, x, geometry, target, threads=1, bias=None):
    outputs = len(t)
    w_scale = np.random.default_rng(3).random(outputs, np.float32) + 0.5
    packed = kernels.pack_conv(reference.codes_of(t.reshape(outputs, -1)), x.shape[1], geometry)
    found = kernels.conv(packed, x, w_scale, bias, geometry=geometry, threads=threads, target=target)
    assert np.array_equal(found, reference.conv(t, x, w_scale, bias, geometry))
    return packed


@pytest.mark.parametrize("target", HERE)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_convolutions_equal_integers(target, data, seed):
    rng = np.random.default_rng(seed)
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    kernel, stride = (draw(1, 4), draw(1, 4)), (draw(1, 3), draw(1, 3))
    padding, dilation, groups = (draw(0, 3), draw(0, 3)), (draw(1, 2), draw(1, 2)), draw(1, 4)
    size = [
        max(1, d * (k - 1) + 1 - 2 * p) + draw(0, 9)
        for k, p, d in zip(kernel, padding, dilation, strict=True)
    ]
    geometry = ConvGeometry(kernel, stride, padding, dilation, groups)
    per_group, outputs = draw(1, 20), draw(1, 20) * groups
    t = rng.integers(-1, 2, (outputs, per_group, *kernel), dtype=np.int8)
    x = rng.standard_normal((draw(0, 3), per_group * groups, *size)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32) if draw(0, 1) else None
    check(t, x, geometry, target, draw(1, 3), bias)


@pytest.mark.parametrize("target", HERE)
@pytest.mark.parametrize(
    ("channels", "outputs", "groups", "kernel", "stride", "layout"),
    [
        (64, 64, 64, 3, 1, "s8"),  # depthwise
        (16, 48, 16, 5, 2, "s8"),  # with three outputs a channel
        (3, 32, 1, 3, 2, "s8"),  # a first layer
        (64, 130, 1, 1, 1, "t2"),  # pointwise
        (32, 40, 1, 3, 2, "t2"),  # ordinary
        (80, 120, 2, 3, 1, "t2"),  # grouped, with too many weights for 16 bits
        (64, 64, 4, 3, 1, "t2"),  # grouped
        (64, 64, 16, 3, 1, "s8"),  # with few channels a group
        (300, 4, 1, 1, 1, "t2"),  # few outputs, but too many weights for 16 bits
    ],
)
def test_kinds_of_layers(target, channels, outputs, groups, kernel, stride, layout):
    rng = np.random.default_rng(7)
    t = rng.integers(-1, 2, (outputs, channels // groups, kernel, kernel), dtype=np.int8)
    x = rng.standard_normal((2, channels, 19, 23)).astype(np.float32)
    geometry = ConvGeometry((kernel,) * 2, (stride,) * 2, (kernel // 2,) * 2, (1, 1), groups)
    assert check(t, x, geometry, target, 2, np.ones(outputs, np.float32)).layout == layout


@pytest.mark.parametrize(
    ("outputs", "groups", "kernel", "stride"),
    [(40, 40, 3, 1), (40, 40, 5, 2), (3, 1, 1, 1), (48, 1, 3, 2), (20, 10, 3, 1)],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_samples_that_are_too_large_to_stay_near(outputs, groups, kernel, stride, threads):
    """A few are computed at a time: the last time, fewer."""
    rng = np.random.default_rng(9)
    t = rng.integers(-1, 2, (outputs, 40 // groups, kernel, kernel), dtype=np.int8)
    x = rng.standard_normal((3, 40, 41, 43)).astype(np.float32)
    x[1] *= 7
    geometry = ConvGeometry((kernel,) * 2, (stride,) * 2, (kernel // 2,) * 2, (1, 1), groups)
    check(t, x, geometry, "host", threads, np.ones(outputs, np.float32))


@pytest.mark.parametrize("target", HERE[:2])
@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 7, 8, 10, 12, 16])
@pytest.mark.parametrize("channels", [32, 35, 259])
def test_pointwise_layers_with_few_outputs_round_as_division_does(target, outputs, channels):
    """Every sample a hard one: all quotients halves, a scale whose reciprocal is infinite, zeros."""
    rng = np.random.default_rng(outputs * channels)
    geometry = ConvGeometry((1, 1), (1, 1), (0, 0), (1, 1))
    for size in ((1, 1), (3, 5), (4, 4), (9, 15)):
        t = rng.integers(-1, 2, (outputs, channels, 1, 1), dtype=np.int8)
        t[outputs // 2] = 0
        x = rng.standard_normal((4, channels, *size)).astype(np.float32)
        x[1] = rng.integers(-126, 127, x[1].shape) + 0.5
        x[1, 0] = 127  # the scale is 1
        x[2] *= np.float32(1e-37)
        x[3] = 0
        check(t, x, geometry, target, 1 + outputs % 2 * 7, np.ones(outputs, np.float32))


@pytest.mark.parametrize("begins", [0, 1, 4, 15])
@pytest.mark.parametrize("size", [(1, 15), (4, 4), (4, 12), (7, 9), (33, 32)])
def test_one_output_wherever_the_input_begins(begins, size):
    rng = np.random.default_rng(13)
    t = rng.integers(-1, 2, (1, 41, 1, 1), dtype=np.int8)
    memory = np.empty(2 * 41 * size[0] * size[1] + 64, np.float32)
    first = -memory.ctypes.data % 64 // 4 + begins
    x = memory[first : first + 2 * 41 * size[0] * size[1]].reshape(2, 41, *size)
    x[:] = rng.standard_normal(x.shape)
    for threads in (1, 3):
        check(t, x, ConvGeometry((1, 1), (1, 1), (0, 0), (1, 1)), "host", threads)


@pytest.mark.parametrize("target", HERE[:2])
@pytest.mark.parametrize("fewest", [1, 9])
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_depthwise_layers_equal_integers(target, fewest, data, seed):
    """Up to eight outputs across, then nine and more; with strides, dilations and paddings beyond the image."""
    rng = np.random.default_rng(seed)
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    kernel, stride, dilation = (draw(1, 7), draw(1, 9)), (draw(1, 4), draw(1, 5)), (draw(1, 3), draw(1, 5))
    padding = (draw(0, 5), draw(0, 1) * draw(0, 150))
    out = (draw(1, 20), draw(9, 40)) if fewest > 1 else (draw(1, 8), draw(1, 8))
    size = [
        max(1, (o - 1) * s + d * (k - 1) + 1 - 2 * p)
        for o, s, d, k, p in zip(out, stride, dilation, kernel, padding, strict=True)
    ]
    channels = draw(1, 20)
    t = rng.integers(-1, 2, (channels, 1, *kernel), dtype=np.int8)
    x = rng.standard_normal((draw(1, 3), channels, *size)).astype(np.float32)
    geometry = ConvGeometry(kernel, stride, padding, dilation, channels)
    check(t, x, geometry, target, draw(1, 3), rng.standard_normal(channels).astype(np.float32))


@pytest.mark.parametrize("target", HERE[:2])
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_few_channels_a_group_equal_integers(target, data, seed):
    """Kernels at least three wide, outputs at least nine across: their windows are shared by the outputs of a group."""
    rng = np.random.default_rng(seed)
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    kernel, stride, padding = (draw(1, 4), draw(3, 9)), (draw(1, 3), draw(1, 3)), (draw(0, 3), draw(0, 4))
    groups, per_group = draw(1, 4), draw(1, 5)
    geometry = ConvGeometry(kernel, stride, padding, (draw(1, 2), draw(1, 2)), groups)
    t = rng.integers(-1, 2, (draw(1, 20) * groups, per_group, *kernel), dtype=np.int8)
    x = rng.standard_normal((draw(1, 3), per_group * groups, draw(8, 30), draw(20, 60))).astype(np.float32)
    check(t, x, geometry, target, draw(1, 3))


@pytest.mark.parametrize("begins", [0, 1, 4, 15])
@pytest.mark.parametrize(("channels", "outputs"), [(40, 5), (64, 24)])
def test_pointwise_layers_wherever_the_input_begins(begins, channels, outputs):
    """Chunks begin where cache lines do, if images can."""
    rng = np.random.default_rng(begins)
    memory = rng.standard_normal(3 * channels * 144 + 32).astype(np.float32)
    first = (-memory.ctypes.data // 4 + begins) % 16
    x = memory[first : first + 3 * channels * 144].reshape(3, channels, 12, 12)
    t = rng.integers(-1, 2, (outputs, channels, 1, 1), dtype=np.int8)
    check(t, x, ConvGeometry((1, 1), (1, 1), (0, 0), (1, 1)), "host", threads=2)


@pytest.mark.parametrize("target", HERE[:2])
@pytest.mark.parametrize("size", [(9, 17), (7, 7)])
def test_depthwise_layers_round_as_division_does(target, size):
    """All quotients halves, a scale whose reciprocal is infinite, zeros; and a sample that is not finite."""
    rng = np.random.default_rng(11)
    geometry = ConvGeometry((3, 3), (1, 1), (1, 1), (1, 1), 18)
    t = rng.integers(-1, 2, (18, 1, 3, 3), dtype=np.int8)
    x = rng.standard_normal((4, 18, *size)).astype(np.float32)
    x[1] = rng.integers(-126, 127, x[1].shape) + 0.5
    x[1, 0] = 127  # the scale is 1
    x[2] *= np.float32(1e-37)
    x[3] = 0
    packed = check(t, x, geometry, target, 2, np.ones(18, np.float32))
    x[2, 3, 4, 5] = np.nan
    found = kernels.conv(packed, x, np.ones(18), geometry=geometry, target=target)
    assert np.isnan(found[2]).all()
    assert np.isfinite(found[[0, 1, 3]]).all()


@pytest.mark.parametrize("target", HERE)
def test_one_dimension(target):
    rng = np.random.default_rng(5)
    t = rng.integers(-1, 2, (20, 6, 5), dtype=np.int8)
    x, w_scale = rng.standard_normal((2, 6, 40)).astype(np.float32), rng.random(20, np.float32)
    geometry = ConvGeometry((5,), (2,), (2,), (1,))
    packed = kernels.pack_conv(reference.codes_of(t.reshape(20, -1)), 6, geometry)
    found = kernels.conv(packed, x, w_scale, geometry=geometry, target=target)
    flat = ConvGeometry((1, 5), (1, 2), (0, 2), (1, 1))
    wanted = reference.conv(t[:, :, None], x[:, :, None], w_scale, None, flat)
    assert np.array_equal(found, wanted[:, :, 0])


@pytest.mark.parametrize("outputs", [8, 40])
def test_the_largest_sums(outputs):
    """258 weights of one sign, at the last step that 16 bits hold; then one more, which takes the other way."""
    for k in (258, 259):
        t = np.ones((outputs, k, 1, 1), np.int8)
        check(
            t, np.full((1, k, 3, 3), -2.0, np.float32), ConvGeometry((1, 1), (1, 1), (0, 0), (1, 1)), "host"
        )


def test_a_sample_that_is_not_finite_gives_nan_and_spoils_no_other():
    for outputs in (2, 40):
        t = np.ones((outputs, 3, 3, 3), np.int8)
        geometry = ConvGeometry((3, 3), (1, 1), (1, 1), (1, 1))
        x = np.ones((2, 3, 8, 8), np.float32)
        x[0, 1, 4, 4] = np.inf
        packed = kernels.pack_conv(reference.codes_of(t.reshape(outputs, -1)), 3, geometry)
        found = kernels.conv(packed, x, np.ones(outputs), geometry=geometry, activation="relu")
        assert np.isnan(found[0]).all()
        assert np.isfinite(found[1]).all()


def test_shapes_that_do_not_fit_are_refused():
    geometry = ConvGeometry((3, 3), (1, 1), (0, 0), (1, 1))
    codes = reference.codes_of(np.ones((4, 18), np.int8))
    packed = kernels.pack_conv(codes, 2, geometry)
    with pytest.raises(BadTensor):
        kernels.conv(packed, np.ones((1, 2, 2, 2)), np.ones(4), geometry=geometry)  # smaller than the kernel
    with pytest.raises(BadTensor):
        kernels.conv(packed, np.ones((1, 3, 8, 8)), np.ones(4), geometry=geometry)
    with pytest.raises(BadTensor, match="packed for a kernel"):
        wider = ConvGeometry((1, 9), (1, 1), (0, 0), (1, 1))
        kernels.conv(packed, np.ones((1, 2, 8, 9)), np.ones(4), geometry=wider)
    with pytest.raises(BadTensor, match="5 scales or offsets for 4 outputs"):
        kernels.conv(packed, np.ones((1, 2, 8, 8)), np.ones(5), geometry=geometry)
    with pytest.raises(BadTensor, match="codes are uint8"):
        kernels.pack_conv(codes, 4, geometry)
    with pytest.raises(BadTensor):
        kernels.pack_conv(codes, 2, ConvGeometry((3, 3), (0, 1), (0, 0), (1, 1)))
