"""Convolutions against torch fp32: depthwise, first layers, ordinary and pointwise ones."""

from __future__ import annotations

import ctypes
import functools

import numpy as np
import torch

from workbench import kernels
from workbench.kernels import ConvGeometry

from .timing import Call

# channels, outputs, groups, kernel, stride, height and width
LAYERS = {
    "depthwise_32_112": (32, 32, 32, 3, 1, 112),
    "depthwise_96_112_stride2": (96, 96, 96, 3, 2, 112),
    "depthwise_144_56": (144, 144, 144, 3, 1, 56),
    "depthwise_240_28_stride2": (240, 240, 240, 5, 2, 28),
    "depthwise_480_14": (480, 480, 480, 3, 1, 14),
    "depthwise_1152_7": (1152, 1152, 1152, 5, 1, 7),
    "depthwise_16_8": (16, 16, 16, 3, 1, 8),
    "first_3_224": (3, 32, 1, 3, 2, 224),
    "first_1_8": (1, 16, 1, 3, 1, 8),
    "small_16_8": (16, 32, 1, 3, 1, 8),
    "small_4_16": (4, 4, 1, 3, 1, 16),
    "small_32_14": (32, 64, 1, 3, 1, 14),
    "plain_64_56": (64, 64, 1, 3, 1, 56),
    "pointwise_64_28": (64, 128, 1, 1, 1, 28),
    "pointwise_128_7": (128, 10, 1, 1, 1, 7),
    "grouped_64_28": (64, 64, 4, 3, 1, 28),
    "pointwise_16_56": (16, 4, 1, 1, 1, 56),
    "pointwise_64_1": (64, 10, 1, 1, 1, 1),
    "depthwise_128_56_stride2": (128, 128, 128, 3, 2, 56),
    "pointwise_256_14_to_4": (256, 4, 1, 1, 1, 14),
    "pointwise_1024_28_to_1": (1024, 1, 1, 1, 1, 28),
    "one_channel_28_kernel_7": (1, 1, 1, 7, 1, 28),
}
BATCHES = (1, 8)
"""Images at once; of one, torch's own way to the kernel is a large part."""


def pair(layer: tuple[int, int, int, int, int, int], batch: int = 1) -> tuple[Call, Call]:
    """Return torch's fp32 convolution and ours, as compiled models call it."""
    channels, outputs, groups, kernel, stride, size = layer
    k = channels // groups * kernel * kernel
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (outputs, -(-k // 4)), np.uint8)
    codes = raw & ~(raw & (raw >> 1) & 0x55) & 0xFF
    geometry = ConvGeometry((kernel,) * 2, (stride,) * 2, (kernel // 2,) * 2, (1, 1), groups)
    packed = kernels.pack_conv(codes, channels, geometry)
    x = rng.standard_normal((batch, channels, size, size)).astype(np.float32)
    module = torch.nn.Conv2d(channels, outputs, kernel, stride, kernel // 2, groups=groups, bias=False).eval()
    tensor = torch.from_numpy(x)
    y = np.empty(module(tensor).shape, np.float32)
    scales = np.ones(outputs, np.float32)
    shape = geometry.shape(batch, channels, (size, size), outputs)
    addresses = (ctypes.byref(packed.matrix), ctypes.byref(shape), scales.ctypes.data, None, x.ctypes.data)
    call = functools.partial(kernels.library().calls.tern_conv, *addresses, y.ctypes.data, 0, 1)
    keep = (packed, scales, x, y)

    return lambda: module(tensor), lambda keep=keep: call()
