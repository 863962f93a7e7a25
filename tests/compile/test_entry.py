"""Compile, check, load: every network of the zoo on every backend, in this process and in a fresh one."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy
import onnx
import onnx.parser
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.networks import ZOO, Singular, Tagger, build, normalized, tags
from workbench.capture import capture_module, capture_onnx
from workbench.compile import CompileConfig, backend_names, compile_program, load
from workbench.errors import BadTensor, CompileError, InputError, NumericalMismatch, UnknownBackend
from workbench.program import read_examples, read_signature, write_signature


def fresh(tmp_path, name):
    (folder := tmp_path / name).mkdir()
    return folder


def compiled(tmp_path, module, inputs, backend="onnxruntime", **config):
    program, out = fresh(tmp_path, "program"), fresh(tmp_path, "compiled")
    capture_module(module, inputs, program)
    return out, compile_program(program, out, CompileConfig(backend=backend, **config))


@pytest.mark.parametrize("backend", ["eager", "onnxruntime"])
@pytest.mark.parametrize("name", ZOO)
def test_session_gives_what_the_module_gives(tmp_path, name, backend):
    module, inputs = build(name)
    out, report = compiled(tmp_path, module, inputs, backend)
    assert report.backend == backend
    assert report.max_abs_error <= 1e-4
    examples = read_examples(out)
    given = load(out).run(examples.inputs)
    for key, expected in examples.outputs.items():
        numpy.testing.assert_allclose(given[key], expected, rtol=1e-3, atol=1e-5)
        assert given[key].dtype == expected.dtype


class Ranged(nn.Module):
    """A layer that says how many steps it takes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        torch._check(x.shape[1] >= 3)
        torch._check(x.shape[1] <= 8)
        return self.layer(x)


@pytest.mark.parametrize("backend", ["eager", "onnxruntime", "openvino", "ternary"])
def test_a_size_beyond_the_range_is_refused_by_name(tmp_path, backend):
    if backend == "openvino":
        pytest.importorskip(backend)
    out, _ = compiled(tmp_path, Ranged(), torch.randn(2, 5, 4), backend)
    session = load(str(out))
    assert session(torch.randn(4, 8, 4)).shape == (4, 8, 3)
    for steps in (2, 9):
        with pytest.raises(BadTensor, match=f"dim_1 is {steps}, the model takes 3 to 8") as caught:
            session(torch.randn(4, steps, 4))
        assert "capture it again" in caught.value.fix


def test_called_like_the_module(tmp_path):
    module, inputs = Tagger(), tags()
    session = load(compiled(tmp_path, module, inputs)[0])
    other = tags(batch=3, tokens=7)
    given, expected = session(other), module.eval()(**other)
    assert set(given) == {"scores", "any", "count_kept"}
    torch.testing.assert_close(given["scores"], expected["scores"].detach())
    assert torch.equal(given["any"], expected["any"])
    assert torch.equal(given["count_kept"], expected["count"]["kept"])
    with pytest.raises(BadTensor, match="dtype is float32, expected int64"):
        session({**other, "ids": other["ids"].float()})


def test_sizes_other_than_the_captured_ones_are_checked(tmp_path):
    _, report = compiled(tmp_path, Tagger(), tags())
    assert report.checked == (
        {"batch": 2, "dim_1": 5},
        {"batch": 3, "dim_1": 6},
        {"batch": 2, "dim_1": 4},
        {"batch": 1, "dim_1": 5},
    )


