"""Bundles for other machines: they run under an emulator and give the bits that the host gives."""

import shutil
import subprocess

import numpy
import pytest
import torch
from torch import nn

from tests.compile.emit.models import MODELS
from workbench.compile import CompileConfig, compile_program, load
from workbench.compile.emit.build import build_driver
from workbench.compile.emit.emulated import EmulatedRunner, root_of
from workbench.errors import CompileError, MissingDependency
from workbench.kernels import compile_command, target_named
from workbench.kernels.targets import TARGETS, runs_here
from workbench.program import read_examples

FOREIGN = [name for name, target in TARGETS.items() if target.machine in ("aarch64", "riscv64")]


def needs(name):
    """Skip, and say why, where a target's compiler or emulator is missing."""
    target = target_named(name)
    try:
        compile_command(target)
    except MissingDependency as error:
        pytest.skip(f"{error.what}; {error.fix}")
    if not runs_here(target) and shutil.which(target.emulator[0]) is None:
        pytest.skip(f"{target.emulator[0]} is not installed: apt-get install qemu-user")


@pytest.fixture(params=MODELS)
def on_host(request, ternary_models):
    """Return a ternary variant, examples, and what the host's bundle gives for them."""
    variant, out, _ = ternary_models[request.param]
    feeds = read_examples(out).inputs
    return variant, feeds, load(out).run(feeds)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOREIGN)
def test_a_cross_compiled_bundle_gives_the_bits_of_the_host(name, on_host, tmp_path):
    needs(name)
    variant, feeds, expected = on_host
    compile_program(variant, tmp_path, CompileConfig("ternary", target=name))
    given = EmulatedRunner(tmp_path).run(feeds)
    for key, array in expected.items():
        numpy.testing.assert_array_equal(given[key], array)


@pytest.mark.parametrize("name", ["x86-64-avx2", "generic"])
def test_a_narrower_bundle_gives_the_same_bits(name, on_host, tmp_path):
    if not runs_here(target_named(name)):
        pytest.skip(f"this processor does not run {name}")
    variant, feeds, expected = on_host
    compile_program(variant, tmp_path, CompileConfig("ternary", target=name))
    for key, array in expected.items():
        numpy.testing.assert_array_equal(load(tmp_path).run(feeds)[key], array)


class Accumulator(nn.Module):
    """A ternary layer whose scales are one, so that it gives its int32 accumulators as they are."""

    def __init__(self, rows, columns):
        super().__init__()
        from workbench.quantize.ops.ternary import pack_codes

        self.trits = torch.randint(-1, 2, (rows, columns), generator=torch.Generator().manual_seed(0))
        self.register_buffer("codes", pack_codes(self.trits))
        self.register_buffer("scale", torch.ones(rows, 1))

    def forward(self, x):
        return torch.ops.workbench.linear_ternary(x, self.codes, self.scale, None, self.trits.shape[1])


@pytest.mark.parametrize("name", ["host", "generic", "aarch64-neon", "riscv64-rvv"])
def test_accumulators_are_exact(name, build_c):
    needs(name)
    module = Accumulator(67, 333)
    x = torch.randint(-127, 128, (5, 333), generator=torch.Generator().manual_seed(1)).float()
    x[:, 0] = 127  # so that the scale of every row is one
    out = build_c(module, x, name, tolerance_abs=0.0, tolerance_rel=0.0)
    exact = x.to(torch.int64) @ module.trits.t()
    runner = load(out) if runs_here(target_named(name)) else EmulatedRunner(out)
    numpy.testing.assert_array_equal(runner.run({"x": x.numpy()})["output"], exact.numpy().astype("float32"))


def test_a_bundle_for_another_machine_is_refused_before_it_is_opened(build_c):
    name = "aarch64-neon" if target_named("host").machine != "aarch64" else "riscv64-rvv"
    needs(name)
    out = build_c(nn.Linear(4, 2), torch.randn(3, 4), name)
    with pytest.raises(CompileError, match=f"compiled for {name}; this processor has no") as caught:
        load(out)
    assert "--target host" in caught.value.fix


def test_a_processor_that_lacks_a_feature_is_told_so(build_c, monkeypatch):
    out = build_c(nn.Linear(4, 2), torch.randn(3, 4))
    wanted = target_named("host")
    if not wanted.features:
        pytest.skip("the host's target needs no feature")
    monkeypatch.setattr("workbench.kernels.targets.cpu_features", frozenset)
    with pytest.raises(CompileError, match="this processor has no"):
        load(out)


BAD_CPU = 3


@pytest.mark.parametrize(
    ("name", "emulator"),
    [
        ("x86-64-avx2", ["qemu-x86_64", "-cpu", "Nehalem"]),
        ("aarch64-neon", ["qemu-aarch64", "-cpu", "cortex-a53"]),
        ("riscv64-rvv", ["qemu-riscv64", "-cpu", "rv64,v=false"]),
    ],
)
def test_a_processor_without_the_instructions_gets_an_answer_not_a_signal(name, emulator, build_c, tmp_path):
    """The same driver runs on a processor that has them, and is told so on one that has not."""
    needs(name)
    if shutil.which(emulator[0]) is None:
        pytest.skip(f"{emulator[0]} is not installed: apt-get install qemu-user")
    out, target = build_c(nn.Linear(4, 2), torch.randn(3, 4), name), target_named(name)
    folder = tmp_path / "driver"
    folder.mkdir()
    driver = build_driver(out, folder, target)
    (folder / "in").write_bytes(numpy.array([3]).tobytes() + numpy.ones((3, 4), "float32").tobytes())
    able = [*target.emulator, *root_of(target)] if not runs_here(target) else []
    for command, status in ((able, 0), ([*emulator, *root_of(target)], BAD_CPU)):
        line = [*command, str(driver), str(folder / "in"), str(folder / "out")]
        assert subprocess.run(line, timeout=240).returncode == status
