"""What the kernels have to equal, in plain numpy integers, and random cases for them."""

import numpy as np


def codes_of(t):
    """Canonical codes of int weights [N, K] in {-1, 0, 1}: four a byte, little end first, padding 1."""
    n, k = t.shape
    padded = np.ones((n, -(-k // 4) * 4), np.uint8)
    padded[:, :k] = t + 1
    fields = padded.reshape(n, -1, 4)
    return (fields << np.array([0, 2, 4, 6], np.uint8)).sum(2, dtype=np.uint8)


def quantized(x):
    """Scale and int8 of each row, by BitNet b1.58's rule."""
    s = np.abs(x).max(-1, keepdims=True).astype(np.float32) / np.float32(127)
    s = np.where(s > 0, s, np.float32(1))
    return s, np.clip(np.rint(x / s), -127, 127).astype(np.int8)


def linear(t, x, w_scale, bias=None):
    """float32 rows: groups added in order, as the kernels do."""
    n = len(t)
    groups = w_scale.shape[1]
    s, q = quantized(x)
    y = np.zeros((len(x), n), np.float32)
    for g, (part, weight) in enumerate(
        zip(np.split(q.astype(np.int64), groups, 1), np.split(t.astype(np.int64), groups, 1), strict=True)
    ):
        y += (part @ weight.T).astype(np.float32) * (s * w_scale[:, g])
    return y if bias is None else y + bias


def random_case(seed, k, n, m):
    """Weights and activations; every third case is extreme: all weights and all activations of one sign."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        t = np.ones((n, k), np.int8) * rng.choice([-1, 1], (n, 1)).astype(np.int8)
        q = np.ones((m, k), np.int8) * rng.choice([-128, 127], (m, 1)).astype(np.int8)
    else:
        t = rng.integers(-1, 2, (n, k), dtype=np.int8)
        q = rng.integers(-128, 128, (m, k), dtype=np.int8)
    if n > 1:
        t[n // 2] = 0
    if m > 1:
        q[m // 2] = 0
    return t, q


def conv(t, x, w_scale, bias, geometry):
    """t [O, I/g, kh, kw], x [B, C, H, W]: a convolution of int8 samples, summed in int64."""
    s, q = quantized(x.reshape(len(x), int(np.prod(x.shape[1:]))))
    q = q.reshape(x.shape).astype(np.int64)
    (ph, pw), (sh, sw), (dh, dw) = geometry.padding, geometry.stride, geometry.dilation
    q = np.pad(q, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    outputs, per_group, kh, kw = t.shape
    oh = (q.shape[2] - dh * (kh - 1) - 1) // sh + 1
    ow = (q.shape[3] - dw * (kw - 1) - 1) // sw + 1
    acc = np.zeros((len(x), outputs, oh, ow), np.int64)
    for o in range(outputs):
        first = o // (outputs // geometry.groups) * per_group
        for y in range(kh):
            for z in range(kw):
                window = q[:, first : first + per_group, y * dh :, z * dw :]
                window = window[:, :, : (oh - 1) * sh + 1 : sh, : (ow - 1) * sw + 1 : sw]
                acc[:, o] += (window * t[o, :, y, z].astype(np.int64)[None, :, None, None]).sum(1)
    y = acc.astype(np.float32) * (s.reshape(-1, 1, 1, 1) * w_scale.reshape(1, -1, 1, 1))
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)
