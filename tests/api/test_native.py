"""A ternary model goes the whole way as machine code: compiled, looked at, staged, answered over HTTP."""

import contextlib

import numpy
import pytest
import torch
from torch import nn

from workbench import api
from workbench.errors import CompileError, InputError, MissingDependency
from workbench.kernels import compile_command, target_named
from workbench.serve.client import InferenceClient
from workbench.store import Store


class Wide(nn.Module):
    """Three layers wide enough that the middle one is worth being ternary."""

    def __init__(self):
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(64, 128), nn.Linear(128, 128), nn.Linear(128, 4)

    def forward(self, x):
        return self.last(torch.relu(self.middle(torch.relu(self.first(x)))))


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A store with the ternary variant, the variant, and the batch it was made with."""
    torch.manual_seed(0)
    x = torch.randn(6, 64)
    with contextlib.closing(Store(tmp_path_factory.mktemp("wide") / "home")) as store:
        api.capture(Wide().eval(), x, name="wide", store=store)
        yield store, api.quantize("wide", scheme="ternary", calibrate=[x], store=store), x


@pytest.mark.slow
def test_compile_look_stage_and_ask(wide):
    store, quantized, x = wide
    compiled = api.compile(quantized.name, backend="ternary", store=store)
    assert compiled.name == "wide:ternary/ternary"
    assert compiled.max_abs_error < 1e-5
    again = api.compile(quantized.name, backend="ternary", store=store)
    assert again.digest == compiled.digest
    shown = api.asm("wide:ternary", layer="middle", store=store)
    assert shown.multiplies > 0
    bundle = shown._repr_mimebundle_()
    assert "hot loop of" in bundle["text/plain"]
    assert "<script" not in bundle["text/html"]
    assert "<pre" in bundle["text/html"]
    expected = compiled.session()(x)
    try:
        pushed = api.push("wide:ternary", name="wide", store=store)
        with InferenceClient(pushed.url) as client:
            answer = client.infer("wide", {"x": x.numpy()})
        numpy.testing.assert_array_equal(answer.outputs["output"], expected.numpy())
    finally:
        api.unstage("wide", store=store)


def test_a_bundle_for_another_machine_has_its_own_name(wide):
    store = wide[0]
    name = "riscv64-rvv" if target_named("host").machine != "riscv64" else "aarch64-neon"
    try:
        compile_command(name)
    except MissingDependency as error:
        pytest.skip(f"{error.what}; {error.fix}")
    compiled = api.compile("wide:ternary", backend="ternary", target=name, store=store)
    assert compiled.name == f"wide:ternary/ternary-{name}"
    with pytest.raises(CompileError, match=f"compiled for {name}"):
        compiled.session()


def test_asm_of_what_is_not_machine_code(store, captured):
    api.compile("small", backend="eager", store=store)
    with pytest.raises(InputError, match="only what the backend ternary compiled"):
        api.asm("small", store=store)
