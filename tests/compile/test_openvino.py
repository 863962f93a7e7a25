"""The backend openvino: the zoo, quantized programs, a fresh process, and what it refuses."""

import json
import subprocess
import sys

import onnx
import onnx.parser
import pytest
import torch

from tests.networks import ZOO, build
from workbench.capture import capture_module, capture_onnx
from workbench.compile import CompileConfig, compile_program, load
from workbench.errors import CompileError, CorruptArtifact
from workbench.program import read_examples
from workbench.quantize import QuantizeConfig, quantize_program

pytest.importorskip("openvino")


def compiled(tmp_path, module, inputs, quantize=None, **config):
    folders = {name: tmp_path / name for name in ("program", "variant", "out")}
    for folder in folders.values():
        folder.mkdir()
    capture_module(module, inputs, folders["program"])
    source = folders["program"]
    if quantize:
        source = folders["variant"]
        quantize_program(folders["program"], source, quantize, calibration=[inputs])
    return folders["out"], compile_program(source, folders["out"], CompileConfig("openvino", **config))


@pytest.mark.parametrize("name", [name for name in ZOO if name != "double"])
def test_it_gives_what_eager_gives_at_every_size(tmp_path, name):
    out, report = compiled(tmp_path, *build(name))
    assert report.max_abs_error < 1e-4
    assert {"model.xml", "model.bin", "openvino.json"} <= {path.name for path in out.iterdir()}


@pytest.mark.parametrize(
    "config",
    [QuantizeConfig(mode="dynamic"), QuantizeConfig(mode="static"), QuantizeConfig("int4")],
    ids=["dynamic", "static", "int4"],
)
def test_quantized_programs_keep_their_small_weights(tmp_path, config):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 64))
    out, _ = compiled(tmp_path, module, torch.randn(8, 256), config)
    assert (out / "model.bin").stat().st_size < 0.35 * 4 * (256 * 256 + 256 * 64)


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_linear_layers_multiply_integers(tmp_path, mode):
    out, _ = compiled(tmp_path, *build("attention"), QuantizeConfig(mode=mode))
    graph = load(out).runner.model.get_runtime_model()
    facts = [
        {k: node.get_rt_info()[k].value for k in ("layerType", "runtimePrecision")}
        for node in graph.get_ops()
    ]
    products = [f["runtimePrecision"] for f in facts if f["layerType"].startswith("FullyConnected")]
    assert products
    assert not {"f32", "bf16"} & set(products)


class Attending(torch.nn.Module):
    """Attention between two layers, masked or causal, with a scale of its own."""

    def __init__(self, causal):
        super().__init__()
        self.joint, self.output, self.causal = torch.nn.Linear(64, 192), torch.nn.Linear(64, 64), causal

    def forward(self, x, keep):
        q, k, v = self.joint(x).view(*x.shape[:2], 3, 4, 16).permute(2, 0, 3, 1, 4)
        mask = None if self.causal else keep[:, None, None, :]
        seen = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, mask, is_causal=self.causal, scale=0.4
        )
        return self.output(seen.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("causal", [False, True], ids=["masked", "causal"])
def test_attention_is_one_kernel(tmp_path, causal):
    torch.manual_seed(0)
    keep = torch.arange(12) < torch.tensor([[5], [12], [9]])
    out, report = compiled(tmp_path, Attending(causal).eval(), (torch.randn(3, 12, 64), keep))
    assert report.max_abs_error < 1e-5
    nodes = load(out).runner.model.get_runtime_model().get_ops()
    kinds = [node.get_rt_info()["layerType"].value for node in nodes]
    assert not {"Softmax", "IsNaN"} & set(kinds)


@pytest.mark.parametrize(
    ("config", "group"),
    [(QuantizeConfig(mode="weights"), 64), (QuantizeConfig("int4"), 32)],
    ids=["int8", "int4"],
)
def test_activations_share_the_largest_grid_that_fits(tmp_path, config, group):
    module = torch.nn.Sequential(torch.nn.Linear(64, 192), torch.nn.ReLU(), torch.nn.Linear(192, 64))
    out, _ = compiled(tmp_path, module, torch.randn(8, 64), config)
    assert json.loads((out / "openvino.json").read_bytes())["dynamic_group"] == group


class Last(torch.nn.Module):
    """A linear layer on every step, of which one is given back."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.ReLU(), torch.nn.Linear(16, 8))

    def forward(self, x):
        return self.layers(x)[:, -1]


def test_one_step_of_integers_keeps_its_shape(tmp_path):
    torch.manual_seed(0)
    compiled(tmp_path, Last(), torch.randn(4, 3, 16), QuantizeConfig(mode="static"))


def test_convolutions_on_grids(tmp_path):
    module, inputs = build("convolutional")
    compiled(tmp_path, module, inputs, QuantizeConfig(mode="static"))


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
assert not {"torch", "onnx", "onnxscript", "onnxruntime"} & set(sys.modules), "loading is for small processes"
"""


def test_a_fresh_process_needs_openvino_only(tmp_path):
    out, _ = compiled(tmp_path, *build("convolutional"))
    subprocess.run([sys.executable, "-c", FRESH, str(out)], check=True, timeout=120)


def test_an_operator_it_does_not_know_is_named(tmp_path):
    text = '<ir_version: 10, opset_import: ["" : 20]> g (float[n, 4, 4] x) => (float[n] y) { y = Det(x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    (program := tmp_path / "program").mkdir(), (out := tmp_path / "out").mkdir()
    capture_onnx(tmp_path / "model.onnx", program)
    with pytest.raises(CompileError, match="no form for the operator Det") as caught:
        compile_program(program, out, CompileConfig("openvino"))
    assert caught.value.fields["backends"] == ["onnxruntime", "eager"]


def test_a_damaged_model_is_refused(tmp_path):
    out, _ = compiled(tmp_path, *build("perceptron"))
    (out / "model.xml").write_text("<net")
    with pytest.raises(CorruptArtifact, match="OpenVINO cannot load"):
        load(out)


def test_an_index_beyond_a_table_or_a_wrong_size_is_an_error(tmp_path):
    out, _ = compiled(tmp_path, torch.nn.Linear(4, 2), torch.randn(3, 4))
    runner = load(out).runner
    bad = {"input": read_examples(out).inputs["input"][:, :3]}
    with pytest.raises(CompileError, match="OpenVINO failed"):
        runner.run(bad)
