"""Every family of operators gives what torch gives, at the captured size and at others."""

import pytest
import torch
from torch import nn

F = nn.functional

# Compiling compares with eager at every size, by a tolerance far below a wrong formula's error.
CLOSE = {"tolerance_abs": 2e-6, "tolerance_rel": 2e-6}


class Function(nn.Module):
    """A module of a function that returns a tuple."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def elementwise(x, y):
    return (
        x + 2 * y, x - y, x * y, x / (y.abs() + 1), x.abs().sqrt(), torch.rsqrt(x * x + 1), torch.exp(x), x.tanh(),
        x.sigmoid(), x.erf(), x.sin(), x.cos(), (x * x + 1).log(), x.floor(), x.ceil(), x.round(), x.sign(),
        -x, x.reciprocal(), x**2, x**3, (x.abs() + 1) ** 0.7, torch.maximum(x, y), torch.minimum(x, y),
        x.clamp(-0.5, 0.5), x.clamp(min=0.1), torch.where(x > y, x, y), x.masked_fill(x < 0, 7.0),
        torch.remainder(x, 0.3), torch.add(x, y, alpha=0.5),
    )  # fmt: skip


def activations(x):
    return (
        F.relu(x), F.gelu(x), F.gelu(x, approximate="tanh"), F.silu(x), F.hardswish(x), F.hardsigmoid(x),
        F.leaky_relu(x, 0.2), F.elu(x), F.softplus(x), F.mish(x), F.relu6(x), F.hardtanh(x), F.softmax(x, -1),
        F.log_softmax(x, -1), F.softmax(x, 1),
    )  # fmt: skip


def integers(i, b):
    return (
        i + 3, i * i, i // 3, i % 3, -i, i.abs(), i > 2, (i == 1) & b, b | (i != 0), ~b, i.float() / 2, i / 2,
        i.clamp(-2, 2), i.to(torch.int32), b.any(1), b.all(), i.sum(1), i.amax(0), i.argmax(1), i.cumsum(1), b.sum(),
    )  # fmt: skip


def reductions(x):
    return (
        x.sum(), x.mean(1), x.sum((0, 2)), x.amax(2), x.amin(1, keepdim=True), x.argmax(1), x.argmin(2), x.var(2),
        x.std(1, unbiased=False), x.max(1).values, x.max(1).indices, x.cumsum(1), x.prod(2),
        x.mean((1, 2), keepdim=True),        F.layer_norm(x, x.shape[2:]), F.normalize(x, dim=2),
    )  # fmt: skip


def shapes(x):
    return (
        x.permute(2, 0, 1), x.transpose(1, 2).reshape(x.shape[0], -1), x[:, 1:3], x[:, -2:, ::2], x[:, 1],
        x.unsqueeze(1), torch.cat([x, x[:, :1]], 1), torch.stack([x, 2 * x], 1), F.pad(x, (1, 2)),
        F.pad(x, (-1, 0, 2, -1), value=3.0), x.flip(1), x.repeat(1, 2, 1), x.expand(2, *x.shape), x.flatten(1),
        *x.split(2, 1)[:2], *x.chunk(2, 2), torch.arange(x.shape[0]), torch.full((x.shape[0], 2), 1.5), x.mT @ x,
        torch.tril(x), torch.triu(x, 1), x.movedim(0, 2), x.transpose(1, 2)[:, 1:].flatten(1) * 2,
    )  # fmt: skip


def maxima(x, long):
    x = torch.where(x > 2.2, torch.nan, x)
    return (
        F.max_pool2d(x, 2), F.max_pool2d(x, 3, 2), F.max_pool2d(x, (2, 5), 1, dilation=(3, 2)), F.max_pool2d(x, (1, 4)),
        F.max_pool2d(x, 3, 1, 1), F.max_pool2d(x, (5, 1), (2, 3)), F.max_pool2d(x, (12, 20)), F.max_pool1d(long, 2),
    )  # fmt: skip


def lookups(x, i):
    rows = i % 4
    return (
        x[:, [2, 0]],
        x.index_select(1, rows[0]),
        x.gather(1, rows[:, :2, None].expand(-1, -1, 6)),
        x[rows[:, 0] * 0],
    )


def products(x, w):
    return (
        x @ w,
        torch.bmm(x @ w, (x @ w).mT),
        F.linear(x, w.t()),
        torch.addmm(w[0], x[:, 0], w),
        x.mT @ (x @ w),
        w.t() @ w,
    )


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


CASES = {
    "elementwise": (elementwise, lambda: (2 * random(3, 37), random(3, 37))),
    "activations": (activations, lambda: (4 * random(3, 5, 19),)),
    "reductions": (reductions, lambda: (random(3, 5, 23),)),
    "shapes": (shapes, lambda: (random(3, 5, 6),)),
    "maxima": (maxima, lambda: (random(3, 7, 12, 20), random(2, 3, 1100))),
    "lookups": (lookups, lambda: (random(3, 4, 6), torch.randint(0, 99, (3, 4)))),
    "products": (products, lambda: (random(3, 5, 7), random(7, 33))),
    "integers": (integers, lambda: (torch.randint(-9, 9, (3, 7)), torch.rand(3, 7) > 0.5)),
    "double": (activations, lambda: (random(3, 5, 19).double(),)),
}


@pytest.mark.parametrize("name", CASES)
def test_operators(name, build_c):
    function, inputs = CASES[name]
    build_c(Function(function), inputs(), **CLOSE)


class Convolutions(nn.Module):
    """Plain, strided, dilated, grouped, depthwise, transposed, one-dimensional; with norms and pooling."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList([
            nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, dilation=2, bias=False), nn.BatchNorm2d(8),
                          nn.AvgPool2d(2, ceil_mode=True, padding=1)),
            nn.Sequential(nn.Conv2d(4, 8, (1, 3), padding="same", groups=2), nn.AdaptiveAvgPool2d((3, 2))),
            nn.Sequential(nn.Conv2d(4, 4, 5, padding=2, stride=2, groups=4), nn.MaxPool2d(3, 2, 1, ceil_mode=True)),
            nn.Sequential(nn.Conv2d(4, 5, 1), nn.ConvTranspose2d(5, 6, 3, stride=2, padding=1, output_padding=1)),
            nn.Sequential(nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 4, 2, groups=2), nn.Upsample(scale_factor=2)),
        ])  # fmt: skip
        self.sequence = nn.Sequential(
            nn.Conv1d(4, 8, 3, padding=2, dilation=2), nn.MaxPool1d(2), nn.AvgPool1d(3, 1), nn.Conv1d(8, 8, 2, groups=8)
        )  # fmt: skip
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1), module.running_var.uniform_(0.5, 2)

    def forward(self, x):
        return *(branch(x) for branch in self.branches), self.sequence(x[:, :, 0])


