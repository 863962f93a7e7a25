"""Attention, layer norm, softmax and GELU in our kernels, in every form a program writes them."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from workbench.errors import CompileError


class Forms(nn.Module):
    """Attention with swapped heads and without, grouped, causal, with masks of both kinds; norms, activations."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8, eps=1e-3)

    def forward(self, x, bias, keep):
        attend = functional.scaled_dot_product_attention
        q = x.transpose(1, 2)
        plain = x.permute(0, 2, 1, 3) * 2
        few = plain[:, :2]
        return (
            attend(q, q, plain, attn_mask=bias),
            attend(q, plain, q, attn_mask=keep),
            attend(plain, few, few, is_causal=True, scale=0.3, enable_gqa=True),
            functional.gelu(self.norm(x)) + functional.gelu(x, approximate="tanh"),
            x.softmax(-1) + x.softmax(1),
        )


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 4, 8, generator=generator)
    keep = torch.rand(2, 1, 1, 5, generator=generator) > 0.4
    keep[..., 0] = True
    return x, torch.randn(5, 5, generator=generator), keep


def test_they_give_what_torch_gives(tvm_compile, inputs):
    out, report = tvm_compile(Forms().eval(), inputs, dynamic="none")
    assert report.max_abs_error <= 1e-5
    text = (out / "model.tir.txt").read_text()
    for name, count in (("attention", 3), ("layer_norm", 1), ("gelu", 2), ("softmax", 1)):
        assert text.count(f'"mlops_{name}_f32"') == count, name


def test_another_dtype_goes_tvms_way(tvm_compile, inputs):
    x, bias, keep = inputs
    network = Forms()
    with pytest.raises(CompileError, match="layer_norm: only support float32"):
        tvm_compile(network.double().eval(), (x.double(), bias.double(), keep), dynamic="none")
    network.norm = nn.Identity()
    out, report = tvm_compile(network, (x.double(), bias.double(), keep), dynamic="none")
    assert report.max_abs_error <= 1e-9
    assert "mlops_" not in (out / "model.tir.txt").read_text()


class Repeats(nn.Module):
    """Attention whose keys and values are repeated over batch and heads without being grouped."""

    def forward(self, x):
        attend = functional.scaled_dot_product_attention
        return attend(x, x[:1], x[:1]), attend(x[:1], x, x), attend(x, x[:, :1], x), attend(x[:, :1], x, x)


def test_attention_that_repeats_its_parts_goes_tvms_way(tvm_compile, inputs):
    out, report = tvm_compile(Repeats(), inputs[0], dynamic="none")
    assert report.max_abs_error <= 1e-5
    assert "mlops_attention_f32" not in (out / "model.tir.txt").read_text()


def test_a_scale_of_zero_is_a_scale(tvm_compile, inputs):
    class Mean(nn.Module):
        def forward(self, x):
            return functional.scaled_dot_product_attention(x, x, x, scale=0.0)

    _, report = tvm_compile(Mean(), inputs[0], dynamic="none")
    assert report.max_abs_error <= 1e-5
