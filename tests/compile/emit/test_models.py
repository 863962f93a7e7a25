"""Whole models: equal to eager, loaded without torch, the same bytes every time, served as they are."""

import ctypes
import hashlib
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import torch
from torch import nn

from tests.compile.emit.models import MODELS
from tests.networks import ZOO, build
from workbench.compile import load
from workbench.program import read_examples, read_program, read_signature, runner


@pytest.fixture(params=MODELS)
def ternary(request, ternary_models):
    """Return the folders of a ternary variant and of what it compiled to, and the report."""
    return ternary_models[request.param]


def test_a_ternary_model_equals_eager(ternary):
    _, out, report = ternary
    assert report.max_abs_error < 2e-6, "the integers are the same, only float sums differ in order"
    assert len(report.checked) >= 4
    text = (out / "mlops_model.c").read_text()
    assert "tern_linear(" in text or "tern_conv(" in text


@pytest.mark.parametrize("name", sorted(set(ZOO) - {"batch_of_one", "gru"}))
def test_a_float_model_equals_eager(name, build_c):
    out = build_c(*build(name), tolerance_abs=2e-5, tolerance_rel=1e-5)
    assert {p.name for p in out.iterdir()} == {
        "backend.json", "examples.safetensors", "mlops_model.c", "mlops_model.h", "model.so", "signature.json",
        "target.json",
    }  # fmt: skip


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have nops of one size")
def test_functions_begin_with_the_nop_that_makes_tracing_cheap(ternary_models, build_c):
    for folder in (next(iter(ternary_models.values()))[1], build_c(nn.Linear(3, 2), torch.randn(2, 3))):
        calls = ctypes.CDLL(str(folder / "model.so"))
        for name in ("mlops_model_run", "mlops_model_arena_bytes"):
            address = ctypes.cast(getattr(calls, name), ctypes.c_void_p).value
            assert ctypes.string_at(address, 5) == bytes.fromhex("0f1f440000"), (folder, name)


FRESH = """
import sys
from pathlib import Path
from workbench.compile import load
from workbench.program import read_examples
folder = Path(sys.argv[1])
examples = read_examples(folder)
given = load(folder).run(examples.inputs)
for name, expected in examples.outputs.items():
    assert abs(given[name] - expected).max() < 0.5, name
assert not {"torch", "onnx", "onnxruntime", "sympy"} & set(sys.modules), "loading needs numpy alone"
"""


def test_a_fresh_process_loads_it_without_torch(ternary):
    subprocess.run([sys.executable, "-W", "error", "-c", FRESH, str(ternary[1])], check=True, timeout=240)


COMPILE = """
import sys
from pathlib import Path
from workbench.compile import CompileConfig, compile_program
for variant, out in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    compile_program(Path(variant), Path(out), CompileConfig("ternary"))
"""


def test_another_process_writes_the_same_bytes(ternary_models, tmp_path):
    words = []
    for name, (variant, _, _) in ternary_models.items():
        (tmp_path / name).mkdir()
        words += [str(variant), str(tmp_path / name)]
    subprocess.run([sys.executable, "-c", COMPILE, *words], check=True, timeout=280)
    for name, (_, out, _) in ternary_models.items():
        first, second = (
            {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
            for folder in (out, tmp_path / name)
        )
        assert first == second, name


def test_threads_run_it_at_the_same_time(ternary):
    _, out, _ = ternary
    session, feeds = load(out), read_examples(out).inputs
    (expected,) = session.run(feeds).values()
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: session.run(feeds), range(40)):
            numpy.testing.assert_array_equal(next(iter(result.values())), expected)


def test_a_batch_of_nothing_and_strided_inputs(ternary):
    variant, out, _ = ternary
    session, examples = load(out), read_examples(out)
    ((name, array),) = examples.inputs.items()
    (empty,) = session.run({name: array[:0]}).values()
    assert empty.shape[0] == 0
    twice = numpy.repeat(array, 2, axis=-1)[..., ::2]
    assert not twice.flags.c_contiguous
    eager = runner(read_program(variant), read_signature(variant))
    (expected,) = eager({name: torch.from_numpy(twice.copy())}).values()
    numpy.testing.assert_allclose(next(iter(session.run({name: twice}).values())), expected, atol=1e-5)