def test_convolutions(build_c):
    build_c(Convolutions(), random(3, 4, 11, 13), dynamic="x:0=batch", tolerance_abs=5e-6, tolerance_rel=5e-6)


class Norms(nn.Module):
    """Norms over groups, images and the root mean square; a learned slope."""

    def __init__(self):
        super().__init__()
        self.group, self.image = nn.GroupNorm(2, 6), nn.InstanceNorm2d(6, affine=True)
        self.slope, self.root = nn.PReLU(6), nn.RMSNorm(7)
        nn.init.uniform_(self.group.weight), nn.init.uniform_(self.group.bias)

    def forward(self, x):
        return self.group(x), self.image(x), self.slope(x), self.root(x), self.slope(self.group(x)) + x


def test_norms(build_c):
    build_c(Norms(), random(3, 6, 5, 7), dynamic="x:0=batch", **CLOSE)


class Attention(nn.Module):
    """Attention plain, causal, with a float mask, a bool mask, a scale, shared keys, and parts repeated."""

    def forward(self, q, k, v, mask):
        sdpa = F.scaled_dot_product_attention
        return (
            sdpa(q, k, v), sdpa(q, q, q, is_causal=True), sdpa(q, k, v, attn_mask=mask),
            sdpa(q, k, v, attn_mask=mask > -1, scale=0.3), sdpa(q, k[:, :1], v[:, :1], enable_gqa=True),
            sdpa(q, k[:1], v[:1]), sdpa(q[:1], k, v), sdpa(q, k[:, :1], v), sdpa(q[:, :1], k, v),
        )  # fmt: skip


def test_attention(build_c):
    inputs = random(2, 4, 5, 8), random(2, 4, 7, 8), random(2, 4, 7, 8), random(5, 7)
    build_c(Attention(), inputs, **CLOSE)


def test_functions_of_one_number_are_accurate_everywhere(session):
    """Vector code stands in for libm: right to a few units in the last place, at the edges too."""
    edges = torch.tensor(
        [0.0, -0.0, 1e-30, 0.6, -0.6, 1.0, 88.7, 104.0, -87.0, -200.0, 1e30, torch.inf, -torch.inf, torch.nan]
    )
    x = torch.cat([torch.linspace(-12, 12, 4001), edges])

    def function(x):
        return x.exp(), x.sigmoid(), x.tanh(), x.erf(), F.gelu(x), F.silu(x)

    given = session(Function(function), torch.linspace(-12, 12, 64))(x)
    for value, expected in zip(given, function(x.double()), strict=True):
        torch.testing.assert_close(value, expected.float(), rtol=2e-6, atol=6e-7, equal_nan=True)
