"""Programs compiled by TVM once for all tests that only look at them."""

import pytest
import torch
from torch import nn

from tests.compile.emit.test_targets import needs
from tests.networks import build
from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program
from workbench.compile.relax.package import missing


@pytest.fixture(scope="session")
def tvm_compile(tmp_path_factory):
    """Return a function: module, inputs and options to the compiled folder and its report."""
    if lacking := missing():
        pytest.skip(f"{lacking.what}; {lacking.fix}")

    def compile_(module, inputs, dynamic="auto", target="", **options):
        program, out = tmp_path_factory.mktemp("program"), tmp_path_factory.mktemp("compiled")
        capture_module(module, inputs, program, dynamic=dynamic)
        return out, compile_program(program, out, CompileConfig("tvm", target=target, options=options))

    return compile_


@pytest.fixture(scope="session")
def perceptron(tvm_compile):
    """Return a compiled perceptron of one dynamic size."""
    return tvm_compile(*build("perceptron"))[0]


@pytest.fixture(scope="session")
def fixed(tvm_compile):
    """Return a convolutional network of fixed sizes that needs no runtime."""
    return tvm_compile(*build("convolutional"), dynamic="none", runtime="none")[0]


@pytest.fixture(scope="session")
def arm(tvm_compile):
    """Return the same network compiled for 64-bit Arm without a runtime, and its report."""
    needs("aarch64-neon")
    return tvm_compile(*build("convolutional"), dynamic="none", target="aarch64-neon", runtime="none")


@pytest.fixture(scope="session")
def wide():
    """Return two linear layers and inputs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 20)), torch.randn(6, 64)
