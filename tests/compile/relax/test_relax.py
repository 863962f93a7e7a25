"""The backend tvm: import, both kinds of kernels, dynamic sizes, a fresh process, refusals."""

import os
import shutil
import subprocess
import sys

import numpy
import onnx
import onnx.parser
import pytest
import torch
from torch import nn

from tests.networks import Singular, Tagger, build, tags
from workbench.capture import capture_module, capture_onnx
from workbench.compile import CompileConfig, compile_program, load
from workbench.compile.limits import limits_of
from workbench.compile.relax import choosing, package
from workbench.compile.relax.loading import RelaxRunner
from workbench.compile.source import Source
from workbench.errors import BadTensor, CompileError, CorruptArtifact, InputError, MissingDependency
from workbench.input_sizes import check_bounds
from workbench.program import read_examples, read_signature
from workbench.quantize import QuantizeConfig, quantize_program


@pytest.mark.parametrize(("name", "kernels"), [("convolutional", "tvm"), ("attention", "linked")])
def test_a_network_gives_what_torch_gives_at_every_size(tvm_compile, name, kernels):
    out, report = tvm_compile(*build(name), kernels=kernels)
    assert len(report.checked) == 4
    assert report.max_abs_error <= 1e-5
    assert ('"mlops_' in (out / "model.tir.txt").read_text()) == (kernels == "linked")


def test_of_each_operator_the_kernel_is_taken_that_makes_the_model_faster(tvm_compile, wide, monkeypatch):
    turns = iter([[(1.0, 0.5)] * 3, [(0.5, 0.6)] * 3])  # TVM's first layer is faster, its second is not
    monkeypatch.setattr(choosing, "_times", lambda *_: next(turns))
    out, report = tvm_compile(*wide, dynamic="none", kernels="measured")
    first, second = report.notes["kernels"].split("; ")
    assert first.startswith("1 x linear 6x64 48x64 48: TVM, 1e+03 ms a run with ours, 500 with TVM's")
    assert second.startswith("1 x linear 6x48 20x48 20: ours")
    assert (out / "model.tir.txt").read_text().count('"mlops_linear_f32"') == 1
    assert report.max_abs_error < 1e-5


def test_both_kernels_are_timed_in_turns(tvm_compile, wide):
    runners = [
        RelaxRunner(tvm_compile(*wide, dynamic="none", kernels=kernels)[0]) for kernels in ("linked", "tvm")
    ]
    pairs = choosing._times(*runners, {"input": wide[1].numpy()})
    assert len(pairs) in (1, choosing._ROUNDS)
    assert all(seconds > 0 for pair in pairs for seconds in pair)


def test_kernels_cannot_be_measured_for_another_machine(tmp_path):
    (tmp_path / "program").mkdir(), (tmp_path / "out").mkdir()
    capture_module(*build("perceptron"), tmp_path / "program", dynamic="none")
    with pytest.raises(CompileError, match="kernels are measured by running them"):
        compile_program(
            tmp_path / "program",
            tmp_path / "out",
            CompileConfig("tvm", options={"kernels": "measured", "runtime": "none"}),
        )


def test_the_caller_keeps_its_processors(tvm_compile):
    """TVM's pool pins the thread that calls it unless told not to: a notebook would stay on one core."""
    before = os.sched_getaffinity(0)
    load(tvm_compile(Tagger(), tags())[0], threads=2)(tags(batch=3, tokens=7))
    assert os.sched_getaffinity(0) == before


def test_nested_outputs_integers_and_booleans_come_back(tvm_compile):
    out, _ = tvm_compile(Tagger(), tags())
    session, other = load(out), tags(batch=3, tokens=7)
    given = session(other)
    assert set(given) == {"scores", "any", "count_kept"}
    assert given["any"].dtype == torch.bool
    counted = (other["ids"] * other["mask"]).sum(1)
    assert torch.equal(given["count_kept"], counted)
    again = {
        **other,
        "ids": (other["ids"] + 1) % 10,
    }  # of the same sizes: the inputs go where those of before were
    assert torch.equal(session(again)["count_kept"], (again["ids"] * again["mask"]).sum(1))
    assert torch.equal(given["count_kept"], counted)


ONNX = """<ir_version: 10, opset_import: ["" : 20]>
two_layers (float[batch, 4] x) => (float[batch, 2] y)
<float[4, 2] w = {0.5, -1.0, 2.0, 0.25, 1.0, 3.0, -0.5, 0.75}> {
    product = MatMul(x, w)
    y = Relu(product)
}"""


def test_an_onnx_file_is_imported_too(tvm_compile, tmp_path):
    (program := tmp_path / "program").mkdir()
    (out := tmp_path / "out").mkdir()
    onnx.save(onnx.parser.parse_model(ONNX), tmp_path / "model.onnx")
    capture_onnx(tmp_path / "model.onnx", program)
    report = compile_program(program, out, CompileConfig("tvm"))
    assert report.max_abs_error <= 1e-5
    assert len(report.checked) > 1