class Positions(nn.Module):
    """Knows eight positions."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(8, 4)

    def forward(self, x):
        return x + self.table(torch.arange(x.shape[1]))


def test_a_program_at_its_limit_is_checked_below_it(tmp_path):
    _, report = compiled(tmp_path, Positions(), torch.randn(2, 8, 4))
    assert [sizes["dim_1"] for sizes in report.checked] == [8, 7, 8]


def test_a_program_that_takes_one_size_only_is_refused(tmp_path):
    program, out = fresh(tmp_path, "program"), fresh(tmp_path, "out")
    capture_module(nn.Linear(4, 2), torch.randn(3, 4), program, dynamic="none")
    signature = read_signature(program)
    (x,) = signature.inputs
    write_signature(program, replace(signature, inputs=(replace(x, shape=("batch", 4)),)))
    with pytest.raises(CompileError, match="takes only the captured sizes") as caught:
        compile_program(program, out, CompileConfig())
    assert caught.value.where == "batch=3"


def test_the_record_says_what_was_allowed_and_found(tmp_path):
    out, report = compiled(tmp_path, *build("attention"), tolerance_rel=1e-2)
    record = json.loads((out / "backend.json").read_text())
    assert record["backend"] == "onnxruntime"
    assert record["tolerance"] == {"absolute": 1e-5, "relative": 1e-2}
    assert record["max_abs_error"] == report.max_abs_error > 0
    assert set(record["versions"]) == {"onnxruntime", "torch"}
    assert set(report.seconds) == {"reference", "compile", "check"}
    assert report.bytes == sum(p.stat().st_size for p in out.iterdir())


def test_a_small_model_is_one_file(tmp_path):
    out, _ = compiled(tmp_path, *build("perceptron"))
    assert sorted(p.name for p in out.iterdir()) == [
        "backend.json",
        "examples.safetensors",
        "model.onnx",
        "signature.json",
    ]


def test_progress_goes_up(tmp_path):
    program, out, told = fresh(tmp_path, "program"), fresh(tmp_path, "out"), []
    capture_module(*build("perceptron"), program)
    compile_program(program, out, CompileConfig(), progress=lambda share, text: told.append((share, text)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert told[-1] == (1.0, "done")


FRESH = """
import sys
from pathlib import Path
from workbench.compile import load
from workbench.program import read_examples
folder = Path(sys.argv[1])
examples = read_examples(folder)
given = load(folder, threads=2).run(examples.inputs)
for name, expected in examples.outputs.items():
    assert abs(given[name] - expected).max() < 1e-4, name
