"""Models of TVM's code without any runtime: C entry points, for this machine and under an emulator for others."""

import itertools
import shutil
import subprocess

import numpy
import pytest

from tests.compile.emit.test_targets import needs
from tests.networks import build
from workbench.compile import load
from workbench.compile.emit.record import write_record
from workbench.compile.relax.calls import Buffer, Call, Program, _place
from workbench.compile.relax.targets import resolve
from workbench.errors import CompileError
from workbench.program import read_examples


def test_it_needs_libc_and_nothing_else(fixed):
    listed = subprocess.run(
        ["readelf", "-d", str(fixed / "model.so")], capture_output=True, text=True, check=True, timeout=60
    )
    needed = [line.split("[")[1].rstrip("]") for line in listed.stdout.splitlines() if "NEEDED" in line]
    assert set(needed) <= {"libc.so.6", "libm.so.6"}
    examples = read_examples(fixed)
    for name, value in load(fixed).run(examples.inputs).items():
        numpy.testing.assert_allclose(value, examples.outputs[name], atol=1e-5)


OTHERS = {"x86-64-avx2", "x86-64-avx512-vnni", "riscv64-rvv"} - {resolve("host")}
"""Those that no fixture compiles for."""


@pytest.mark.parametrize("target", sorted(OTHERS))
def test_every_target_gives_what_torch_gives(tvm_compile, target):
    needs(target)
    _, report = tvm_compile(*build("convolutional"), dynamic="none", target=target, runtime="none")
    assert report.target == target
    assert report.max_abs_error <= 1e-5


def test_arm_gives_what_torch_gives(arm):
    assert arm[1].target == "aarch64-neon"
    assert arm[1].max_abs_error <= 1e-5


def test_dynamic_sizes_are_refused(tvm_compile):
    with pytest.raises(CompileError, match="this one has dynamic sizes") as caught:
        tvm_compile(*build("perceptron"), runtime="none")
    assert 'dynamic="none"' in caught.value.fix


def test_a_bundle_for_another_machine_is_not_loaded(tvm_compile, fixed, perceptron, tmp_path):
    for folder in (fixed, perceptron):
        copy = shutil.copytree(folder, tmp_path / folder.name)
        write_record(copy, "riscv64-rvv", ())
        with pytest.raises(CompileError, match="was compiled for riscv64-rvv; this processor has no riscv64"):
            load(copy)


def test_buffers_that_live_at_the_same_time_do_not_overlap():
    buffers = [Buffer((n,), "float32") for n in (100, 40, 300, 40, 7)]
    first, *rest = buffers
    calls = [Call("f", False, [one], [other]) for one, other in zip(buffers, rest, strict=False)]
    calls[3].arguments.append(buffers[1])
    program = Program([first], calls, [buffers[-1]])
    _place(program)
    for at, call in enumerate(calls):
        alive = [b for b in buffers if any(b in c.written for c in calls[: at + 1]) or b is first]
        alive = [b for b in alive if b.last_use >= at]
        spans = sorted((b.offset, b.offset + b.nbytes) for b in alive)
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans)), call
    assert program.arena_bytes < sum(b.nbytes for b in buffers)