@pytest.mark.parametrize(("scheme", "mode"), [("int8", "dynamic"), ("int8", "static"), ("ternary", "auto")])
def test_quantized_layers_run_in_our_kernels(tvm_compile, tmp_path, wide, scheme, mode):
    folders = [tmp_path / name for name in ("program", "variant", "ours", "theirs")]
    for folder in folders:
        folder.mkdir()
    program, variant, ours, theirs = folders
    capture_module(*wide, program)
    quantize_program(program, variant, QuantizeConfig(scheme=scheme, mode=mode), calibration=[wide[1]])
    compile_program(variant, ours, CompileConfig("tvm"))
    compile_program(variant, theirs, CompileConfig("tvm", options={"kernels": "tvm"}))
    assert "mlops_linear_" in (ours / "model.tir.txt").read_text()
    assert "mlops_" not in (theirs / "model.tir.txt").read_text()
    feeds = read_examples(ours).inputs
    one, other = (load(folder).run(feeds) for folder in (ours, theirs))
    for name, value in one.items():
        numpy.testing.assert_allclose(value, other[name], atol=2e-2)


def test_a_fresh_process_loads_neither_compiler_nor_torch(perceptron):
    code = (
        "import sys; from pathlib import Path; from workbench.compile import load;"
        "from workbench.program import read_examples;"
        "folder = Path(sys.argv[1]); examples = read_examples(folder);"
        "given = load(folder).run(examples.inputs);"
        "assert all(abs(given[k] - v).max() < 1e-5 for k, v in examples.outputs.items());"
        "print(sorted({'torch', 'tvm', 'tvm_ffi'} & set(sys.modules)),"
        " any('libtvm_compiler' in line for line in open('/proc/self/maps')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(perceptron)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "['tvm_ffi'] False", done.stderr


def test_what_is_compiled_twice_is_the_same_program(tvm_compile, perceptron):
    again = tvm_compile(*build("perceptron"))[0]
    assert (again / "model.tir.txt").read_bytes() == (perceptron / "model.tir.txt").read_bytes()


def test_an_unknown_operator_is_named_with_its_module_and_takers(tvm_compile):
    with pytest.raises(CompileError, match=r"TVM has no form for the operator .*linalg_svd") as caught:
        tvm_compile(Singular(), torch.randn(3, 4), dynamic="none")
    assert caught.value.fields["backends"][-1] == "eager"


def test_a_recurrent_layer_over_changing_steps_is_refused(tvm_compile):
    with pytest.raises(CompileError, match=r"unrolls the recurrent layer aten.gru") as caught:
        tvm_compile(*build("gru"))
    assert "ternary" in caught.value.fields["backends"]


class Cut(nn.Module):
    """Knows eight positions; TVM cannot follow the size of the slice."""

    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(torch.zeros(8, 4))

    def forward(self, x):
        return x + self.places[: x.shape[1]]


def test_sizes_beyond_the_declared_range_are_refused(tmp_path):
    capture_module(Cut(), torch.randn(2, 5, 4), tmp_path)
    found = limits_of(Source(tmp_path))
    (spec,) = read_signature(tmp_path).inputs
    check_bounds(found, spec, (3, 8, 4), where="")
    with pytest.raises(BadTensor, match="dim_1 is 9, the model takes at most 8"):
        check_bounds(found, spec, (3, 9, 4), where="")


def test_sizes_that_tvm_cannot_work_out_are_said(tvm_compile):
    with pytest.raises(CompileError, match=r"could not work out the sizes of R\.add") as caught:
        tvm_compile(Cut(), torch.randn(2, 5, 4))
    assert 'dynamic="none"' in caught.value.fix


def test_an_index_out_of_range_does_not_read_foreign_memory(tvm_compile):
    out, _ = tvm_compile(nn.Embedding(8, 4), torch.zeros(2, 5, dtype=torch.long))
    given = load(out)(torch.tensor([[0, 1_000_000_000_000, -5]]))
    assert torch.isfinite(given[0, 0]).all()
    assert torch.isnan(given[0, 1:]).all()


def test_options_are_typed_and_targets_known(tvm_compile):
    with pytest.raises(InputError, match="no option turbo"):
        tvm_compile(*build("perceptron"), turbo=1)
    with pytest.raises(InputError, match="no target 'vax'"):
        from workbench.compile import check_config

        check_config(CompileConfig("tvm", target="vax"))


def test_a_damaged_library_is_not_opened(perceptron, tmp_path):
    folder = shutil.copytree(perceptron, tmp_path / "copy")
    with (folder / "model.so").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CorruptArtifact, match="digest differs"):
        load(folder)


def test_a_library_that_tvm_does_not_fit_is_said(monkeypatch):
    monkeypatch.setattr(package, "version", lambda name: "0.1.15.post2")
    monkeypatch.setattr(package.importlib.util, "find_spec", lambda name: object())
    found = package.missing()
    assert isinstance(found, MissingDependency)
    assert found.fix == "pip install apache-tvm-ffi==0.1.14.post0"


def test_a_program_of_linked_kernels_alone_loads(tvm_compile):
    """TVM has no code of its own there, so the constants are packed another way."""
    out, report = tvm_compile(torch.nn.Linear(8, 4).eval(), torch.randn(3, 8), dynamic="none")
    assert report.max_abs_error <= 1e-5
    assert load(out)(torch.ones(3, 8)).shape == (3, 4)