assert not {"torch", "onnx", "onnxscript"} & set(sys.modules), "loading is for small processes"
"""


def test_a_fresh_process_loads_it_without_torch(tmp_path):
    out, _ = compiled(tmp_path, *build("convolutional"))
    subprocess.run([sys.executable, "-W", "error", "-c", FRESH, str(out)], check=True, timeout=240)


COMPILE = """
import sys
from pathlib import Path
from workbench.compile import CompileConfig, compile_program
compile_program(Path(sys.argv[1]), Path(sys.argv[2]), CompileConfig())
"""


@pytest.mark.parametrize("name", ["convolutional", "tagger"])
def test_two_processes_write_the_same_bytes(tmp_path, name):
    program = fresh(tmp_path, "program")
    capture_module(*build(name), program)
    digests = []
    for run in ("first", "second"):
        out = fresh(tmp_path, run)
        subprocess.run([sys.executable, "-c", COMPILE, str(program), str(out)], check=True, timeout=240)
        digests.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in out.iterdir()})
    assert digests[0] == digests[1]
    assert b"site-packages" not in (out / "model.onnx").read_bytes()


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    folder, module = tmp_path_factory.mktemp("tagger"), Tagger()
    return module.eval(), load(compiled(folder, module, tags())[0])


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.integers(1, 17), tokens=st.integers(1, 33))
def test_any_size_gives_what_eager_gives(tagger, batch, tokens):
    module, session = tagger
    inputs = tags(batch, tokens)
    given, expected = session(inputs), module(**inputs)
    torch.testing.assert_close(given["scores"], expected["scores"].detach())
    assert torch.equal(given["any"], expected["any"])
    assert torch.equal(given["count_kept"], expected["count"]["kept"])


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.integers(1, 5), steps=st.integers(1, 9))
def test_recurrent_state_goes_round(recurrent, batch, steps):
    """Step by step with the state handed on gives what the whole sequence gives."""
    module, session = recurrent
    x, state = torch.randn(batch, steps, 4), torch.zeros(1, batch, 6)
    whole = session.run({"x": x.numpy(), "state_0": state.numpy(), "state_1": state.numpy()})
    expected = module(x, (state, state))[0].detach()
    torch.testing.assert_close(torch.from_numpy(whole["output_0"]), expected, rtol=1e-3, atol=1e-5)
    hidden = cell = state.numpy()
    for step in range(steps):
        one = session.run({"x": x[:, step : step + 1].numpy(), "state_0": hidden, "state_1": cell})
        hidden, cell = one["output_1_0"], one["output_1_1"]
    numpy.testing.assert_allclose(hidden, whole["output_1_0"], rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory):
    folder, (module, inputs) = tmp_path_factory.mktemp("recurrent"), build("lstm")
    return module.eval(), load(compiled(folder, module, inputs)[0])


ONNX_TEXT = """
<ir_version: 10, opset_import: ["" : 20]>
g (float[n, 40] x) => (float[n, 40] y)
<float[40, 40] w>
{ z = MatMul(x, w)  y = Gelu(z) }
"""


@pytest.mark.parametrize("backend", ["eager", "onnxruntime"])
def test_an_onnx_file_makes_the_whole_way(tmp_path, backend):
    model = onnx.parser.parse_model(ONNX_TEXT)
    weight = numpy.random.default_rng(0).standard_normal((40, 40)).astype("float32")
    del model.graph.value_info[:]
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(model, tmp_path / "model.onnx")
    program, out = fresh(tmp_path, "program"), fresh(tmp_path, "out")
    capture_onnx(tmp_path / "model.onnx", program)
    compile_program(program, out, CompileConfig(backend=backend))
    x = torch.randn(7, 40)
    expected = torch.nn.functional.gelu(x @ torch.from_numpy(weight))
    torch.testing.assert_close(load(out)(x), expected, rtol=1e-3, atol=1e-4)


def test_batch_norm_is_folded_when_it_loads(tmp_path):
    import onnxruntime

    out, _ = compiled(tmp_path, normalized(), torch.randn(2, 1, 8, 8))
    assert "BatchNormalization" in {n.op_type for n in onnx.load(out / "model.onnx").graph.node}
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(out / "model.onnx", options, providers=["CPUExecutionProvider"])
    operators = {n.op_type for n in onnx.load(tmp_path / "optimized.onnx").graph.node}
    assert "BatchNormalization" not in operators
    assert "FusedConv" in operators or "Conv" in operators


def test_an_operator_without_onnx_form_is_named(tmp_path):
    with pytest.raises(CompileError, match=r"no form for the operator .*linalg_svdvals") as caught:
        compiled(tmp_path, torch.nn.Sequential(torch.nn.Linear(8, 8), Singular()), torch.randn(8, 8))
    assert caught.value.where == "module '1'"
    assert "use the backend eager" in caught.value.fix


def test_an_error_beyond_the_tolerance_carries_its_numbers(tmp_path):
    with pytest.raises(NumericalMismatch, match="output 'output' differs from eager by") as caught:
        compiled(tmp_path, *build("attention"), tolerance_abs=0.0, tolerance_rel=0.0)
    error = caught.value
    assert error.fields["output"] == "output"
    assert error.fields["error"] > error.fields["allowed"] == 0
    assert error.where == "onnxruntime, sizes batch=2, dim_1=5"
    assert not (tmp_path / "compiled" / "backend.json").exists(), "a refused folder cannot be loaded"


def test_unknown_backend(tmp_path):
    assert {"eager", "onnxruntime"} <= set(backend_names())
    with pytest.raises(UnknownBackend, match="there is no backend 'tensorrt'") as caught:
        compile_program(tmp_path, tmp_path, CompileConfig(backend="tensorrt"))
    assert caught.value.fix == f"backends: {', '.join(backend_names())}"


@pytest.mark.parametrize("config", [{"threads": 0}, {"tolerance_abs": -1.0}, {"tolerance_rel": float("nan")}])
def test_config_out_of_range(config):
    with pytest.raises(InputError, match=next(iter(config))):
        CompileConfig(**config)


WITHOUT = """
import sys
from pathlib import Path
sys.modules["onnxruntime"] = None
from workbench.compile import CompileConfig, compile_program
from workbench.errors import MissingDependency
try:
    compile_program(Path("."), Path("."), CompileConfig())
except MissingDependency as error:
    assert error.fix == "pip install 'mlops-workbench[onnx]'", error
else:
    raise AssertionError
"""


def test_a_runtime_that_is_not_installed(tmp_path):
    subprocess.run([sys.executable, "-c", WITHOUT], check=True, timeout=60, cwd=tmp_path)
